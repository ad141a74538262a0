// Every bound of the system, with its unit and its reason. A queue, retry, batch, key or cache that
// has no line here has no bound, and that is a bug.
export * from './limits-archive.ts';
export * from './limits-checkpoint.ts';
export * from './limits-conductor.ts';
export * from './limits-gateway.ts';
export * from './limits-proposer.ts';
export * from './limits-replica.ts';
export * from './limits-reshape.ts';
export * from './limits-reshape-driver.ts';
export * from './limits-repository.ts';
export * from './limits-resize.ts';

/** LMDB takes keys of 1978 bytes; the keyspace prefix and indexes need room beside the user's key. */
export const keyBytesMax = 1024;
/** JetStream's default max_payload is 1 MiB, and large values hurt everybody's latency. */
export const valueBytesMax = 1024 * 1024;
/** RFC 4288 allows 127 for each of type and subtype. */
export const contentTypeBytesMax = 255;
/** Store names appear in URLs, metrics and logs. */
export const storeNameCharsMax = 128;
/** Ten years. A longer TTL is a mistake in the unit. */
export const ttlMsMax = 10 * 365 * 24 * 3600 * 1000;
/** Slots are fixed for ever: the unit in which partitions split and merge. */
export const slotCount = 4096;
export const partitionsMax = slotCount;

/** Operations and checks in one transaction: bounds the time that apply holds a partition. */
export const transactionOperationsMax = 256;
/** Keys in one many-key call. */
export const batchKeysMax = 1000;
/** Bytes of keys and values in one many-key call or transaction: its parts must fit one log message each. */
export const commandBytesMax = 4 * 1024 * 1024;
/** Depth of JSON that merge patch looks into: recursion there is bounded by it. */
export const jsonDepthMax = 64;

/** Effects are flushed to the engine this often; a crash replays at most this much from the log. */
export const flushIntervalMs = 50;
/** Or as soon as the write buffer holds this much. */
export const writeBufferFlushBytes = 4 * 1024 * 1024;
/** Apply waits where the buffer holds this much and the flush before is still under way. */
export const writeBufferBytesMax = 32 * 1024 * 1024;

/** Exactly-once window: how long an idle session and an Idempotency-Key are remembered, at least. */
export const deduplicationWindowMs = 5 * 60 * 1000;
/** Commands of one session in flight on one partition: what apply must remember of it. */
export const sessionInFlightMax = 4096;
/** Sessions a partition remembers: gateways and clients, not requests. */
export const sessionsMax = 10_000;
export const idempotencyKeyCharsMax = 255;

/** Records one sweep command removes at most: bounds the time it holds a partition. */
export const sweepLimit = 1000;
/** How often a replica looks for something to sweep. */
export const sweepIntervalMs = 1000;
/** What batches tell of the log's time is forgotten after one to two of these: clocks drift by milliseconds meanwhile. */
export const logClockWindowMs = 30_000;
/** How often the state's clock is noted, so that it can be told how it stood a deduplication window ago: some 30 notes. */
export const seenClockStepMs = 10_000;
/** Change records kept for watchers to resume from, per partition: some 200,000 small changes. */
export const changesKeptBytes = 8 * 1024 * 1024;

/** Entries in one page of a listing. */
export const listLimitMax = 10_000;
export const listLimitDefault = 100;
/** Bytes of one page: a page is cut short at this. */
export const listPageBytesMax = 8 * 1024 * 1024;
/** Values up to this are written together with the head of the answer. */
export const inlineValueBytesMax = 4096;
/** Watchers of one gateway. */
export const watchersMax = 1000;
/** Bytes that may wait for one slow watcher before it is cut off (it resumes by its cursor). */
export const watcherBufferBytesMax = 4 * 1024 * 1024;

/** One frame of the link between gateway and node. */
export const linkFrameBytesMax = 16 * 1024 * 1024;
/** Requests in flight on one link connection. */
export const linkInFlightMax = 8192;

