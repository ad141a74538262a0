// What all replicas of a node share, and what each is told to be.
import type { ProofExchange } from '@statestore/cluster';
import type {
  Absorb,
  HandOver,
  PartitionLog,
  PartitionPlacement,
  PartitionState,
  StateStoreError,
} from '@statestore/core';
import type { LocalNode } from '../local-node.ts';
import type { AppendOutcome } from '../log/log.ts';
import type { Time } from '../time.ts';
import type { DiskRoom } from './disk-room.ts';
import type { DiskLevel } from './disk-watch.ts';
import type { ClusterNodeOptions, OnNotice } from './node-options.ts';
import type { Peers } from './peers.ts';
import type { Places } from './places.ts';
import type { RunningReplica } from './running-replica.ts';

/** What the topology wants of this node for a partition. */
export interface Assignment {
  readonly placement: PartitionPlacement;
  readonly log: PartitionLog;
  /** False: it builds a replica and follows, and serves nobody yet. */
  readonly serving: boolean;
  /** It was merged into another partition, and only serves those who still follow its log. */
  readonly retired?: boolean;
  /** It is to be split off, and waits for the topology to say so. */
  readonly prepared?: boolean;
  /** Checkpoint that the cluster began with. */
  readonly restoredFrom?: string | undefined;
}

/** Where replicas count what they do. */
export interface ReplicaRecorder {
  appended(outcome: AppendOutcome, bytes: number, durationMs: number): void;
  committed(durationMs: number): void;
  mismatched(partition: number): void;
  rebuilt(partition: number): void;
  restored(partition: number, durationMs: number): void;
  restoreFailed(partition: number): void;
  /** A checkpoint was found to be damaged. */
  passedOver(partition: number): void;
}

/** What splits and merges have to do with a replica that runs. */
export interface Reshapes {
  /** After each batch. */
  applied(partition: number, state: Readonly<PartitionState>): void;
  /** Resolves when this record, by which slots change hands, may be applied: undefined. Else why the replica is to be built anew. */
  pass(running: RunningReplica, change: HandOver | Absorb, signal: AbortSignal): Promise<string | undefined>;
  /** Whether entries of slots that the partition does not own are needed yet. */
  keepsForeign(partition: number, state: Readonly<PartitionState>): boolean;
}

export interface ReplicaContext {
  readonly options: Pick<
    ClusterNodeOptions,
    | 'cluster'
    | 'name'
    | 'engine'
    | 'logStreams'
    | 'openLog'
    | 'connectPeer'
    | 'flushIntervalMs'
    | 'proofInterval'
    | 'replicaSnapshotBytes'
    | 'repository'
  >;
  readonly time: Time;
  readonly partitionPath: (partition: number) => string;
  readonly node: LocalNode;
  readonly peers: Peers;
  readonly exchange: ProofExchange;
  readonly recorder: ReplicaRecorder;
  /** Restores from checkpoints at a time: each holds blocks in memory. */
  readonly restores: Places;
  /** Of the disk that all replicas share. */
  readonly diskRoom: DiskRoom;
  readonly reshapes: Reshapes;
  readonly diskLevel: () => DiskLevel;
  readonly connected: () => boolean;
  /** Something of a replica is different now: others should know soon. */
  readonly changed: () => void;
  readonly onNotice: OnNotice;
  readonly onFatal: (reason: StateStoreError) => void;
}
