// Bounds of splits and merges on a node, a part of limits.ts: when the slots are fenced, and for how long.

/** Slots stay fenced for about this long at most: then they are opened again, and it is tried again later. Clients wait meanwhile. */
export const reshapeFencedMs = 2000;
/** Who finishes what another node began waits this long for each node that comes before it: that may be about to do it. */
export const reshapeTakeOverMs = 1000;
/** What changed is taken over this often, while the slots are not fenced yet, */
export const reshapeRoundMs = 200;
/** and it is near its source when a round, that is not the first, read at most so much, */
export const reshapeNearRecords = 2000;
/** or took at most this long; */
export const reshapeNearRoundMs = 50;
/** or there were so many of them: a source that is written to that fast does not let anybody come nearer. */
export const reshapeNearRounds = 20;
/** How long the other replicas may take to come near, after the one that drives: those that do not get their child from a peer. */
export const reshapeOthersNearMs = 60_000;
/** How long, while the slots are fenced, they may take to finish, after the one that drives. */
export const reshapeOthersBuiltMs = 150;
/** A replica that is near holds its log where the slots are handed over until its child is complete, this long at most. */
export const reshapeHoldMs = 5000;
/** Between attempts, doubling, first to last; for ever, until it is given up. */
export const reshapeRetryMinMs = 1000;
export const reshapeRetryMaxMs = 60_000;
/** Between attempts of one step that another node or NATS did not let pass. */
export const reshapeStepRetryMs = 100;
/** A situation is looked at this often though nothing happened. */
export const reshapeLookMs = 500;
/** A fence of which the topology says nothing must have been there for this long before it is lifted: the topology may come yet. */
export const reshapeStrayFenceMs = 3000;
/** Idempotency records that one command brings to a target. */
export const reshapeRememberRecords = 1000;
/** A replica whose slots were absorbed elsewhere meanwhile waits this long to catch up with that from its own neighbour. */
export const reshapeCatchUpMs = 60_000;
/** Results of single operations in one such command: some 20 bytes each. */
export const reshapeRememberOperations = 10_000;
/** While the partitions become more or fewer, one node looks for what is to be done next this often, */
export const resizeStepMs = 200;
/** and where nothing can be done, ever more seldom, down to this. */
export const resizeWaitMs = 2000;
