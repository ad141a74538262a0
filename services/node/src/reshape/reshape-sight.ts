// What a node sees of a split or a merge: where it is in the two logs as they are applied here, who is to act, and how
// far the others are.
import type { ReshapeReport } from '@statestore/cluster';
import type { Fenced, PartitionPlacement, PartitionState, Reshape } from '@statestore/core';
import type { SourcePhase, TargetPhase } from './next-step.ts';
import type { ReshapeContext } from './reshape-context.ts';
import { placementOf } from './reshape-context.ts';
import { reshapeIdOf } from './reshape-id.ts';

export function sourcePhase(state: Readonly<PartitionState> | undefined, { id }: Reshape): SourcePhase {
  if (state === undefined) return 'away';
  const reshape = reshapeIdOf(id);
  const { fenced, ended, slotsEpoch } = state;
  if (ended?.reshape === reshape) return ended.slotsEpoch === slotsEpoch ? 'handedOver' : 'givenUp';
  if (fenced === undefined) return 'open';
  return fenced.reshape === reshape ? 'fenced' : 'otherFence';
}

export function targetPhase(state: Readonly<PartitionState> | undefined, { id, slotsEpoch }: Reshape): TargetPhase {
  if (state === undefined) return 'away';
  // Later ones may have ended there since.
  if (state.ended?.reshape === reshapeIdOf(id) || state.slotsEpoch >= slotsEpoch) return 'absorbed';
  if (state.fenced !== undefined) return 'otherFence';
  return state.slots === undefined ? 'unprepared' : 'open';
}

/** As it was, also after the slots were handed over. */
export function fenceOf(state: Readonly<PartitionState>, { id }: Reshape): Fenced | undefined {
  const reshape = reshapeIdOf(id);
  const { fenced, ended } = state;
  if (fenced?.reshape === reshape) return fenced;
  return ended?.reshape === reshape ? ended.fenced : undefined;
}

/** Another node that has a replica of the source, and is not silent. */
export interface OtherNode {
  readonly name: string;
  /** Its replicas run on the logs that the topology names. */
  readonly runs: boolean;
  readonly report: ReshapeReport | undefined;
}

export interface Sight {
  /** How many nodes come before this one, of those that could act. */
  readonly rank: number;
  readonly others: readonly OtherNode[];
}

/** By the order of the source's replicas in the topology. */
export function sightOf(context: ReshapeContext, { id, kind, source, target }: Reshape): Sight {
  const topology = context.topology();
  const from = placementOf(topology, source);
  const into = kind === 'merge' ? placementOf(topology, target) : undefined;
  // It is over by the topology: there is nothing to be done for all.
  if (from === undefined) return { rank: Infinity, others: [] };
  const runs = (name: string): boolean =>
    isRunning(context, name, from) && (into === undefined || isRunning(context, name, into));
  const at = from.replicas.indexOf(context.name);
  // One that was never heard of is about to speak, perhaps.
  const isThere = (name: string): boolean => context.peers.nodes.get(name)?.live !== false;
  const others = from.replicas.filter((name) => name !== context.name && isThere(name));
  const before = others.filter((name) => (at === -1 || from.replicas.indexOf(name) < at) && runs(name));
  const reportOf = (name: string): ReshapeReport | undefined =>
    context.peers.nodes.get(name)?.report.reshapes?.find((each) => each.id === id);
  return { rank: before.length, others: others.map((name) => ({ name, runs: runs(name), report: reportOf(name) })) };
}

function isRunning({ peers }: ReshapeContext, name: string, { partition, log }: PartitionPlacement): boolean {
  const observed = peers.nodes.get(name);
  if (observed?.live !== true) return false;
  const replica = observed.report.replicas.find((each) => each.partition === partition);
  return replica?.state === 'running' && replica.incarnation === log?.incarnation;
}

/** Who keeps the slots from being fenced, and why; undefined: nobody. One that cannot build keeps them until it is given up. */
export function whyNotNear({ others }: Sight, isWaitedFor: boolean): string | undefined {
  for (const { name, runs, report } of others) {
    if (!isWaitedFor && !runs) continue;
    if (!runs) return `node ${name}, whose replica does not run yet`;
    if (report?.state === 'failed') return `node ${name}: ${report.why}`;
    if (isWaitedFor && report?.state !== 'near' && report?.state !== 'built')
      return `node ${name}, which is not near yet`;
  }
  return undefined;
}

/** Whether all that were near are complete, as of this fence. */
export function areBuilt({ others }: Sight, fencedPosition: bigint): boolean {
  return others.every(({ report }) => {
    if (report?.state === 'near') return false;
    return report?.state !== 'built' || BigInt(report.position) >= fencedPosition;
  });
}
