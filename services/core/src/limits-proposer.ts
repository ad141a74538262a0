// Bounds of the proposer of a partition: its batches, its queue, and how long a write may take.

/** A batch is closed at this size: past 16 to 128 KiB a log gains nothing and latency suffers. */
export const batchBytesTarget = 128 * 1024;
/** Or, where commands are large, at this many or this size: 64 KiB values come to 1.9 times the rate of one a batch. */
export const batchLargeCommands = 16;
export const batchLargeBytes = 1024 * 1024;
export const batchCommandsMax = 1024;
/** Commands that may wait for a partition's proposer: about two seconds of work. */
export const proposerQueueCommandsMax = 20_000;
export const proposerQueueBytesMax = 64 * 1024 * 1024;
/** How long a batch may wait for the clients that the last answer released. */
export const gatherMsMax = 1;
/** How long a write may wait for its answer before the outcome is called unknown. */
export const proposeTimeoutMs = 10_000;
