// Bounds of the work on splits and merges, a part of limits.ts: what copies entries, and removes them where they moved away.

/** Records that building a child, staging and removing look at between two looks whether it is another's turn: some 0.3 ms. */
export const reshapeTurnRecords = 128;
/** A commit of what is copied: more of them would hold the thread for long, fewer would wait for the disk more often. */
export const reshapeCommitRecords = 2048;
export const reshapeCommitBytes = 1024 * 1024;
/** How often a node looks whether entries of other partitions' slots may be removed from a replica. */
export const foreignLookMs = 2000;
