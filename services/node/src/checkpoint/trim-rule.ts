// How far the log of a partition may be purged: pure. The log goes only where it is not needed any more by anybody: what
// it held is in two verified checkpoints, and in the archive where there is one, and no replica that can soon have it from
// the log would have to be restored for it.
import { limits } from '@statestore/core';

/** A verified checkpoint, as it has this partition. */
export interface TrimCheckpoint {
  /** UUID of the log that its state is of. */
  readonly incarnation: string;
  readonly position: bigint;
  /** By the repository's clock, as `nowMs`. */
  readonly storedAtMs: number;
}

/** A replica that the topology names. */
export interface TrimReplica {
  /** UUID of the log that it follows; empty: none yet. */
  readonly incarnation: string;
  /** Stored: what it would begin from if it were started anew. */
  readonly storedPosition: bigint;
  /** Whether it is heard of. */
  readonly live: boolean;
}

export interface TrimFacts {
  /** UUID of the log. */
  readonly incarnation: string;
  /** Of the log, now. */
  readonly first: bigint;
  readonly last: bigint;
  /** Verified, complete and not deleted; in any order, also of other logs. */
  readonly checkpoints: readonly TrimCheckpoint[];
  /** Up to where it is archived; undefined: nothing is known of it yet. `off`: it is not archived. */
  readonly archived: bigint | 'off' | undefined;
  readonly replicas: readonly TrimReplica[];
  readonly nowMs: number;
}

export interface TrimMargins {
  readonly records: bigint;
  /** A checkpoint counts only when it is so old. */
  readonly ms: number;
  /** A replica that is further behind does not hold it up. */
  readonly replicaLag: bigint;
}

export type TrimVerdict =
  /** Everything below this position may go. */
  { readonly kind: 'trim'; readonly below: bigint } | { readonly kind: 'keep'; readonly why: string };

export const defaultTrimMargins: TrimMargins = {
  records: limits.trimMarginRecords,
  ms: limits.trimMarginMs,
  replicaLag: limits.trimReplicaLagMax,
};

/**
 * Of checkpoints, those of this very log count: one of the log that it carries on lies before its beginning, and of one
 * that it does not, positions mean something else. A replica that says nothing, or of another log, restores itself when
 * it comes back, as one that is far behind does.
 */
export function judgeTrim(facts: TrimFacts, margins: TrimMargins = defaultTrimMargins): TrimVerdict {
  const { incarnation, first, last, archived, replicas, nowMs } = facts;
  const positions = facts.checkpoints
    .filter((each) => each.incarnation === incarnation && nowMs - each.storedAtMs >= margins.ms)
    .map(({ position }) => position)
    .toSorted((a, b) => (a > b ? -1 : a < b ? 1 : 0));
  const second = positions[1];
  if (second === undefined)
    return { kind: 'keep', why: `it has ${positions.length} verified checkpoints; two are kept` };
  if (archived === undefined) return { kind: 'keep', why: 'it is not known what of it is archived' };
  // The last position that nobody needs any more.
  let through = second;
  let why = 'of its second newest checkpoint';
  const holdAt = (position: bigint, reason: string): void => {
    if (position >= through) return;
    through = position;
    why = reason;
  };
  if (archived !== 'off') holdAt(archived, 'of what is archived');
  holdAt(last, 'of its end');
  through -= margins.records;
  for (const { incarnation: followed, storedPosition, live } of replicas) {
    if (!live || followed !== incarnation || last - storedPosition > margins.replicaLag) continue;
    holdAt(storedPosition, 'of a replica');
  }
  if (through < first)
    return { kind: 'keep', why: `it begins at ${first}, and is kept from ${through + 1n} on, because ${why}` };
  return { kind: 'trim', below: through + 1n };
}
