// What a node knows of its cluster: the topology, and the other nodes. No topology is followed before the
// reports of all nodes were read once: what others had applied is to be known before a log is trusted.
import type { NodeRegistry, RegistryWatch, TopologyStore, TopologyWatch } from '@statestore/cluster';
import type { Topology } from '@statestore/core';
import { isSameTopology, limits } from '@statestore/core';
import type { Time } from '../time.ts';
import type { LastTopology } from './last-topology.ts';
import type { OnNotice } from './node-options.ts';
import { Backoff, pause } from './pause.ts';
import { Peers } from './peers.ts';
import { Repeated } from './repeated.ts';

export interface ClusterViewOptions {
  readonly name: string;
  readonly topologyStore: TopologyStore;
  readonly registry: NodeRegistry;
  readonly last: LastTopology;
  readonly time: Time;
  /** Each newer one. */
  readonly onTopology: (topology: Topology) => void;
  /** Once: all nodes' last reports were read, and the topology is followed, or known not to be there. */
  readonly onKnown: () => void;
  /** Something of other nodes is different. */
  readonly onNodes: () => void;
  readonly onNotice: OnNotice;
}

export class ClusterView {
  readonly peers: Peers;
  readonly #options: ClusterViewOptions;
  readonly #closing = new AbortController();
  #topology: Topology | undefined;
  /** The store said that it has none. */
  #absent = false;
  #listed = false;
  #told = false;
  #followed: Topology | undefined;
  #topologies: TopologyWatch | undefined;
  #nodes: RegistryWatch | undefined;
  #checking: Repeated | undefined;

  constructor(options: ClusterViewOptions) {
    this.#options = options;
    this.peers = new Peers(options.name);
  }

  start(): void {
    const { topologyStore, registry, time } = this.#options;
    this.#topologies = topologyStore.watch((topology) => this.#saw(topology));
    this.#nodes = registry.watch((nodes) => {
      if (this.#closing.signal.aborted) return;
      this.peers.saw(nodes);
      this.#options.onNodes();
    });
    this.#checking = new Repeated(time, limits.topologyCheckMs, () => this.#check());
    void this.#check();
    void this.#list();
  }

  /** That is acted on. */
  get topology(): Topology | undefined {
    return this.#followed;
  }

  /** As it was heard of last. */
  get latest(): Topology | undefined {
    return this.#topology;
  }

  /** Of the topology that is acted on; 0n: none yet. */
  get epoch(): bigint {
    return this.#followed?.epoch ?? 0n;
  }

  /** Id of the checkpoint that the cluster began with; undefined: with none, or nothing is known yet. */
  get restoredFrom(): string | undefined {
    return this.#topology?.restoredFrom?.checkpoint;
  }

  /** Empty: it has none. Undefined: nothing is known yet. */
  get lineage(): string | undefined {
    return this.#topology && (this.#topology.lineage ?? '');
  }

  /** Whether the store has answered: with a topology that is acted on, or that there is none. */
  get known(): boolean {
    return this.#followed !== undefined || this.#absent;
  }

  /** The topology as it was seen last, where the store has lost it. */
  get lost(): Topology | undefined {
    return this.#absent ? this.#options.last.topology : undefined;
  }

  #saw(topology: Topology): void {
    if (this.#closing.signal.aborted) return;
    this.#absent = false;
    this.#topology = topology;
    this.#options.last.saw(topology);
    this.#follow();
    this.#tell();
  }

  #follow(): void {
    const topology = this.#topology;
    if (!this.#listed || topology === undefined || isSameTopology(topology, this.#followed)) return;
    this.#followed = topology;
    this.peers.keepOnly(logsOf(topology));
    this.#options.onTopology(topology);
  }

  #tell(): void {
    if (this.#told || !this.#listed || !this.known || this.#closing.signal.aborted) return;
    this.#told = true;
    this.#options.onKnown();
  }

  /** Never rejects. */
  async #list(): Promise<void> {
    const { registry, time, onNotice } = this.#options;
    const { signal } = this.#closing;
    const backoff = new Backoff(limits.replicaRetryMinMs, limits.replicaRetryMaxMs);
    while (!signal.aborted) {
      try {
        for (const report of await registry.list()) this.peers.sawReport(report);
        break;
      } catch (error) {
        onNotice('the nodes of the cluster cannot be listed', { error: String(error) });
        await pause(time, backoff.nextMs(), signal).catch(() => undefined);
      }
    }
    this.#listed = true;
    if (!signal.aborted) this.#follow();
    this.#tell();
  }

  /** Whether the store has a topology at all: a watch would only be silent. Never rejects. */
  async #check(): Promise<void> {
    const { topologyStore } = this.#options;
    const seen = this.#topology;
    try {
      const absent = (await topologyStore.read()) === undefined;
      // One that was seen meanwhile is news; the answer is not.
      if (seen === this.#topology) this.#absent = absent;
      this.#tell();
    } catch {
      // Not to be asked now: it stays as it was.
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#checking?.close();
    await Promise.all([this.#topologies?.close(), this.#nodes?.close()]);
    await this.#options.last.close();
  }
}

/** Also of what is retired, and of what is to be split off: its replicas are there a moment before it is. */
function logsOf({ partitions, retired = [], reshapes = [] }: Topology): Parameters<Peers['keepOnly']>[0] {
  const children = reshapes.flatMap((reshape) =>
    reshape.kind === 'split' ? [{ partition: reshape.target, log: reshape.log }] : [],
  );
  return [...partitions, ...retired.map(({ placement }) => placement), ...children];
}
