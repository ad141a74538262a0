// Bounds of the archive of logs, of trimming, and of restores to a point in time. Part of limits.ts, which says
// what a bound is for.

/** A batch waits for so long, at most, before the segment with it is written: what is lost with the log and all replicas. */
export const archiveIntervalMs = 2000;
/** How long a node on its own that stops stores what is left to archive: its next start does it else. */
export const archiveDrainMs = 3000;
/** A segment is written as soon as its batches take so much: worth a request, and held in memory once more while it is uploaded. */
export const archiveSegmentBytes = 4 * 1024 * 1024;
/** What a segment may be decompressed to: one batch may pass its size. */
export const archiveSegmentBytesReadMax = 64 * 1024 * 1024;
/** Batches in one segment: empty ones take no bytes, and each is an object while it is read. */
export const archiveSegmentBatchesMax = 65_536;
/** Level of zstd: as of checkpoints, the thread pool is the log's, too. */
export const archiveLevel = 1;
/** Pause after a failure, doubled up to the second one: the repository is down for everybody. */
export const archiveRetryMs = 500;
export const archiveRetryMsMax = 15_000;
/** Segments that a restore fetches ahead, and what they may take as they are stored: each is a round trip. */
export const archiveReadAheadMax = 8;
export const archiveReadAheadBytes = 8 * 1024 * 1024;
/** Logs of an archive whose description is read at a time; each is a round trip. */
export const archiveReadsMax = 16;

/**
 * What the journal of a node on its own may take of the disk for the sake of its archive: while the repository is away, so
 * much waits for it. Opening the node reads all of it, and its index takes memory.
 */
export const archiveJournalBytesMax = 1024 * 1024 * 1024;

/** Positions that the log keeps below what is safely stored elsewhere: a replica that was away for a while needs no restore. */
export const trimMarginRecords = 10_000n;
/** A checkpoint counts for trimming when it is so old: what was just made may still be found wanting. */
export const trimMarginMs = 10 * 60_000;
/** A live replica that is so far behind does not hold the trim up: it restores a checkpoint sooner than it reads that much. */
export const trimReplicaLagMax = 100_000n;

/** By how much the clocks of a log and of whoever makes checkpoints and restores may differ, where what came first follows from times. */
export const historyClocksDifferMs = 60_000;
/** Generations by which the logs of a restore are ahead of the latest one that the repository has heard of: logs that were recovered since are not in it. */
export const restoreGenerationsAhead = 4;
/** Writes that a restore to a point in time collects before it commits them. */
export const replayCommitBytes = 8 * 1024 * 1024;
/** Batches that a restore applies between two looks whether it is another's turn. */
export const replayTurnBatches = 64;
/** Records that are read at a time of a state whose slots are spread anew. */
export const reshapePartRecords = 1024;
/** How often a node looks which partitions it is to archive. */
export const archiveLookMs = 1000;
