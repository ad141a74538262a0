// Bounds of a gateway in front of a cluster, a part of limits.ts: how much it works on at a time, and how long
// it waits for nodes.

/** Requests that a gateway works on at a time: more than nodes answer in half a second; each holds some KiB. */
export const gatewayInFlightRequestsMax = 10_000;
/** Bytes of their bodies: each is in memory once as it came and once as it is sent to a node. */
export const gatewayInFlightBytesMax = 256 * 1024 * 1024;
/** When a request that was refused for that may come again. */
export const gatewayInFlightRetryMs = 1000;
/** Gateway in a cluster: a node's connection without traffic for this long is pinged; a live node answers in little time. */
export const gatewayPingMs = 500;
/** Silent for this long, although pinged, a node looks stuck: what waits for it is asked of another one too. */
export const gatewaySuspectMs = 1000;
/** Silent for this long, its connection is cut. Longer than a pause of a process (garbage, a busy disk) that passes. */
export const gatewayCutMs = 3000;
/** A node that talks but leaves a request unanswered for this long: one other replica is asked, to see which of both is slow. */
export const gatewaySlowMs = 1000;
/** How many requests of a partition may be asked of another replica for that reason at a time: a slow log is slow for all. */
export const gatewaySlowHedgesMax = 1;
/** After another replica answered first, the slow one has this long to answer anything, before all that waits for it goes elsewhere. */
export const gatewayOvertakenMs = 200;
/** A replica that failed is avoided for this long: doubling from the first to the last while it goes on failing. */
export const gatewayPenaltyMinMs = 100;
export const gatewayPenaltyMaxMs = 5000;
/** A replica this many batches behind the log is asked only where there is no better one. */
export const gatewayLagMax = 1000;
/** One question for a node's status: shorter than the usual time limit of a probe (1 s). */
export const gatewayStatusTimeoutMs = 700;
/** The topology is asked for anew, after a node said `moved`, at most this often. */
export const gatewayTopologyRefreshMs = 200;
/** How long a watch whose position no replica has reached yet waits for one that has. */
export const gatewayWatchBehindMs = 3000;
/** How long a request waits, in all, for slots that are on their way to another partition: several attempts of a hand-over. */
export const gatewayMovedWaitMs = 10_000;
/** Pauses before it asks again where no newer topology came meanwhile: a fence that was given up says nothing. Doubling. */
export const gatewayMovedRetryMinMs = 10;
export const gatewayMovedRetryMaxMs = 160;
/** How long a read waits for the topology that its session token tells of. */
export const gatewayTopologyWaitMs = 2000;
/** Commands of one many-key call with an Idempotency-Key, one for each slot, on their way at a time: a part of what a session may have. */
export const batchSlotsInFlightMax = 256;
