// Nodes of a cluster in one process, over whatever backend: started, stopped and started again on their
// folders, written to and read from, and waited for.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LogStreams, NodeRegistry, ProofExchange, ReplicaReport, TopologyStore } from '@statestore/cluster';
import type { PartitionLog, PartitionPlacement, Topology } from '@statestore/core';
import { defaultTtl, noCondition, StateStoreError } from '@statestore/core';
import type { Found, Proposed } from '@statestore/link';
import { expect } from 'vitest';
import type { ClusterNode } from '../../services/node/src/cluster/cluster-node.ts';
import { openClusterNode } from '../../services/node/src/cluster/cluster-node.ts';
import type { DiskSpace } from '../../services/node/src/cluster/disk-watch.ts';
import type { ClusterNodeOptions, ConnectionState } from '../../services/node/src/cluster/node-options.ts';
import type { Log } from '../../services/node/src/log/log.ts';

/** What one node is given of the world. */
export interface NodeWorld {
  readonly topologyStore: TopologyStore;
  readonly registry: NodeRegistry;
  readonly logStreams: LogStreams;
  readonly openLog: (partition: number, log: PartitionLog) => Promise<Log>;
  readonly proofs?: ProofExchange;
  readonly connection?: ClusterNodeOptions['connection'];
  readonly connectionState?: ConnectionState;
  readonly recoverLog?: ClusterNodeOptions['recoverLog'];
  close(): Promise<void>;
}

export interface ClusterBackend {
  /** Copies of a log. */
  readonly logReplicas: number;
  world(node: string): Promise<NodeWorld>;
  close(): Promise<void>;
}

export interface Notice {
  readonly node: string;
  readonly notice: string;
  readonly details: Readonly<Record<string, unknown>>;
}

const cluster = 'test';

/** Nodes by name, the topology that they follow, and a client of them. */
export class NodeCluster {
  readonly backend: ClusterBackend;
  readonly notices: Notice[] = [];
  readonly fatal: StateStoreError[] = [];
  readonly disk = new Map<string, DiskSpace>();
  readonly #folder: string;
  readonly #nodes = new Map<string, ClusterNode>();
  readonly #worlds = new Map<string, NodeWorld>();
  readonly #own: NodeWorld;
  readonly #options: Partial<ClusterNodeOptions>;
  #counter = 0;

  /* oxlint-disable-next-line max-params -- what it is made of */
  private constructor(backend: ClusterBackend, folder: string, own: NodeWorld, options: Partial<ClusterNodeOptions>) {
    this.backend = backend;
    this.#folder = folder;
    this.#own = own;
    this.#options = options;
  }

