// What splits and merges on a node are given of it, and of the cluster.
import type { LogStreams, TopologyStore } from '@statestore/cluster';
import type { PartitionPlacement, Reshape, Topology } from '@statestore/core';
import type { OnNotice } from '../cluster/node-options.ts';
import type { Peers } from '../cluster/peers.ts';
import type { Replica } from '../cluster/replica.ts';
import type { RunningReplica } from '../cluster/running-replica.ts';
import type { Partition } from '../partition.ts';
import type { Time } from '../time.ts';
import type { openMergeWork } from './merge-work.ts';
import type { openSplitWork } from './split-work.ts';

export type ReshapeOutcome = 'done' | 'given_up' | 'unfenced';

/** Where splits and merges count what they do. */
export interface ReshapeRecorder {
  /** By the node that drove it. */
  reshaped(reshape: Reshape, outcome: ReshapeOutcome): void;
  /** From the fence, as it was applied here, to the topology that says whose the slots are. */
  fencedFor(reshape: Reshape, durationMs: number): void;
  built(bytes: number): void;
}

export interface ReshapeContext {
  readonly name: string;
  readonly time: Time;
  readonly topologyStore: Pick<TopologyStore, 'read' | 'replace'>;
  readonly logStreams: LogStreams;
  readonly peers: Peers;
  readonly works: { readonly openSplitWork: typeof openSplitWork; readonly openMergeWork: typeof openMergeWork };
  /** Of this partition on this node; made where there is none. */
  readonly replicaOf: (partition: number) => Replica;
  /** The child of a split is complete: it is opened, so that it only waits for the topology. Undefined: it is not to be any more. */
  readonly prepareChild: (partition: number, placement: PartitionPlacement | undefined) => void;
  /** That the node acts on. */
  readonly topology: () => Topology | undefined;
  /** Throws `disk_full` where a part of a partition of so many bytes has no room. */
  readonly checkRoom: (bytes: number) => Promise<void>;
  readonly recorder: ReshapeRecorder;
  /** Others should know of it soon. */
  readonly changed: () => void;
  /** And at once: clients wait for them. */
  readonly urgent: () => void;
  readonly onNotice: OnNotice;
}

/** A replica that runs, with the partition that takes commands. */
export interface RunningPartition {
  readonly running: RunningReplica;
  readonly partition: Partition;
}

export function runningPartition(replica: Replica | undefined): RunningPartition | undefined {
  if (replica?.state !== 'running') return undefined;
  const { running } = replica;
  return running?.partition === undefined ? undefined : { running, partition: running.partition };
}

/** Also of one that is retired. */
export function placementOf(topology: Topology | undefined, partition: number): PartitionPlacement | undefined {
  return (
    topology?.partitions.find((each) => each.partition === partition) ??
    topology?.retired?.find(({ placement }) => placement.partition === partition)?.placement
  );
}
