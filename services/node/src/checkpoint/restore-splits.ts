// What comes of a partition of a restore plan by splits: each child, and the way from the split to the moment. Whether it
// came to be by then is known only when the source is there: its log has to have handed the slots over.
import type { History, ListedSegment, PathStep, Repository } from '@statestore/checkpoint';
import { beforeHole } from './restore-hole.ts';
import { warningOf } from './restore-reach.ts';

/** A partition that was split off on the way. */
export interface ChildPlan {
  readonly partition: number;
  /** Of its log, as the split named it. */
  readonly generation: number;
  /** Of the source's log, at which its slots were fenced: its first batch is the next one. */
  readonly position: bigint;
  /** UUID of its first state, and the chain of that: 32 hexadecimal digits. */
  readonly incarnation: string;
  readonly chain: string;
  readonly path: readonly PathStep[];
  readonly segments: ReadonlyMap<string, readonly ListedSegment[]>;
  /** As of PartitionPlan. */
  readonly through: bigint | undefined;
  readonly nanos: bigint | undefined;
  /** As the field of PartitionPlan. To be asked when it is there. Rejects as warningOf. */
  readonly warning: () => Promise<string | undefined>;
  readonly children: readonly ChildPlan[];
}

export interface SplitsOptions {
  readonly repository: Repository;
  readonly history: History;
  readonly segments: ReadonlyMap<string, readonly ListedSegment[]>;
  readonly moment: 'newest' | 'time' | 'position';
  readonly nanos: bigint | undefined;
  /** By partition; undefined: none was named. */
  readonly positions: ReadonlyMap<number, bigint> | undefined;
  /** Time of the oldest state that is kept. */
  readonly sinceNanos: bigint;
  readonly signal: AbortSignal;
}

/** `from`: where the path begins. Throws as History.pathFrom. */
export function planSplits(options: SplitsOptions, path: readonly PathStep[], from: bigint): ChildPlan[] {
  const { history, segments, nanos, moment, positions } = options;
  return history.splitsOn(path, from).map((split): ChildPlan => {
    const { partition, position, incarnation } = split;
    const whole = history.pathFrom(partition, split, nanos);
    const hole = moment === 'newest' ? beforeHole(split, whole, segments) : undefined;
    const own = hole?.path ?? whole;
    const summary = { partition, position, incarnation, clockNanos: 0n };
    const warning = async (): Promise<string | undefined> =>
      hole?.warning ?? (moment === 'position' ? undefined : warningOf({ ...options, summary, path: own }));
    const children = planSplits(options, own, position);
    return { ...split, path: own, segments, through: positions?.get(partition), nanos, warning, children };
  });
}

/** Numbers of the partitions that may come of one. Throws as History.pathFrom. */
export function splitsOf(
  history: History,
  path: readonly PathStep[],
  { from, nanos }: { readonly from: bigint; readonly nanos: bigint | undefined },
): number[] {
  return history.splitsOn(path, from).flatMap((split) => {
    const { partition, position } = split;
    return [partition, ...splitsOf(history, history.pathFrom(partition, split, nanos), { from: position, nanos })];
  });
}
