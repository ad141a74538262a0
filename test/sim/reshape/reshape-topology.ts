// The topology document of the simulated cluster, and the changes of it: by compare-and-set, as everybody's.
import type { PartitionPlacement, Reshape, RetiredPartition, Split, Topology } from '@statestore/core';
import { evenTopology } from '@statestore/core';
import { joined, without } from '../../../services/core/src/slot-ranges.ts';
import type { LogId } from './reshape-log.ts';
import { logId } from './reshape-log.ts';
import type { ReshapeWorld } from './reshape-world.ts';

/** Undefined: there is nothing to be changed. */
export type Edit = (topology: Topology) => Topology | undefined;

export class TopologyDocument {
  readonly #world: ReshapeWorld;
  now: Topology;

  constructor(world: ReshapeWorld, partitions: number, nodes: readonly string[]) {
    this.#world = world;
    const { epoch, partitions: even } = evenTopology(partitions, nodes);
    this.now = {
      epoch,
      partitions: even.map((each) => ({ ...each, log: { generation: 1, incarnation: uuid(world) } })),
    };
  }

  /** `seen`: what whoever changes it knows; false: it has changed meanwhile, or is so already. */
  change(seen: Topology, edit: Edit, why: string): boolean {
    if (seen.epoch !== this.now.epoch) return false;
    const next = edit(seen);
    if (next === undefined) return false;
    this.now = { ...next, epoch: seen.epoch + 1n };
    this.#world.note(`topology ${this.now.epoch}: ${why}`);
    return true;
  }
}

export function uuid({ random }: ReshapeWorld): string {
  const hex = Array.from({ length: 32 }, () => random.below(16).toString(16)).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** 16 bytes. */
export function binaryOf(uuid: string): string {
  const hex = uuid.replaceAll('-', '');
  return Array.from({ length: 16 }, (_, i) => String.fromCharCode(parseInt(hex.slice(i * 2, i * 2 + 2), 16))).join('');
}

export function logOfPlacement({ partition, log }: PartitionPlacement): LogId {
  return logId(partition, log!.generation);
}

export function placementOf(topology: Topology, partition: number): PartitionPlacement | undefined {
  return topology.partitions.find((placement) => placement.partition === partition);
}

export function reshapeOf(topology: Topology, id: string): Reshape | undefined {
  return topology.reshapes?.find((reshape) => reshape.id === id);
}

function withoutReshape(topology: Topology, id: string): Topology {
  return { ...topology, reshapes: (topology.reshapes ?? []).filter((reshape) => reshape.id !== id) };
}

function replaced(topology: Topology, ...placements: readonly PartitionPlacement[]): PartitionPlacement[] {
  const rest = topology.partitions.filter(({ partition }) => !placements.some((each) => each.partition === partition));
  return [...rest, ...placements].toSorted((a, b) => a.partition - b.partition);
}

export function begun(reshape: Reshape): Edit {
  return (topology) => ({ ...topology, reshapes: [...(topology.reshapes ?? []), reshape] });
}

export function cancelled(id: string): Edit {
  return (topology) => {
    const reshape = reshapeOf(topology, id);
    if (reshape === undefined || reshape.cancelled) return undefined;
    const rest = topology.reshapes!.filter((each) => each !== reshape);
    return { ...topology, reshapes: [...rest, { ...reshape, cancelled: true }] };
  };
}

export function dropped(id: string): Edit {
  return (topology) => (reshapeOf(topology, id) === undefined ? undefined : withoutReshape(topology, id));
}

export function splitDone(id: string, position: bigint, incarnation: string, chain: string): Edit {
  return (topology) => {
    const split = reshapeOf(topology, id) as Split | undefined;
    if (split === undefined) return undefined;
    const { slotsEpoch, slots, target } = split;
    const source = placementOf(topology, split.source)!;
    const origin = { partition: split.source, generation: source.log!.generation, position };
    const log = { ...split.log, continues: { incarnation, position, chain } };
    const child = { partition: target, slots, slotsEpoch, replicas: source.replicas, log, origin };
    const partitions = replaced(topology, { ...source, slots: without(source.slots, slots), slotsEpoch }, child);
    return { ...withoutReshape(topology, id), partitions };
  };
}

export function mergeDone(id: string, sealedPosition: bigint, intoPosition: bigint): Edit {
  return (topology) => {
    const merge = reshapeOf(topology, id);
    if (merge === undefined) return undefined;
    const { slotsEpoch, slots } = merge;
    const source = placementOf(topology, merge.source)!;
    const target = placementOf(topology, merge.target)!;
    const into = { partition: merge.target, generation: target.log!.generation, position: intoPosition };
    const retired = { placement: { ...source, slots: [] }, into, sealedPosition, slotsEpoch };
    const partitions = replaced(topology, { ...target, slots: joined([...target.slots, ...slots]), slotsEpoch });
    return {
      ...withoutReshape(topology, id),
      partitions: partitions.filter(({ partition }) => partition !== merge.source),
      retired: [...(topology.retired ?? []), retired] as RetiredPartition[],
    };
  };
}

export function unretired(retired: RetiredPartition): Edit {
  return (topology) => ({ ...topology, retired: (topology.retired ?? []).filter((each) => each !== retired) });
}

export function withReplicas(partition: number, replicas: readonly string[], joining: readonly string[]): Edit {
  return (topology) => {
    const { joining: _, ...placement } = placementOf(topology, partition)!;
    const next = { ...placement, replicas, ...(joining.length > 0 && { joining }) };
    return { ...topology, partitions: replaced(topology, next) };
  };
}

/**
 * What a session token says of the layout. The greatest slotsEpoch would not do: of two reshapes the one that began first
 * may end last, and the greatest is the same before and after that.
 */
export function layoutOf({ epoch }: Topology): bigint {
  return epoch;
}