/** One file of the embedded log. */
export const logSegmentBytes = 32 * 1024 * 1024;
/** One message of the embedded log: the largest batch (one command of commandBytesMax, with room). */
export const logMessageBytesMax = 8 * 1024 * 1024;
/** Batches appended and not yet durable, per partition. */
export const logInFlightMax = 64;
/** First file of an embedded log: a partition that is hardly used should not take a whole segment. */
export const logFirstSegmentBytes = 4 * 1024 * 1024;
/** Appends joined into one synced write: past this the disk gains nothing and the first one waits longer. */
export const logGroupBytesMax = 1024 * 1024;
/** One read of the embedded log's files, for recovery and for subscribers that catch up. */
export const logReadChunkBytes = 256 * 1024;
/** Distance of the places in a segment that a subscriber can start to read at without scanning. */
export const logWaypointBytes = 1024 * 1024;
/** Live records kept in memory for a slow subscriber; beyond it, they are read back from disk. */
export const logSubscriberBufferBytesMax = 4 * 1024 * 1024;
/** Newest part of the embedded log that is verified at the start; older records are verified when read. */
export const logVerifyAtOpenBytes = 512 * 1024 * 1024;
/** After a failed attempt to make room for a new segment, the next one waits this long. */
export const logRoomRetryMs = 1000;

/** Partitions of one process: each has its log, its engine and their files. */
export const embeddedPartitionsMax = 256;

/** Stores one partition holds: their records are kept in memory. */
export const storesMax = 100_000;
/** Keyspaces that a partition ever gives out: an ordinal is four bytes of every key. */
export const ordinalMax = 0xffff_ffff;

/** Load tool: a many-key call is closed at this many bytes of values; base64 and JSON still fit a command. */
export const loadCallBytesMax = 1024 * 1024;
/** Load tool: one line or stanza of the input. Past this the format is almost certainly not what was said. */
export const loadRecordBytesMax = 16 * 1024 * 1024;
/** Load tool: calls in flight; each holds two batches in memory. */
export const loadConcurrencyMax = 256;
/** Load tool: how long one call is tried again before its entries count as failed. */
export const loadRetryForMsMax = 3600 * 1000;
/** Load tool: refused or unreadable records that are named one by one; the rest is only counted. */
export const loadExamplesMax = 5;

/** Connections from one gateway to one node: one for small requests, one that large answers cannot hold up. */
export const linkConnections = 2;
/** One answer, sent in parts of linkPartBytes: many large values in one getMany. More is refused. */
export const linkAnswerBytesMax = 64 * 1024 * 1024;
export const linkPartBytes = 4 * 1024 * 1024;
/** A node reads no further requests from a connection while this many bytes of answers wait in it. */
export const linkOutboxPauseBytes = 1024 * 1024;
/** A peer that lets this many bytes wait does not read any more: its connection is cut. */
export const linkOutboxBytesMax = 256 * 1024 * 1024;
/** Bytes of changes on the way to one watcher, or waiting for it in the gateway. */
export const linkWatchWindowBytes = 256 * 1024;
/** Granularity of deadlines and heartbeats. */
export const linkTickMs = 50;
/** How long a read may wait for its answer over all attempts. */
export const linkReadTimeoutMs = 10_000;
/** Compaction copies a whole file. */
export const linkCompactTimeoutMs = 15 * 60_000;
/** How long a request waits for a connection before it is refused as unavailable: a node's quick restart. */
export const linkConnectWaitMs = 2000;
export const linkConnectTimeoutMs = 5000;
/** A connection without traffic for this long is pinged, */
export const linkHeartbeatMs = 1000;
/** and cut after this long without any. */
export const linkSilenceMs = 5000;
/** Delay before connecting anew: doubles from the first to the last, less up to half at random. A node that is back is seen within the last. */
export const linkBackoffMinMs = 50;
export const linkBackoffMaxMs = 1000;
/** What was accepted before a graceful close may take this long: longer than any write. */
export const linkCloseTimeoutMs = 12_000;

