// Watches a cluster for a person: the topology and what nodes report, as one view at any time.
import type { ObservedNode } from '@statestore/cluster';
import type { Topology } from '@statestore/core';
import { limits } from '@statestore/core';
import type { ClusterView } from './cluster-view.ts';
import { viewCluster } from './cluster-view.ts';
import type { ClusterConnection } from './connect.ts';

export class ClusterObserver {
  readonly #cluster: string;
  readonly #watches: readonly { close(): Promise<void> }[];
  readonly #startedMs = performance.now();
  #topology: Topology | undefined;
  #nodes: ReadonlyMap<string, ObservedNode> = new Map();

  private constructor({ cluster, topologyStore, registry }: ClusterConnection, topology: Topology | undefined) {
    this.#cluster = cluster;
    this.#topology = topology;
    this.#watches = [
      topologyStore.watch((newer) => (this.#topology = newer)),
      registry.watch((nodes) => (this.#nodes = nodes)),
    ];
  }

  /** Rejects with `unavailable` where NATS does not answer. */
  static async open(connection: ClusterConnection): Promise<ClusterObserver> {
    return new ClusterObserver(connection, await connection.topologyStore.read());
  }

  get topology(): Topology | undefined {
    return this.#topology;
  }

  get nodes(): ReadonlyMap<string, ObservedNode> {
    return this.#nodes;
  }

  get view(): ClusterView {
    return viewCluster(this.#cluster, this.#topology, this.#nodes, this.#leftMs === 0);
  }

  /** How long the nodes must be watched still, until one that says nothing is known to be silent. */
  get #leftMs(): number {
    return Math.max(0, limits.nodeSilenceMs - (performance.now() - this.#startedMs));
  }

  /** Resolves when every node that is named anywhere was heard of, or was silent for long enough to be called so. */
  async settled(pause: (ms: number) => Promise<void>): Promise<ClusterView> {
    for (;;) {
      const { view } = this;
      const isSure = view.nodes.length > 0 && view.nodes.every(({ state }) => state === 'live');
      if (isSure || this.#leftMs === 0) return view;
      await pause(Math.min(pollMs, this.#leftMs));
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#watches.map((watch) => watch.close()));
  }
}

const pollMs = 50;
