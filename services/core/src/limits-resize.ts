// Bounds of the way from one number of partitions to another.

/** The greatest number of a partition that can be told from none: 16 bits, all set. */
export const partitionNumberMax = 0xfffe;
/** Splits and merges of a cluster at a time: each reads a whole partition on each node that holds it, beside its clients. */
export const reshapesMax = 4;
/** Of the merges that are to come, those whose partitions are brought to one another's nodes while earlier ones are under way. */
export const mergesAheadMax = 16;
/** Clients that follow a partition that was merged away, or are in doubt about a request to it, have this long. */
export const retiredKeptMs = 600_000;
/** A node that carries at most this much more than all do on average is left as it is: moves cost more than they gain. */
export const balancedPart = 0.05;