/** Gateway: head of a request. A key of 1024 bytes, percent-encoded, takes 3072 of it. */
export const requestHeadBytesMax = 16 * 1024;
/** Body of a many-key call or transaction: commandBytesMax in base64, and the JSON around it. */
export const batchBodyBytesMax = 8 * 1024 * 1024;
/** Body of every other JSON request: a few fields. */
export const smallBodyBytesMax = 64 * 1024;
/** Of a body that is too large, this much is read and thrown away, so that the client sees why. */
export const bodyDrainBytesMax = 8 * 1024 * 1024;
/** Values that the gets of one many-key call answer; the rest is to be asked for again. */
export const batchAnswerBytesMax = 32 * 1024 * 1024;
/** Keys that one getMany of a many-key call reads at a time: bounds memory by values of full size. */
export const batchReadKeys = 32;
/** Bytes that one refill of a merged listing reads from a partition. */
export const listRefillBytes = 1024 * 1024;
/** Query string of a request, in parameters. */
export const queryParametersMax = 32;
/** How long the head of a request may take to arrive: a slow sender holds a socket no longer. */
export const headersTimeoutMs = 10_000;
/** How long a whole request may take to arrive: 1 MiB at 50 KiB/s. */
export const requestTimeoutMs = 30_000;
/** Silence on a connection before it is cut; longer than any write may wait and than a heartbeat. */
export const connectionTimeoutMs = 90_000;
/** Longer than the idle time of usual load balancers (60 s), so that they close first. */
export const keepAliveTimeoutMs = 65_000;
/** How long a handler may take (not those that stream): a sweep of a large store is the longest. */
export const handlerTimeoutMs = 60_000;
/** Pauses between attempts inside the gateway while a partition moves: doubling, first to last. */
export const gatewayRetryMinMs = 5;
export const gatewayRetryMaxMs = 250;
/** Silence in a watch before a comment is sent, so that proxies keep the connection. */
export const watchHeartbeatMs = 15_000;
/** A watcher that lets its buffer stay full for this long is cut off; it resumes by its cursor. */
export const watcherStallMs = 30_000;
/** Requests in flight at a graceful close may take this long: longer than any write. */
export const gatewayCloseTimeoutMs = 12_000;
/** Rounds in which quota is looked for in other partitions; each one that fails let another writer in. */
export const quotaRoundsMax = 16;
/** Quota that no partition holds may be on its way: about this long between two looks, */
export const quotaSettleMs = 200;
/** and after this many it counts as lost and is dealt out anew. Also the attempts to change settings that others change. */
export const quotaLooks = 3;
/** Connections that a node accepts: gateways times linkConnections, with room. */
export const linkServerConnectionsMax = 1024;

/** Longest key an engine takes: LMDB's own bound for pages of 4 KiB. */
export const engineKeyBytesMax = 1978;
/** One transaction of a restore or a compaction: it is held in memory whole, and other work waits for it. */
export const engineBulkBytes = 1024 * 1024;
export const engineBulkEntries = 2000;
/** Address space of one LMDB file. Not memory, and not a bound: lmdb-js maps anew past it, but keeps the old map. */
export const engineMapBytes = 16 * 1024 * 1024 * 1024;
/** Readers of one LMDB file: the shared one and snapshots. */
export const engineReadersMax = 126;
/** Pages of LMDB files that may stay in the process's resident memory before engines let go of theirs. */
export const engineResidentBytesMax = 88 * 1024 * 1024;
/** Room that must be left on the disk beside a compaction's copy: what is written meanwhile. */
export const engineRoomBytes = 4 * 1024 * 1024;
/** How often an engine looks at that, at most: letting go costs the next reads a page fault each. */
export const engineResidentCheckMs = 10;
/** The memory engine keeps small values together in blocks of this size, not in one ArrayBuffer each. */
export const memoryBlockBytes = 64 * 1024;
/** After a local snapshot that failed, the next one waits this long: it costs a copy of the whole partition. */
export const snapshotRetryMs = 10_000;
/** How long a read waits for the position that its session saw: a replica that is further behind says so. */
export const positionWaitMs = 10_000;
/** Greatest age that an eventual read may ask for: beyond it, it hardly asks for anything. */
export const maxLagMsMax = 3600 * 1000;
/** A session token: some 400 partitions of a busy cluster. Proxies often take 8 KiB of headers in all. */
export const sessionTokenCharsMax = 4096;
/** After which a gateway has probably heard of a partition that a session token tells of. */
export const sessionTopologyRetryMs = 1000;
/** Reads of one partition that wait for a barrier at a time, or for a position: each is a promise in memory. */
export const barrierReadersMax = 20_000;
export const positionWaitersMax = 20_000;
/** Bytes of commands in the log and not yet applied here: past it the engine is behind, and new ones are refused. */
export const proposerUnappliedBytesMax = 16 * 1024 * 1024;

/** Bytes of a copied state on the way to its receiver, or waiting in it; less than the node lets wait before it reads no further requests. */
export const linkCopyWindowBytes = 512 * 1024;
/** How long the receiver of a copy waits for its next part: the node first flushes what is not stored yet. */
export const linkCopySilenceMs = 30_000;
/** One part of a copied state ends after this many bytes of keys and values, */
export const copyPartBytes = 64 * 1024;
/** or this many records: either takes about a millisecond to read and to write. */
export const copyPartRecords = 500;
/** How long copying and verifying hold the event loop at a time: others are served between two turns. */
export const copyTurnMs = 2;
/** Copies that one node gives at once: each takes CPU from its traffic and keeps space in its engine. */
export const copiesMax = 2;
/** A copy of which nobody takes a part for this long is given up: its snapshot lets the file grow with each commit. */
export const copyStallMs = 15_000;
/** And so is one that takes this long in all: 30 GB or so of one partition. */
export const copyTimeoutMs = 15 * 60_000;