  static async open(backend: ClusterBackend, options: Partial<ClusterNodeOptions> = {}): Promise<NodeCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'statestore-nodes-'));
    return new NodeCluster(backend, folder, await backend.world('test'), options);
  }

  get logStreams(): LogStreams {
    return this.#own.logStreams;
  }

  get registry(): NodeRegistry {
    return this.#own.registry;
  }

  get topologyStore(): TopologyStore {
    return this.#own.topologyStore;
  }

  openLog(partition: number, log: PartitionLog): Promise<Log> {
    return this.#own.openLog(partition, log);
  }

  dataPath(name: string): string {
    return join(this.#folder, name);
  }

  async start(name: string, more: Partial<ClusterNodeOptions> = {}): Promise<ClusterNode> {
    const world = await this.backend.world(name);
    const { connection, connectionState, proofs, recoverLog } = world;
    const node = await openClusterNode({
      cluster,
      name,
      zone: 'z',
      address: `${name}:1`,
      dataPath: this.dataPath(name),
      engine: 'lmdb',
      version: '0',
      topologyStore: world.topologyStore,
      registry: world.registry,
      logStreams: world.logStreams,
      openLog: world.openLog,
      ...(connection === undefined ? {} : { connection }),
      ...(connectionState === undefined ? {} : { connectionState }),
      ...(proofs === undefined ? {} : { proofs }),
      ...(recoverLog === undefined ? {} : { recoverLog }),
      connectPeer: (address) => this.#peer(address),
      onNotice: (notice, details) => void this.notices.push({ node: name, notice, details }),
      onFatal: (reason) => void this.fatal.push(reason),
      readDisk: () => Promise.resolve(this.disk.get(name) ?? { freeBytes: 80e9, totalBytes: 100e9 }),
      proofInterval: 16n,
      ...this.#options,
      ...more,
    });
    this.#nodes.set(name, node);
    this.#worlds.set(name, world);
    return node;
  }

  #peer(address: string): Pick<ClusterNode['node'], 'copyState'> {
    const node = this.#nodes.get(address.split(':')[0]!);
    if (node === undefined) throw new StateStoreError('unavailable', `nobody is at ${address}`);
    return node.node;
  }

  async stop(name: string): Promise<void> {
    const node = this.#nodes.get(name);
    this.#nodes.delete(name);
    await node?.close();
    await this.#worlds.get(name)?.close();
    this.#worlds.delete(name);
  }

  at(name: string): ClusterNode {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`node ${name} does not run`);
    return node;
  }

  get names(): readonly string[] {
    return [...this.#nodes.keys()];
  }

  // Topology.

  /** Makes logs and the first topology: partitions 0 to count - 1 on these nodes. */
  async create(count: number, replicas: readonly string[]): Promise<void> {
    const { logStreams, topologyStore } = this.#own;
    const partitions: PartitionPlacement[] = [];
    for (let partition = 0; partition < count; partition++) {
      const log = await logStreams.create({ partition, generation: 1, replicas: this.backend.logReplicas });
      const slots = [
        { start: Math.floor((partition * 4096) / count), end: Math.floor(((partition + 1) * 4096) / count) },
      ];
      partitions.push({ partition, slots, replicas, log });
    }
    const spec = { replicationFactor: replicas.length, logReplicas: this.backend.logReplicas, drained: [] };
    expect(await topologyStore.replace({ epoch: 1n, spec, partitions })).toBe('replaced');
  }

  async change(partition: number, change: (placement: PartitionPlacement) => PartitionPlacement): Promise<void> {
    const topology = await this.topology();
    const partitions = topology.partitions.map((each) => (each.partition === partition ? change(each) : each));
    const next = { ...topology, epoch: topology.epoch + 1n, partitions };
    expect(await this.topologyStore.replace(next)).toBe('replaced');
  }

  async topology(): Promise<Topology> {
    return (await this.topologyStore.read())!;
  }

  async placement(partition: number): Promise<PartitionPlacement> {
    return (await this.topology()).partitions.find((each) => each.partition === partition)!;
  }

  // Waiting.

  report(name: string, partition = 0): ReplicaReport | undefined {
    return this.#nodes
      .get(name)
      ?.status()
      .replicas.find((each) => each.partition === partition);
  }

  async until(what: string, holds: () => boolean | Promise<boolean>, ms = 30_000): Promise<void> {
    const untilMs = performance.now() + ms;
    while (!(await holds())) {
      if (performance.now() > untilMs) throw new Error(`not within ${ms} ms: ${what}\n${this.describe()}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  describe(): string {
    const statuses = [...this.#nodes].map(([name, node]) => `${name}: ${JSON.stringify(node.status().replicas)}`);
    const notices = this.notices.slice(-30).map((notice) => JSON.stringify(notice));
    return [...statuses, ...notices].join('\n');
  }

  running(names: readonly string[], partition = 0): Promise<void> {
    return this.until(`${names.join(', ')} run`, () =>
      names.every((name) => this.report(name, partition)?.state === 'running'),
    );
  }

  halted(name: string, cause: string, partition = 0): Promise<void> {
    return this.until(`${name} halted with ${cause}`, () => {
      const report = this.report(name, partition);
      return report?.state === 'halted' && report.haltCause === cause;
    });
  }

  /** All of them at the same position, with the same hashes. */
  async converged(names: readonly string[], partition = 0): Promise<void> {
    await this.until(`${names.join(', ')} are equal`, () => {
      const reports = names.map((name) => this.report(name, partition));
      const first = reports[0];
      return reports.every(
        (report) =>
          report?.state === 'running' &&
          report.appliedPosition === first?.appliedPosition &&
          report.chain === first.chain &&
          report.stateHash === first.stateHash,
      );
    });
  }

  // A client.

  /** Resolves where the write was acknowledged; with its position. */
  async put(name: string, key: string, value: string, partition = 0): Promise<bigint> {
    return (await this.#put(name, key, value, partition)).position;
  }

  /** What became of it: `moved`, where the partition does not have the slot. */
  async putCode(name: string, key: string, value: string, partition: number): Promise<string> {
    const { code, operations } = await this.#put(name, key, value, partition);
    return code === 'done' ? operations[0]!.code : code;
  }

  async #put(name: string, key: string, value: string, partition: number): Promise<Proposed> {
    const operation = {
      kind: 'put',
      key,
      value: Buffer.from(value),
      contentType: '',
      condition: noCondition,
      ttl: defaultTtl,
    } as const;
    const body = { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] } as const;
    return this.at(name).node.propose(partition, { body });
  }

  /** Writes until told to stop, to whoever takes it; keeps what was acknowledged. */
  writer(names: readonly string[], partition = 0): { stop(): Promise<ReadonlyMap<string, string>> } {
    const acknowledged = new Map<string, string>();
    const stop = new AbortController();
    const live = (async () => {
      while (!stop.signal.aborted) {
        const key = `w${++this.#counter}`;
        const name = names[this.#counter % names.length]!;
        try {
          await this.put(name, key, key, partition);
          acknowledged.set(key, key);
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      return acknowledged;
    })();
    return {
      stop() {
        stop.abort();
        return live;
      },
    };
  }

  async get(name: string, key: string, partition = 0): Promise<string | undefined> {
    const options = { consistency: 'eventual' } as const;
    const found: Found = await this.at(name).node.get(partition, 's', key, options);
    return found.entry === undefined ? undefined : Buffer.from(found.entry.value).toString();
  }

  /** Every node of these has all of this. */
  async expectAll(names: readonly string[], entries: ReadonlyMap<string, string>, partition = 0): Promise<void> {
    for (const name of names) {
      const missing: string[] = [];
      for (const [key, value] of entries) if ((await this.get(name, key, partition)) !== value) missing.push(key);
      expect(missing, `${name} has not`).toEqual([]);
    }
  }

  async close(): Promise<void> {
    for (const name of this.names) await this.stop(name);
    await this.#own.close();
    await this.backend.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
