// Which replicas can write a partition's part of a checkpoint, as a port: a cluster's as its nodes report them
// (cluster-replicas.ts), or the only ones of a node on its own.
import type { Topology } from '@statestore/core';
import type { NodeService } from '@statestore/link';
import type { LayoutMerge } from './checkpoint-layout.ts';

export type CheckpointWriter = Pick<NodeService, 'writeCheckpoint'>;

export interface PartitionTask {
  readonly partition: number;
  readonly generation: number;
  readonly slots: readonly { readonly start: number; readonly end: number }[];
  /** Epoch of the reshape that changed them last; undefined: none did. */
  readonly slotsEpoch?: bigint | undefined;
}

export interface Candidate {
  readonly node: string;
  readonly writer: CheckpointWriter;
}

export interface Replicas {
  /** Every partition; undefined: the topology is not known yet. */
  tasks(): readonly PartitionTask[] | undefined;
  /** Partitions that are about to end. Absent: none ever is. */
  merges?(): readonly LayoutMerge[];
  /** Running replicas of it as far as is known, those first that have the least other work. */
  candidates(partition: number): readonly Candidate[];
  close(): Promise<void>;
}

export function tasksOf({ partitions }: Topology): readonly PartitionTask[] {
  return partitions.map(({ partition, slots, slotsEpoch, log }) => ({
    partition,
    slots,
    slotsEpoch,
    generation: log?.generation ?? 1,
  }));
}

export function mergesOf({ reshapes = [] }: Topology): readonly LayoutMerge[] {
  return reshapes.filter(({ kind }) => kind === 'merge');
}

/** Of a node that holds all of them. */
export function ownReplicas(node: string, topology: Topology, writer: CheckpointWriter): Replicas {
  const tasks = tasksOf(topology);
  return {
    tasks: () => tasks,
    candidates: () => [{ node, writer }],
    close: () => Promise.resolve(),
  };
}
