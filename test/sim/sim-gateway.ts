// A gateway in the simulated world: the real routing of a cluster over simulated links, with a registry that
// tells late what nodes are doing.
import type { NodeReport, ObservedNode } from '@statestore/cluster';
import type { BinaryString, Command, CommandResult, Topology } from '@statestore/core';
import { limits } from '@statestore/core';
import type { Entry, ReadOptions } from '@statestore/link';
import { ClusterDirectory } from '../../services/gateway/src/cluster/directory.ts';
import type { ClusterMetrics } from '../../services/gateway/src/cluster/metrics.ts';
import type { Profile } from './profile.ts';
import { asNodeLink, SimLink } from './sim-link.ts';
import type { SimNode } from './sim-node.ts';
import type { World } from './world.ts';

const reportEveryMs = 1000;
const reportDelayMsMax = 300;

export class SimGateway {
  readonly name: string;
  readonly links = new Map<string, SimLink>();
  readonly #world: World;
  readonly #nodes: readonly SimNode[];
  readonly #directory: ClusterDirectory;
  readonly #reports = new Map<string, NodeReport>();
  readonly #heardMs = new Map<string, number>();
  #closed = false;

  /* oxlint-disable-next-line max-params -- what its world is */
  constructor(world: World, profile: Profile, nodes: readonly SimNode[], topology: Topology, number: number) {
    this.#world = world;
    this.#nodes = nodes;
    this.name = `gateway ${number}`;
    this.#directory = new ClusterDirectory({
      time: { elapsedMs: () => world.nowMs, after: (ms, run) => world.after(ms, undefined, run) },
      connect: (address, onChange) => {
        const node = nodes.find(({ name }) => name === address)!;
        const link = new SimLink(world, profile, node, onChange);
        this.links.set(node.name, link);
        return asNodeLink(link);
      },
    });
    this.#directory.updateTopology(topology);
    for (const node of nodes) this.#hear(node);
    this.#listen();
  }

  get metrics(): ClusterMetrics {
    return this.#directory.metrics;
  }

  place(topology: Topology): void {
    this.#directory.updateTopology(topology);
  }

  #listen(): void {
    if (this.#closed) return;
    for (const node of this.#nodes) {
      if (!node.life.alive || node.frozen) continue;
      this.#world.after(this.#world.between(0, reportDelayMsMax), undefined, () => this.#hear(node));
    }
    this.#tell();
    this.#world.after(reportEveryMs, undefined, () => this.#listen());
  }

  #hear(node: SimNode): void {
    this.#heardMs.set(node.name, this.#world.nowMs);
    this.#reports.set(node.name, reportOf(node));
    this.#tell();
  }

  #tell(): void {
    if (this.#closed) return;
    const silentMs = (name: string): number => this.#world.nowMs - this.#heardMs.get(name)!;
    const observed = [...this.#reports].map(([name, report]): [string, ObservedNode] => {
      const live = silentMs(name) < limits.nodeSilenceMs;
      return [name, { report, live, confirmed: live }];
    });
    this.#directory.updateNodes(new Map(observed));
  }

  async propose(command: Command): Promise<{ readonly result: CommandResult; readonly position: bigint }> {
    const { position, ...result } = await this.#directory.nodeOf().propose(0, command);
    return { result, position };
  }

  async read(
    store: string,
    keys: readonly BinaryString[],
    options: ReadOptions,
  ): Promise<readonly (Entry | undefined)[]> {
    const { entries } = await this.#directory.nodeOf().getMany(0, store, keys, options);
    return entries;
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#directory.close();
  }
}

function reportOf(node: SimNode): NodeReport {
  const replica = {
    partition: 0,
    state: node.running ? ('running' as const) : ('starting' as const),
    reason: '',
    incarnation: '',
    appliedPosition: '0',
    storedPosition: '0',
    lag: 0,
    chain: '',
    stateHash: '',
    entries: 0,
    bytes: 0,
  };
  return {
    name: node.name,
    address: node.name,
    zone: '',
    version: '',
    boot: `start ${node.starts}`,
    count: 1,
    epoch: '1',
    draining: false,
    disk: { freeBytes: 1, totalBytes: 1 },
    replicas: [replica],
  };
}