/** A node of a cluster says of itself this often what it has: fast enough to notice, too seldom to cost anything. */
export const nodeReportMs = 1000;
/** Reports that a change of state asks for keep this distance. */
export const nodeReportMinMs = 100;
/** Replicas tell each other their hashes at every position that is a multiple of this. */
export const proofInterval = 256n;
/** Own hashes kept at those positions: a peer may be this many of them behind and is still compared. */
export const proofRing = 64;
/** Own hashes kept of the last positions, each: what peers say once a second falls between the others. */
export const proofRecent = 1024;
/** Positions at which votes of peers are kept, per partition. */
export const proofVotesMax = 128;
/** After a first difference, slower replicas have this long to say which side they are on. */
export const proofWaitMs = 3000;
/** How long a replica that found nothing wrong with itself waits for what the other one found. */
export const proofVerdictMs = 60_000;
/** Free space, as a share of the disk: below the first, writes are refused; below the second, applying stops. Defaults. */
export const diskLowShare = 0.15;
export const diskCriticalShare = 0.05;
/** This much more must be free before either ends, or half as much as its own share where that is less: it must not flap. */
export const diskRecoverShare = 0.02;
export const diskCheckMs = 2000;
/** A write that was refused for want of disk is worth trying again after this. */
export const diskRetryAfterMs = 10_000;
/** Between attempts to open or copy a replica, doubling, first to last; for ever. */
export const replicaRetryMinMs = 250;
export const replicaRetryMaxMs = 30_000;
/** After so many attempts to read them the data of a replica count as damaged: what a machine was short of for a moment looks alike. */
export const replicaUnreadableMax = 3;
/** A replica that ran this long is not a failing one: the next attempt waits the shortest again. */
export const replicaStableMs = 60_000;
/** How often a halted replica looks whether it can be mended. */
export const haltRecheckMs = 1000;
/** A log that seems shorter than it was, or gone, must seem so for this long: an old leader of it may answer for a while. */
export const logRegressedConfirmMs = 3000;
export const logRegressedCheckMs = 500;
/** How long a node that was away from NATS waits for its peers to say where they are before it goes on. */
export const peerAnswerMs = 500;
/** How often a node asks where the log of a replica ends. */
export const logEndPollMs = 5000;
/** Folders of replicas that were set aside, per partition: so many that only a person removes, and so many others. */
export const asideFoldersMax = 3;
/** How often a node looks whether what it still has of replicas that are elsewhere now may go. */
export const retentionCheckMs = 10_000;

/** Replicas of one partition: more of them cost each write and protect from nothing further. */
export const replicationFactorMax = 7;
/** A node that reported nothing new for this long is not live: several reports, and a pause of its process. */
export const nodeSilenceMs = 5000;
/** One request to a key-value bucket: longer than an election of its leader usually takes to be noticed. */
export const bucketRequestTimeoutMs = 5000;
/** A request to a bucket that may be repeated is asked again this often while unanswered: one that has no leader yet answers nothing. */
export const bucketAskAgainMs = 500;
/** What nobody heard is said again after this long: a bucket was made or lost its leader a moment ago. */
export const bucketSayAgainMs = 100;
/** After a read of a bucket that failed, the next one waits this long. */
export const bucketRetryMs = 500;
/** Buckets are read anew this often, whatever their watch said: it may have missed something. */
export const bucketRereadMs = 5000;
/** Reports of nodes that arrive within this time are told together. */
export const registryGatherMs = 20;
/** Earlier processes of a node that are remembered, so that a late report of one is not taken for news. */
export const nodeBootsRemembered = 16;
/** A process that was taken for followed by another, and reports this often while that one is silent, is the one that lives. */
export const nodeBackReports = 2;

