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
}

export interface RetainedCheckpoint {
  readonly id: string;
  readonly completedAtMs: number;
}

/**
 * Ids to delete, the oldest first. Only complete checkpoints are to be given: damaged ones neither count as kept
 * nor go by themselves. The newest ones stay by their order, not by their age: with no new ones coming, or a
 * clock far ahead, `keepMin` are left.
 */
export function retired(
  complete: readonly RetainedCheckpoint[],
  { maxCheckpoints = Infinity, maxAgeMs = Infinity, keepMin }: RetentionPolicy,
  nowMs: number,
): readonly string[] {
  return complete
    .toSorted(newestFirst)
    .filter(({ completedAtMs }, newer) => {
      if (newer < Math.max(1, keepMin)) return false;
      return newer >= maxCheckpoints || nowMs - completedAtMs > maxAgeMs;
    })
    .map(({ id }) => id)
    .toReversed();
}
