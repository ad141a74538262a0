// Which checkpoints have been kept for long enough: a function of what is listed, nothing else. Deleting them is
// delete-checkpoint.ts.
import { newestFirst } from './checkpoint-id.ts';

export interface RetentionPolicy {
  /** At most so many are kept; undefined: any number. */
  readonly maxCheckpoints?: number | undefined;
  /** and none that was completed longer ago than this. */
  readonly maxAgeMs?: number | undefined;
  /** So many of the newest stay whatever the other two say; at least 1. */
  readonly keepMin: number;
  /** Something waits for checkpoints to be so old: */
  readonly settling?: Settling | undefined;
}

export interface Settling {
  readonly ageMs: number;
  /** so many of them are always there, or become that old. */
  readonly count: number;
}

export interface RetainedCheckpoint {
  readonly id: string;
  /** By the repository's clock. */
  readonly storedAtMs: number;
}

/**
 * Ids to delete, the oldest first; `nowMs` is of the repository's clock. Only complete checkpoints are to be given: damaged ones neither count as kept
 * nor go by themselves. The newest ones stay by their order, not by their age: with no new ones coming, or a
 * clock far ahead, `keepMin` are left.
 */
export function retired(
  complete: readonly RetainedCheckpoint[],
  { maxCheckpoints = Infinity, maxAgeMs = Infinity, keepMin, settling }: RetentionPolicy,
  nowMs: number,
): readonly string[] {
  const ordered = complete.toSorted(newestFirst);
  const settled = settlingOf(ordered, settling, nowMs);
  return ordered
    .filter(({ id, storedAtMs }, newer) => {
      if (newer < Math.max(1, keepMin) || settled.has(id)) return false;
      return newer >= maxCheckpoints || nowMs - storedAtMs > maxAgeMs;
    })
    .map(({ id }) => id)
    .toReversed();
}

/** The newest that are old enough; and the oldest that are not, which come to be the next ones. */
function settlingOf(
  ordered: readonly RetainedCheckpoint[],
  settling: Settling | undefined,
  nowMs: number,
): ReadonlySet<string> {
  if (settling === undefined) return new Set();
  const { ageMs, count } = settling;
  const isOld = ({ storedAtMs }: RetainedCheckpoint): boolean => nowMs - storedAtMs >= ageMs;
  const old = ordered.filter(isOld).slice(0, count);
  const young = ordered.filter((each) => !isOld(each)).slice(-count);
  return new Set([...old, ...young].map(({ id }) => id));
}
