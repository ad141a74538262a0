// Bounds of checkpoints: what they are cut into, what a writer and a reader hold at once, how long things are
// kept. Part of limits.ts, which says what a bound is for.

/** Content of one block, on average: small enough that a change replaces little, large enough to compress and to be worth a request. */
export const checkpointBlockBytesTarget = 1024 * 1024;
/** A block ends here whatever its keys are; one record may pass it. */
export const checkpointBlockBytesMax = 4 * 1024 * 1024;
/** The greatest content that a reader accepts in a block: any record fits, and what lies about its size does not fill the memory. */
export const checkpointBlockBytesReadMax = 64 * 1024 * 1024;
/** Contents of blocks that a writer is compressing and uploading, or a reader downloading ahead. */
export const checkpointInFlightBytes = 24 * 1024 * 1024;
/** Blocks uploaded or downloaded at a time: a request of object storage takes tens of ms. */
export const checkpointTransfersMax = 8;
/** Blocks that a process compresses at a time: the thread pool, of four, is the log's and the disk's, too. */
export const checkpointCompressionsMax = 2;
/** Level of zstd. 3 takes twice the CPU and saves a few percent. */
export const checkpointLevelDefault = 1;
export const checkpointLevelMax = 19;
/** Layers of a partition's checkpoint: each one is merged at a restore. One more, and everything is written anew. */
export const checkpointLayersMax = 8;
/** Keys whose changes a layer takes at most: they are held in memory. More, and everything is written. */
export const checkpointChangedKeysMax = 500_000;
/** What has less content than this in the checkpoint before is written whole into a layer: comparing takes a round trip or more, and saves less. */
export const checkpointCompareFromBytes = 64 * 1024;
/** Attempts to upload a block whose outcome was not known; the repository made its own before. */
export const checkpointUploadAttempts = 3;
/** Contents of blocks that a restore into other slots keeps, since stores are not in one order in all partitions. */
export const checkpointCacheBytes = 32 * 1024 * 1024;
/** Records between two looks whether it is another's turn. */
export const checkpointTurnRecords = 32;
/** Records of a state that are verified between two looks whether it is another's turn: some 20 µs. */
export const verifyStepRecords = 32;
/** How long the checkpoints of a node hold its thread at a time: whoever writes meanwhile waits that long more. */
export const checkpointTurnMs = 0.5;
/** Their share of the thread while clients keep it busy: with what uploading takes beside it, clients are to keep 70 % of their rate. */
export const checkpointBusyShare = 0.2;
/** A round of the thread in which others took less than this had no work of theirs. One request takes as long. */
export const checkpointIdleMs = 0.05;
/** A manifest that says to be larger than this is none. */
export const checkpointManifestBytesMax = 64 * 1024 * 1024;

/** A checkpoint that is not complete by then is given up: some TB at 50 MB/s, and no run stays for ever. */
export const checkpointDeadlineMs = 12 * 3600 * 1000;
/** What was deleted, or was begun and says nothing, is removed after this long by the repository's clock: more than the deadline, and than a restore takes. */
export const checkpointGraceMs = 24 * 3600 * 1000;
/** How long it is remembered that an id is deleted or given up, once nothing of it is left: a request of a process that was frozen may still come. */
export const checkpointDecidedKeptMs = 30 * 24 * 3600 * 1000;
/** Manifests of the catalogue that are read at a time; each is a round trip. */
export const checkpointReadsMax = 16;
/** The manifest of a cluster: 4096 partitions of some 400 bytes. Partitions' manifests: checkpointManifestBytesMax. */
export const checkpointClusterManifestBytesMax = 8 * 1024 * 1024;
/** Attempts to find out what became of a manifest whose creation was not answered, and to begin on a checkpoint that is not deleted at that moment. */
export const checkpointCommitAttempts = 5;
/** How long it counts that a block was read whole: then it is read again, before a log is trimmed because of it. */
export const checkpointProofMs = 24 * 3600 * 1000;
/** Blocks read at a time for that: nobody waits for it, and each is held in memory. */
export const checkpointProofReadsMax = 2;
/** How fast each of those reads: two of them some 2.7 TB a day. */
export const checkpointProofBytesPerSecond = 16 * 1024 * 1024;
/** Times that a full repository is surveyed: without writing, with the room that is kept for it, and with what both left. */
export const checkpointCollectAttempts = 3;
/** Objects removed in one call: S3 takes 1000. */
export const checkpointRemovedAtOnce = 1000;
/** What is wrong with a checkpoint is named up to this often; the rest is counted. */
export const checkpointFindingsMax = 20;
/** Newest checkpoints that deletion and restore look at more closely, until one is good. */
export const checkpointCandidatesMax = 100;
/** A scratch folder that is being made has its name and its lock after that long: an older one was left by somebody killed. */
export const scratchDraftMs = 60_000;
/** Checkpoints that cannot be read, though the repository lists them, and that a restore passes over: each may have cost all attempts. */
export const checkpointUnreadableMax = 3;
/** Parts of a restore that wait for their transaction: while one is written to the file, the next is read and put. Each is engineBulkBytes at most. */
export const engineBulkUnderWayMax = 2;
/** A log with so many batches is not replayed by a replica that has nothing, where a checkpoint saves that: a few seconds. */
export const restoreWorthBatches = 10_000n;
/** Batches that a replica rather replays after a restore than has itself copied from a peer, which has others to serve: a minute or so. */
export const restoreReplayMax = 500_000n;
/** A repository that takes longer to say which checkpoints it has is passed by: a peer may be quicker, and it is asked again. */
export const restoreLookMs = 15_000;
/** The same where nobody else is there to ask: listing millions of objects takes as long. */
export const restoreLookAloneMs = 5 * 60_000;
/** Of keys and values: what a replica that is built takes on the disk. Pages of LMDB are not quite full, and hold small headers. */
export const buildDiskPercent = 125;
/** How often it is looked meanwhile whether the disk has room still: what else is on it grows, too. */
export const buildDiskLookMs = 200;
/** Replicas of a node that are restored at a time: each holds checkpointInFlightBytes, and they share disk and network. */
export const restoresMax = 2;
/** How often a halted replica asks the repository again whether it leads to its log: it costs a listing. */
export const restoreRecheckMs = 15_000;
