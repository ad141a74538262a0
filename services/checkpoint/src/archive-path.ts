// Through which logs the history of a partition leads from a checkpoint to where one wants to be: pure. Logs form a
// tree, by which earlier log each carries on. A log that was recovered, or a cluster that was restored, made a new one.
import { StateStoreError } from '@statestore/core';
import type { ArchivedLog } from './archived-log.ts';

/** One log of the way, and how far to go in it; undefined: to its end. */
export interface PathStep {
  readonly incarnation: string;
  readonly through: bigint | undefined;
}

export interface BranchingLog extends Pick<ArchivedLog, 'incarnation' | 'continues' | 'generation'> {
  /** When its first archived batch was stored, ns since 1970; undefined: nothing of it is archived. */
  readonly firstNanos: bigint | undefined;
}

export interface PathStart {
  readonly incarnation: string;
  readonly position: bigint;
}

/**
 * The log that a cluster wrote to at a time, of those of one of its partitions: the one that began last, but not after
 * it. `nanos` undefined: now. Undefined: nothing was archived by then.
 */
export function tipAt<L extends BranchingLog>(logs: readonly L[], nanos: bigint | undefined): L | undefined {
  return logs
    .filter(({ firstNanos }) => firstNanos !== undefined && (nanos === undefined || firstNanos <= nanos))
    .toSorted((a, b) => Number(b.firstNanos! - a.firstNanos!) || b.generation - a.generation)[0];
}

/** The way to a log, by which ones it carries on. Throws `invalid_parameter` where it does not lead from there. */
export function pathTo(logs: readonly BranchingLog[], from: PathStart, incarnation: string): PathStep[] {
  const path: PathStep[] = [{ incarnation, through: undefined }];
  let at = incarnation;
  while (at !== from.incarnation) {
    const log = logs.find((each) => each.incarnation === at);
    // A partition that nothing was ever written to is of no log yet.
    if (from.incarnation === '' && log !== undefined && log.continues === undefined) break;
    const continues = log?.continues;
    if (continues === undefined || path.length > logs.length) {
      throw new StateStoreError(
        'invalid_parameter',
        `the log ${incarnation} does not carry on ${from.incarnation}, or nothing of it is archived`,
      );
    }
    path.unshift({ incarnation: continues.incarnation, through: continues.position });
    at = continues.incarnation;
  }
  const [first] = path;
  if (first?.through !== undefined && first.through < from.position) {
    throw new StateStoreError(
      'invalid_parameter',
      `the log ${incarnation} leaves ${from.incarnation} at ${first.through}, before position ${from.position}`,
    );
  }
  return path;
}
