// What a gateway is made of: everything is passed in, nothing is looked up. Settings become these
// options in the command-line tool; tests give their own.
import type { CheckpointRuns, ReplicaReport, ReshapeReport, TopologyStore } from '@statestore/cluster';
import { limits, type Topology } from '@statestore/core';
import type { NodeService } from '@statestore/link';
import type { Registry } from 'prom-client';
import type { InFlightBounds } from './admission.ts';

/** Which node to ask about a partition. */
export interface NodeDirectory {
  nodeOf(partition: number): NodeService;
  /** Every node once. */
  nodes(): readonly StatusSource[];
  /** Of a cluster: what is known of its nodes. */
  describe?(): readonly NodeDescription[];
  /** Of a cluster: a newer topology should be looked for. */
  refresh?(): void;
}

export type StatusSource = Pick<NodeService, 'status'>;

/** A node of a cluster, for people. */
export interface NodeDescription {
  readonly name: string;
  readonly address: string;
  /** Failure domain. */
  readonly zone: string;
  readonly version: string;
  /** Whether it reported to the registry a short time ago. */
  readonly live: boolean;
  /** Whether this gateway is connected with it. */
  readonly connected: boolean;
  readonly draining: boolean;
  /** As it last reported them, those that join as well. */
  readonly replicas: readonly ReplicaReport[];
  /** Splits and merges that it has a part in. */
  readonly reshapes?: readonly ReshapeReport[] | undefined;
}

/** Where the gateway tells its operator of what no client should see. pino fits. */
export interface GatewayLog {
  error(details: object, message: string): void;
}

export interface GatewayTimeouts {
  readonly headersMs: number;
  readonly requestMs: number;
  readonly connectionMs: number;
  readonly keepAliveMs: number;
  readonly handlerMs: number;
  /** How often slow connections are looked for. */
  readonly checkMs: number;
  /** Over all attempts of one write. */
  readonly proposeMs: number;
  /** How long a request waits for slots that are on their way to another partition. */
  readonly movedMs: number;
  /** How long quota that no partition holds is given to arrive, before it is dealt out anew. */
  readonly quotaSettleMs: number;
  readonly heartbeatMs: number;
  readonly watcherStallMs: number;
  readonly closeMs: number;
}

export const defaultTimeouts: GatewayTimeouts = {
  headersMs: limits.headersTimeoutMs,
  requestMs: limits.requestTimeoutMs,
  connectionMs: limits.connectionTimeoutMs,
  keepAliveMs: limits.keepAliveTimeoutMs,
  handlerMs: limits.handlerTimeoutMs,
  checkMs: 1000,
  proposeMs: limits.proposeTimeoutMs,
  movedMs: limits.gatewayMovedWaitMs,
  quotaSettleMs: limits.quotaSettleMs,
  heartbeatMs: limits.watchHeartbeatMs,
  watcherStallMs: limits.watcherStallMs,
  closeMs: limits.gatewayCloseTimeoutMs,
};

export interface GatewayOptions {
  readonly topology: Topology;
  readonly node: NodeService | NodeDirectory;
  /** Of the program, for `GET /v1`. */
  readonly version: string;
  /** 32 random bytes, the same for every gateway of a cluster: cursors are signed with it. */
  readonly cursorKey: Uint8Array;
  /** Default: a registry of its own. */
  readonly registry?: Registry;
  readonly log?: GatewayLog;
  readonly timeouts?: Partial<GatewayTimeouts>;
  /** Requests, and bytes of their bodies, worked on at a time. Default: those of limits.ts. */
  readonly inFlight?: InFlightBounds;
  /** Default: limits.watchersMax. */
  readonly watchersMax?: number;
  /** Where the number of partitions is changed; undefined: this is no cluster. */
  readonly topologyStore?: Pick<TopologyStore, 'read' | 'replace'>;
  /** What nodes say of checkpoints, and are asked; undefined: there are none here. */
  readonly checkpoints?: CheckpointRuns;
}

export function directoryOf(node: NodeService | NodeDirectory): NodeDirectory {
  if ('nodeOf' in node) return node;
  const all = [node];
  return { nodeOf: () => node, nodes: () => all };
}