/** NATS: how long one server may take to accept a connection: one that is frozen does so and says nothing. */
export const natsDialTimeoutMs = 2000;
/** A connection is pinged this often, and cut at the second ping that is due without an answer to the first ones: a frozen server costs less than two seconds. */
export const natsPingMs = 600;
/** Before the same server is tried again: doubles from the first to the last, less up to half at random. */
export const natsReconnectMsMin = 100;
export const natsReconnectMsMax = 1000;
/** One request to JetStream: it is made again after this long. */
export const natsRequestMs = 2000;
/** Pause before a request that was refused for the moment, for want of a leader, is made again, */
export const natsAskAgainMs = 200;
/** and for how long it is, in all: an election takes 4 to 9 s. */
export const natsAnswerWaitMs = 12_000;
/** A leader that heard of no majority of copies for this long may have been replaced: an election begins after 4 s, heartbeats come each second. */
export const logLeaderSilenceMs = 2500;
/** How long JetStream remembers which appends it has: much longer than one is tried again, so that a frozen server's copy is known too. */
export const logDuplicateWindowMs = 30_000;
/** Headers of a message of the log, as it is published and as it is told, within the largest payload. */
export const logHeaderBytes = 1024;
/** An append that is not answered is published again after this long; it takes a few ms. */
export const logResendMs = 1500;
/** and its outcome is called unknown after this long. */
export const logAppendWaitMs = 8000;
/** An append that is refused for the moment is tried again for this long: others may know a better log. */
export const logRefusedWaitMs = 1000;
/** How often appends that are pending are looked at. */
export const logPublisherTickMs = 50;
/** One read of a log in JetStream: so many bytes, and what the last record has beyond them, */
export const logReadBytes = 1024 * 1024;
/** and records. */
export const logReadRecordsMax = 4096;
/** A read during which nothing is heard for this long has failed. */
export const logReadSilenceMs = 1000;
/** Pause before a record that should be there is looked for again. */
export const logReadAgainMs = 100;
/** The record of an append that was acknowledged arrives at about the same time: it is looked for after this long. */
export const logHintWaitMs = 50;
/** A log that says nothing is asked for more after this long, doubling from the first to the last. */
export const logQuietPollMsMin = 1000;
export const logQuietPollMsMax = 5000;
/** How often a log is asked whether it still has what its reader needs. */
export const logCheckMs = 10_000;
/** A log that its reader never saw must seem absent for this long: a leader of the metadata that was cut off steps down within it. */
export const logAbsentConfirmMs = 20_000;
/** Records, the last that were taken, that are known again: 8 bytes each; what is told twice is told at about the same time. */
export const logTakenTimesMax = 1024;
/** A record that its log's leader does not have must be missing for this long. */
export const logHoleConfirmMs = 6000;

/** How often a log that is recovered is fenced anew, since something moved meanwhile, until that is given up for now. */
export const recoverAttemptsMax = 8;
/** Where another one changed the topology first, it is tried again after up to this long, at random: many logs may be recovered at once. */
export const recoverStepBackMs = 300;
/** Streams of later generations, which no topology names, that the recovery of a log walks past. */
export const recoverGenerationsMax = 64;
/** A stream that was sealed is looked at again after this long, before another one takes its place: a leader that is elected meanwhile, in 4 to 9 s, may first have to be told. */
export const recoverSealedMs = 10_000;
/** and one that is gone after this long: each replica found it gone for as long already. */
export const recoverAbsentMs = 3000;
/** How long nodes may take to say how their replicas are after a log was fenced: a replica that ran may notice only when it asks where its log ends, and must make sure. */
export const recoverReportsMs = 20_000;
/** How often a node asks whether the cluster's topology is still there at all. */
export const topologyCheckMs = 10_000;
/** A node's HTTP server answers a scraper and two probes: a slow or greedy client holds nothing up. */
export const metricsConnectionsMax = 64;
export const metricsTimeoutMs = 10_000;
/** A replica with the memory engine saves a snapshot when so much was written since the last one, or as much as it holds: what a restart replays. */
export const replicaSnapshotBytes = 64 * 1024 * 1024;
/** A replica that joins becomes one that serves when it is at most this many batches behind its log. */
export const promoteLagMax = 100;
/** Replicas that one node builds at a time: each copies a whole partition from a node that serves. */
export const joinsPerNodeMax = 2;
/** Replicas that a cluster builds at a time. */
export const joinsMax = 64;
/** Changes of the topology by others, while it is being changed, before that is given up for now. */
export const topologyAttemptsMax = 16;
/** A recovered topology skips this many epochs: one that somebody saw, and nobody tells of, is not given out twice. */
export const topologyRecoveryEpochs = 1000n;
/** Log streams of a new cluster that are made at a time. */
export const logsMadeMax = 4;
