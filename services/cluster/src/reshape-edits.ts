// What the ends of splits and merges make of a topology, as pure functions for changeTopology: called by whoever
// carried them out, when logs have decided. Each returns undefined where the reshape is not there any more: another
// one said so before. In the change that takes slots from one partition another one gets them.
import type { Merge, PartitionLog, PartitionPlacement, Reshape, Split, Topology } from '@statestore/core';
import { StateStoreError, slotRanges } from '@statestore/core';
import type { Edit } from './topology-edits.ts';

export interface SplitEnd {
  /** What the child's log carries on; its position is that of the fence in the source's log. */
  readonly continues: NonNullable<PartitionLog['continues']>;
}

/** The child has the slots from now on, and begins as its source's replicas do. */
export function splitDone(topology: Topology, id: string, { continues }: SplitEnd): Edit {
  const split = reshapeOf(topology, id, 'split');
  if (split === undefined) return undefined;
  const source = placementOf(topology, split.source);
  const { slots, slotsEpoch } = split;
  const child: PartitionPlacement = {
    partition: split.target,
    slots,
    replicas: source.replicas,
    log: { ...split.log, continues },
    slotsEpoch,
    origin: { partition: split.source, generation: generationOf(source), position: continues.position },
  };
  const left = { ...source, slots: slotRanges.without(source.slots, slots), slotsEpoch };
  const partitions = topology.partitions.map((each) => (each === source ? left : each));
  return {
    partitions: [...partitions, child].sort((a, b) => a.partition - b.partition),
    ...withoutReshape(topology, split),
  };
}

export interface MergeEnd {
  /** Of the fence in the source's log. */
  readonly sealedPosition: bigint;
  /** At which the target's log took the slots. */
  readonly intoPosition: bigint;
}

/** The target has the slots from now on, and the source is kept for a while for those who follow it. */
export function mergeDone(topology: Topology, id: string, { sealedPosition, intoPosition }: MergeEnd): Edit {
  const merge = reshapeOf(topology, id, 'merge');
  if (merge === undefined) return undefined;
  const { slotsEpoch } = merge;
  const source = placementOf(topology, merge.source);
  const target = placementOf(topology, merge.target);
  const into = { partition: merge.target, generation: generationOf(target), position: intoPosition };
  const grown = { ...target, slots: slotRanges.joined([...target.slots, ...source.slots]), slotsEpoch };
  const placement = { ...source, slots: [] };
  return {
    partitions: topology.partitions.flatMap((each) => (each === source ? [] : each === target ? [grown] : [each])),
    retired: [...(topology.retired ?? []), { placement, sealedPosition, into, slotsEpoch }],
    lastGeneration: Math.max(topology.lastGeneration ?? 0, generationOf(source)),
    ...withoutReshape(topology, merge),
  };
}

/** It did not happen: the slots are whose they were. */
export function reshapeDropped(topology: Topology, id: string): Edit {
  const reshape = topology.reshapes?.find((each) => each.id === id);
  return reshape === undefined ? undefined : withoutReshape(topology, reshape);
}

function withoutReshape({ reshapes = [] }: Topology, reshape: Reshape): NonNullable<Edit> {
  return { reshapes: reshapes.filter((each) => each !== reshape) };
}

function reshapeOf(topology: Topology, id: string, kind: 'split'): Split | undefined;
function reshapeOf(topology: Topology, id: string, kind: 'merge'): Merge | undefined;
function reshapeOf({ reshapes = [] }: Topology, id: string, kind: Reshape['kind']): Reshape | undefined {
  return reshapes.find((each) => each.id === id && each.kind === kind);
}

function placementOf({ partitions }: Topology, partition: number): PartitionPlacement {
  const placement = partitions.find((each) => each.partition === partition);
  if (placement !== undefined) return placement;
  throw new StateStoreError('invalid_settings', `there is no partition ${partition}`);
}

function generationOf({ partition, log }: PartitionPlacement): number {
  if (log !== undefined) return log.generation;
  throw new StateStoreError('invalid_settings', `partition ${partition} has no log: it is of no cluster`);
}
