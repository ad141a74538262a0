// From what is and what is under way to another number of partitions: what of that is to be given up, and which splits
// and merges are still to come. Made anew whenever something changed: what was done meanwhile is not planned again.
import { planSlots, takeMerge, takeSplit } from './plan-slots.ts';
import type { SlotsStep } from './plan-slots.ts';
import type { PartitionPlacement, Reshape, Topology } from './topology.ts';

export interface ResizePlan {
  /** Reshapes under way that would have to be undone. */
  readonly giveUp: readonly Reshape[];
  /** In order; those that have no partition in common with an earlier one, or with a reshape under way, may begin. */
  readonly steps: readonly SlotsStep[];
  /** When all is over, ascending. */
  readonly partitions: readonly PartitionPlacement[];
}

export function planResize(topology: Topology, count: number): ResizePlan {
  const { partitions, reshapes = [], retired = [] } = topology;
  const going = reshapes.filter(({ cancelled }) => cancelled !== true);
  const excess = partitions.length + countOf(going, 'split') - countOf(going, 'merge') - count;
  const against = excess > 0 ? 'split' : 'merge';
  // The last that were begun have least behind them.
  const giveUp = excess === 0 ? [] : going.filter(({ kind }) => kind === against).slice(-Math.abs(excess));
  const all = new Map(partitions.map((placement) => [placement.partition, placement]));
  for (const reshape of going) {
    if (giveUp.includes(reshape)) continue;
    const { kind, source: partition, target, slots } = reshape;
    if (kind === 'split') takeSplit(all, { kind, partition, child: target, slots });
    else takeMerge(all, { kind, partition, into: target });
  }
  const taken = [
    ...partitions.map(({ partition }) => partition),
    ...reshapes.map(({ target }) => target),
    ...retired.map(({ placement }) => placement.partition),
  ];
  const after = [...all.values()].sort((a, b) => a.partition - b.partition);
  return { giveUp, ...planSlots(after, count, taken) };
}

function countOf(reshapes: readonly Reshape[], kind: Reshape['kind']): number {
  return reshapes.filter((each) => each.kind === kind).length;
}

/** By partition that takes part in the next `count` merges: the one that it is part of when all are done. Not of those themselves. */
export function mergeHomes(steps: readonly SlotsStep[], count: number): ReadonlyMap<number, number> {
  const next = new Map(steps.flatMap((step) => (step.kind === 'merge' ? [[step.partition, step.into] as const] : [])));
  const homeOf = (partition: number): number => {
    let home = partition;
    for (let into = next.get(home); into !== undefined; into = next.get(home)) home = into;
    return home;
  };
  const homes = new Map<number, number>();
  for (const step of steps.slice(0, count)) {
    if (step.kind !== 'merge') continue;
    for (const partition of [step.into, step.partition]) {
      const home = homeOf(partition);
      if (home !== partition) homes.set(partition, home);
    }
  }
  return homes;
}
