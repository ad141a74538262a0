// Bounds of who conducts checkpoints: runs, their heartbeats and deadlines, schedules. Part of limits.ts, which
// says what a bound is for.

/** How often a node with a repository looks whether a checkpoint is asked for: a read of one key each. */
export const checkpointRunPollMs = 1000;
/** How often the conductor of a run says that it lives, and how far it is. */
export const checkpointHeartbeatMs = 2000;
/** A run whose heartbeat is not seen to move for this long, by the clock of who looks, is taken over: NATS may need some seconds for another leader. */
export const checkpointSilenceMs = 20_000;
/** A request that nobody takes for this long, as whoever asks anew has seen, makes room for another one. */
export const checkpointRequestWaitMs = 60_000;
/** Beyond its deadline a run has this long to say what became of it; then it is taken over, though it lives. */
export const checkpointOverdueMs = 60_000;
/** Attempts of one scheduled time; pauses between them begin with the second and double. */
export const checkpointAttemptsMax = 3;
export const checkpointRetryMs = 60_000;
/** Attempts to change the document of a run while others change it. */
export const checkpointRunAttempts = 8;
/** Partitions that are written at a time, over all nodes, */
export const checkpointPartitionsMax = 4;
/** and on one node: each holds blocks in memory, and takes CPU from its traffic. */
export const checkpointsPerNodeMax = 2;
/** How long a node that writes as many as it may is waited for, before it is asked again. */
export const checkpointBusyMs = 1000;
/** How often a run begins a checkpoint anew because slots changed hands in a way that what was written makes no layout. */
export const checkpointLayoutAttempts = 3;
/** How often, `checkpointBusyMs` apart, the topology is looked at again for who has slots that are nobody's: a split or a merge ends in 2 s. */
export const checkpointLayoutWaits = 30;
/** Attempts to write one partition, over all its replicas. */
export const checkpointReplicaAttempts = 6;
/** A snapshot lets an LMDB file grow with each commit: one that is held this long is given up. 50 MB/s: 180 GB of one partition. */
export const checkpointSnapshotMs = 3600_000;
/** How often a node says how far it is with a partition, also where nothing moved: who hears nothing gives it up. */
export const checkpointProgressMs = 1000;
/** Bytes of progress that may be on the way: each item has some tens. */
export const linkCheckpointWindowBytes = 64 * 1024;
/** Checkpoints that the catalogue in the bucket names, the newest first: a message of NATS has 1 MiB. */
export const checkpointCatalogMax = 200;
/** How often a node looks whether its repository answers, and whether checkpoints were deleted by hand: one listing of deletions. */
export const checkpointLookMs = 30_000;
/** More often it may not look: each is a request that object storage counts. */
export const checkpointLookMsMin = 500;
/** A look that lasts for as long as so many take should is one at a repository that does not answer. */
export const checkpointSilentLooks = 3;
/** What the catalogue says is read out of the repository again after this long, whatever seems to have changed: a listing of all manifests, by one node. */
export const checkpointRefreshMs = 3600_000;
/** How often a repository is cleared up and logs are trimmed, where no run ends meanwhile. */
export const checkpointUpkeepMs = 3600_000;
/** Damaged checkpoints, and reasons why nothing is cleared up, that the catalogue names. */
export const checkpointTroublesMax = 20;
/** Calls of a run that was ended have this long to end; then they are left behind: a disk of another machine may answer never. */
export const checkpointHungMs = 30_000;
/** Runs that ended and can still be asked for by their id. */
export const checkpointRunsKept = 20;
/** Text of an error that is kept with a run. */
export const checkpointErrorCharsMax = 1000;
/** Shortest interval and pause that a schedule may ask for. */
export const checkpointIntervalMsMin = 10_000;
export const checkpointIntervalMsMax = 366 * 24 * 3600_000;
/** Clocks of nodes may differ by this: what was asked for by one that is further ahead counts for nothing. */
export const checkpointClockAheadMs = 600_000;
/** The schedule keeps this long between two checkpoints, unless told otherwise. */
export const checkpointMinIntervalMsDefault = 60_000;
/** Checkpoints that stay whatever their age: the log is kept only since the older one. */
export const checkpointsKeptMin = 2;
/** The final checkpoint of a node that is asked to stop, unless told otherwise: less than it has to stop. */
export const checkpointShutdownMs = 12_000;
export const checkpointShutdownMsMax = 3600_000;
