// Bounds of one replica on a node of a cluster, a part of limits.ts: what it notes and keeps of its history, and how
// it learns the time when it starts.

/** Own chains that a replica stores beside its state, of its last positions: one that was so far behind is known to be of the same history. 30 bytes each. */
export const chainNotesMax = 4096;
/** A replica that starts gives another one of its partition this long, at most, to make their log tell the time; */
export const clockAskMs = 300;
/** it waits for that so long before it serves without; */
export const clockWaitMs = 2000;
/** and then asks again this often. */
export const clockAskAgainMs = 5000;
/** How often a node looks what data it keeps aside: whoever removes them wants to see that soon. */
export const keptLookMs = 5000;
/** Partitions that `statestore recover` looks at, and carries on, at a time: each one waits for 10 s or more, and all change one topology. */
export const recoverPartitionsMax = 8;
