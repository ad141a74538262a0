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
 * The way that the cluster itself went until that time: at each fork on with the log that began last, but not after
 * it. `logs` of one partition.
 */
export function pathAt(logs: readonly BranchingLog[], from: PathStart, nanos: bigint | undefined): PathStep[] {
  const path: PathStep[] = [];
  let at = from;
  for (;;) {
    const next = successor(logs, at, nanos);
    path.push({ incarnation: at.incarnation, through: next?.continues!.position });
    // Each one begins where the one before ends or later: none comes twice.
    if (next === undefined || path.length > logs.length) return path;
    at = { incarnation: next.incarnation, position: next.continues!.position };
  }
}

function successor(
  logs: readonly BranchingLog[],
  { incarnation, position }: PathStart,
  nanos: bigint | undefined,
): BranchingLog | undefined {
  return logs
    .filter(({ continues, firstNanos }) => {
      if (continues?.incarnation !== incarnation || continues.position < position) return false;
      return firstNanos !== undefined && (nanos === undefined || firstNanos <= nanos);
    })
    .toSorted((a, b) => Number(b.firstNanos! - a.firstNanos!) || b.generation - a.generation)[0];
}

/** The way to a log, by which ones it carries on. Throws `invalid_parameter` where it does not lead from there. */
export function pathTo(logs: readonly BranchingLog[], from: PathStart, incarnation: string): PathStep[] {
  const path: PathStep[] = [{ incarnation, through: undefined }];
  let at = incarnation;
  while (at !== from.incarnation) {
    const continues = logs.find((log) => log.incarnation === at)?.continues;
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
