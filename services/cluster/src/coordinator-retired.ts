// Partitions that were merged away: kept for a while, then nobody holds them, then their logs are removed, and only
// then they are forgotten; so that what was begun is ended by whoever goes on with it. Pure.
import type { RetiredPartition, Topology } from '@statestore/core';
import type { RetiredChange } from './coordinator-steps.ts';
import type { CoordinatorView } from './coordinator-view.ts';

export interface RetiredChanges {
  readonly steps: readonly RetiredChange[];
  readonly parts: Pick<Topology, 'retired' | 'forgotten'>;
}

export function retiredChanges(view: CoordinatorView): RetiredChanges {
  const { retired = [], forgotten } = view.topology;
  const steps: RetiredChange[] = [];
  let latest = forgotten ?? 0n;
  const left = retired.flatMap((each) => {
    const { placement, slotsEpoch, ended } = each;
    const { partition } = placement;
    if (ended && view.logsRemoved.has(partition)) {
      steps.push({ kind: 'forgetRetired', partition });
      if (slotsEpoch > latest) latest = slotsEpoch;
      return [];
    }
    if (ended || !view.pastGrace.has(partition) || isNeeded(view, each)) return [each];
    steps.push({ kind: 'endRetired', partition });
    return [{ ...each, ended: true as const }];
  });
  return { steps, parts: { retired: left, ...(latest === 0n ? {} : { forgotten: latest }) } };
}

/** By a node whose replica of the other partition has not got to where it took the slots, or that asks for it. */
function isNeeded({ topology, nodes }: CoordinatorView, { placement, into }: RetiredPartition): boolean {
  const taker = topology.partitions.find(({ partition }) => partition === into.partition);
  // A later log of it carries on after that position, or is of another partition of this number.
  const isThere = taker?.log?.generation === into.generation;
  return [...nodes.values()].some(({ live, report }) => {
    if (!live) return false;
    const own = report.replicas.find(({ partition }) => partition === placement.partition);
    if (own?.holdsLog === true) return true;
    const other = report.replicas.find(({ partition }) => partition === into.partition);
    if (!isThere || own === undefined || other === undefined || other.state === 'halted') return false;
    return BigInt(other.appliedPosition) < into.position;
  });
}
