// What nodes say of themselves, as a port: written by each node about once a second, watched by
// gateways, by planning and by recovery. A node that has said nothing new for a while, on the watcher's own
// monotonic clock, is not live: no wall clock is compared with another.
import type { Topology } from '@statestore/core';

/** As PartitionStatus of the link, which see; plain JSON values, positions in decimal text. */
export interface ReplicaReport {
  readonly partition: number;
  readonly state: 'starting' | 'copying' | 'running' | 'halted' | 'stopped';
  readonly haltCause?: string;
  readonly reason: string;
  readonly incarnation: string;
  readonly appliedPosition: string;
  readonly storedPosition: string;
  /**
   * The greatest position of this log that the node has heard of, of any replica at any time, its own among them: so
   * that it is not forgotten while all nodes start again. Undefined: its version does not say.
   */
  readonly heardPosition?: string;
  /**
   * Its own chain at positions at which other replicas of this log stand, while it or they wait: what shows whether those
   * are an earlier part of the same history. Undefined: nobody waits, or its version does not say.
   */
  readonly passed?: readonly PassedPosition[];
  /** Batches of the log that are not applied here yet, as far as the node knows. */
  readonly lag: number;
  readonly chain: string;
  readonly stateHash: string;
  readonly entries: number;
  readonly bytes: number;
  /** Keys read and commands taken by this replica since its process began. Undefined: its version does not say. */
  readonly operations?: number;
  /** Whether what is stored outlives the process; undefined: its version does not say. */
  readonly durable?: boolean;
  /** Of a partition that was merged away: its log may not be removed yet. Undefined: it may, or its version does not say. */
  readonly holdsLog?: true;
  /** How far it is with being built; undefined: it is not being built, or its version does not say. */
  readonly build?: BuildReport;
}

export interface PassedPosition {
  readonly position: string;
  /** 32 hexadecimal digits; undefined: too long ago to be known. */
  readonly chain?: string;
}

export interface BuildReport {
  readonly source: 'peer' | 'checkpoint';
  /** Name of the node, or id of the checkpoint. */
  readonly from: string;
  /** What came so far. */
  readonly records: number;
  readonly bytes: number;
  /** 0 to 1; undefined: the source does not say how much there is. */
  readonly part?: number;
  /** At the speed so far; undefined: that cannot be told yet. */
  readonly remainingMs?: number;
}

/** Data of a replica that the node keeps aside until a person removes them: nobody else may have them. */
export interface KeptReport {
  readonly partition: number;
  /** Within the node's data folder. */
  readonly path: string;
  readonly why: string;
  readonly bytes: number;
}

/** A node's part in a split or a merge. */
export interface ReshapeReport {
  /** UUID. */
  readonly id: string;
  /** `building`: on the way. `near`: only what is written now is missing. `built`: all, durable, as of the fence. `failed`: see why. */
  readonly state: 'building' | 'near' | 'built' | 'failed';
  /** Position of the source's log up to which it is built; decimal text. */
  readonly position: string;
  readonly entries: number;
  readonly bytes: number;
  /** 0 to 1; undefined: not known yet. */
  readonly part?: number;
  /** Empty unless it failed, or waits. */
  readonly why: string;
}

export interface RepositorySilenceReport {
  /** By the clock of the node, for people. */
  readonly sinceMs: number;
  readonly why: string;
}

export interface NodeReport {
  readonly name: string;
  /** host:port where gateways and peers connect. */
  readonly address: string;
  /** Failure domain. */
  readonly zone: string;
  readonly version: string;
  /** UUID of the process. */
  readonly boot: string;
  /** +1 with each report of the process. */
  readonly count: number;
  /** Epoch of the topology that the node acts on, decimal text; 0: none yet. */
  readonly epoch: string;
  /** Asked to give its replicas away. */
  readonly draining: boolean;
  readonly disk: { readonly freeBytes: number; readonly totalBytes: number };
  readonly replicas: readonly ReplicaReport[];
  /** Undefined: none, or its version does not say. */
  readonly kept?: readonly KeptReport[];
  /** The repository of checkpoints does not answer the node. Undefined: it does, there is none, or its version does not say. */
  readonly repositorySilence?: RepositorySilenceReport;
  /** Undefined: it takes part in none, or its version does not say. */
  readonly reshapes?: readonly ReshapeReport[];
  /**
   * The last topology that the node saw, only while it finds none in the store: what a lost store is
   * recovered from.
   */
  readonly lastTopology?: Topology;
}

export interface ObservedNode {
  readonly report: NodeReport;
  /** At first sight every node is: a watcher that just started can use them all, and silence decides. */
  readonly live: boolean;
  /** Live, and its report changed while it was watched: it is no leftover of a node that is gone. */
  readonly confirmed: boolean;
}

export interface RegistryWatch {
  close(): Promise<void>;
}

export interface NodeRegistry {
  /** Rejects with `unavailable`. */
  report(report: NodeReport): Promise<void>;
  /** All nodes by name, at every change of a report and of liveness. */
  watch(onNodes: (nodes: ReadonlyMap<string, ObservedNode>) => void): RegistryWatch;
  /** Present reports, whatever their age. */
  list(): Promise<readonly NodeReport[]>;
  /** Forgets a node that has left for good. */
  remove(name: string): Promise<void>;
}
