// What a node of a cluster is made of. Everything that reaches outside is passed in, so that tests run it over
// memory and faults, and processes over NATS and TCP.
import type { Repository } from '@statestore/checkpoint';
import type { Coordinator, LogStreams, LostLog, NodeRegistry, ProofExchange, TopologyStore } from '@statestore/cluster';
import type { PartitionLog, StateStoreError } from '@statestore/core';
import type { NodeService } from '@statestore/link';
import type { NatsConnection } from '@statestore/cluster';
import type { EngineKind } from '../engine/engine.ts';
import type { Log } from '../log/log.ts';
import type { ReshapeContext } from '../reshape/reshape-context.ts';
import type { Time } from '../time.ts';
import type { DiskBounds, DiskReader } from './disk-watch.ts';

/** Another node, as far as a replica is copied from it. */
export interface Peer extends Pick<NodeService, 'copyState'> {
  close?(): Promise<void>;
}

/** Whether there is a connection to NATS, and when that changes. */
export interface ConnectionState {
  readonly connected: boolean;
  /** Returns how to end it. */
  onChange(listener: () => void): () => void;
}

export interface ClusterNodeOptions {
  readonly cluster: string;
  readonly name: string;
  /** Failure domain. */
  readonly zone: string;
  /** host:port of its link, for gateways and other nodes. */
  readonly address: string;
  readonly dataPath: string;
  readonly engine: EngineKind;
  readonly version: string;
  /** Asks the cluster to take its replicas elsewhere. */
  readonly draining?: boolean;
  /** Made by `connectNats`; of it come the proof exchange and the connection's state where those are not given. */
  readonly connection?: NatsConnection;
  readonly connectionState?: ConnectionState;
  readonly proofs?: ProofExchange;
  readonly topologyStore: TopologyStore;
  readonly registry: NodeRegistry;
  readonly logStreams: LogStreams;
  readonly openLog: (partition: number, log: PartitionLog) => Promise<Log>;
  /** Need not wait for a connection: what cannot be asked rejects. */
  readonly connectPeer: (address: string) => Peer;
  /** Makes the log anew and names it in the topology. Default: recoverLog of @statestore/cluster. */
  readonly recoverLog?: (lost: LostLog, options: { readonly signal: AbortSignal }) => Promise<void>;
  /** What does the next thing of a resize that is under way. Default: a Coordinator of @statestore/cluster. Null: others do that. */
  readonly openCoordinator?: (() => Pick<Coordinator, 'step' | 'close'>) | null;
  /** How children of splits are built, and merges staged. */
  readonly reshapeWorks?: ReshapeContext['works'];
  /** Told of what an operator of the service may want to know. */
  readonly onNotice?: OnNotice;
  /** The process must end, and be started again: its memory cannot be trusted. */
  readonly onFatal: (reason: StateStoreError) => void;
  readonly time?: Time;
  readonly readDisk?: DiskReader;
  /** Default: those of limits. */
  readonly diskBounds?: DiskBounds;
  readonly flushIntervalMs?: number;
  /** Engine memory: what is written between two snapshots. Default: limits.replicaSnapshotBytes. */
  readonly replicaSnapshotBytes?: number;
  /** Of checkpoints that replicas are restored from. The caller's to close, after the node. Undefined: only peers are there. */
  readonly repository?: Repository | undefined;
  /** Default: limits.proofInterval. */
  readonly proofInterval?: bigint;
}

export type OnNotice = (notice: string, details: Readonly<Record<string, unknown>>) => void;
