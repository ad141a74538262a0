// What a person or an operator may ask of a topology, as pure functions for changeTopology: the wish is
// written down, and coordination carries it out. Each returns undefined where it is so already, and throws
// `invalid_parameter` that says why where it cannot be.
import type { PartitionPlacement, Topology } from '@statestore/core';
import { StateStoreError, checkReplicationFactor } from '@statestore/core';
import { specOf } from './coordinator-view.ts';
import { checkNodeName } from './names.ts';

/** The parts that are to be different; undefined: none. */
export type Edit = Partial<Omit<Topology, 'epoch'>> | undefined;

/** The node is to give its replicas away and get none. One that is gone for good is drained, too. */
export function drained(topology: Topology, node: string): Edit {
  checkNodeName(node);
  const spec = specOf(topology);
  if (spec.drained.includes(node)) return undefined;
  return { spec: { ...spec, drained: [...spec.drained, node].sort() } };
}

export function undrained(topology: Topology, node: string): Edit {
  const spec = specOf(topology);
  if (!spec.drained.includes(node)) return undefined;
  return { spec: { ...spec, drained: spec.drained.filter((other) => other !== node) } };
}

export function withReplicationFactor(topology: Topology, replicationFactor: number): Edit {
  checkReplicationFactor(replicationFactor);
  const spec = specOf(topology);
  return spec.replicationFactor === replicationFactor ? undefined : { spec: { ...spec, replicationFactor } };
}

export interface Move {
  readonly partition: number;
  readonly from: string;
  readonly to: string;
}

/** A plan that is made later may move it on, where it leaves nodes uneven. */
export function moved(topology: Topology, { partition, from, to }: Move): Edit {
  const placement = topology.partitions.find((each) => each.partition === partition);
  if (placement === undefined) throw refused(`there is no partition ${partition}`);
  const { replicas, joining = [], leaving = [] } = placement;
  const reshape = topology.reshapes?.find(({ source, target }) => source === partition || target === partition);
  if (reshape !== undefined) {
    throw refused(
      `partition ${partition} is being ${reshape.kind === 'split' ? 'split' : 'merged'}: when that is over`,
    );
  }
  if (joining.includes(to) && leaving.includes(from)) return undefined;
  if (!replicas.includes(from)) throw refused(`node ${from} has no replica of partition ${partition}`);
  if (leaving.includes(from)) throw refused(`node ${from} gives partition ${partition} to another one already`);
  if (replicas.includes(to)) throw refused(`node ${to} has a replica of partition ${partition} already`);
  if (joining.includes(to)) throw refused(`node ${to} joins partition ${partition} for another one`);
  if (specOf(topology).drained.includes(to)) throw refused(`node ${to} is drained`);
  const next: PartitionPlacement = { ...placement, joining: [...joining, to], leaving: [...leaving, from] };
  return { partitions: topology.partitions.map((each) => (each === placement ? next : each)) };
}

export function holdsAnything({ partitions }: Topology, node: string): boolean {
  return partitions.some(({ replicas, joining = [] }) => replicas.includes(node) || joining.includes(node));
}

function refused(why: string): StateStoreError {
  return new StateStoreError('invalid_parameter', why);
}
