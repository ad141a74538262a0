// Through which logs the history of a partition leads from a checkpoint to where one wants to be: pure. Logs form a
// tree, by which earlier log each carries on. A log that was recovered, or a cluster that was restored, made a new one.
// Which log that is at a time: history.ts.
import { StateStoreError } from '@statestore/core';
import type { ArchivedLog } from './archived-log.ts';

/** One log of the way, and how far to go in it; undefined: to its end. */
export interface PathStep {
  readonly incarnation: string;
  readonly through: bigint | undefined;
  /** There, as the log says that carries it on from there: 32 hexadecimal digits. */
  readonly chain?: string | undefined;
}

export type BranchingLog = Pick<ArchivedLog, 'incarnation' | 'continues'>;

export interface PathStart {
  readonly incarnation: string;
  readonly position: bigint;
}

/** Where a way ends; an empty incarnation: before the first batch of any log. */
export interface PathEnd {
  readonly incarnation: string;
  /** Undefined: with the log. */
  readonly through?: bigint | undefined;
}

/**
 * The way to the end of a log, or to a position in it, by which ones logs carry on. Throws `invalid_parameter` where none
 * leads from there.
 */
export function pathTo(logs: readonly BranchingLog[], from: PathStart, end: PathEnd | string): PathStep[] {
  const to: PathEnd = typeof end === 'string' ? { incarnation: end } : end;
  const path: PathStep[] = [{ incarnation: to.incarnation, through: to.through }];
  let at = to.incarnation;
  while (at !== from.incarnation) {
    const log = logs.find((each) => each.incarnation === at);
    // A partition that nothing was ever written to is of no log yet.
    if (from.incarnation === '' && log !== undefined && log.continues === undefined) break;
    const continues = log?.continues;
    if (continues === undefined || path.length > logs.length) {
      throw new StateStoreError(
        'invalid_parameter',
        `the log ${to.incarnation} does not carry on ${from.incarnation}, or nothing of it is archived`,
      );
    }
    const { incarnation, position, chain } = continues;
    path.unshift({ incarnation, through: position, chain });
    at = incarnation;
  }
  const [first] = path;
  if (first?.through !== undefined && first.through < from.position) {
    throw new StateStoreError(
      'invalid_parameter',
      `the history left ${from.incarnation} at ${first.through}, before position ${from.position}`,
    );
  }
  return to.incarnation === '' ? [] : path;
}
