// Looks into a cluster through its NATS servers, beside the gateways: what nodes report of their replicas,
// which server leads a log, and whether replicas have met.
import { setTimeout as sleep } from 'node:timers/promises';
import { JetStreamApiCodes, JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import type { Topology } from '@statestore/core';
import type { NatsConnection, NodeRegistry, NodeReport, TopologyStore } from '@statestore/cluster';
import { connectNats, jetStreamNodeRegistry, jetStreamTopologyStore, logStream } from '@statestore/cluster';
import type { LocalCluster } from '@statestore/cli';
import type { HistoryFile, ReplicaLine } from '../history/history.ts';

/** A node reports about once a second: what it says next was made after what it said last was read. */
const newReports = 1;
const pollMs = 200;
const askTimeoutMs = 2000;
const deleteTimeoutMs = 30_000;

export class Eye {
  readonly #connection: NatsConnection;
  readonly #registry: NodeRegistry;
  readonly #store: TopologyStore;
  readonly #cluster: string;

  private constructor(connection: NatsConnection, registry: NodeRegistry, store: TopologyStore, cluster: string) {
    this.#connection = connection;
    this.#registry = registry;
    this.#store = store;
    this.#cluster = cluster;
  }

  static async open({ natsUrls, name, nats }: LocalCluster): Promise<Eye> {
    const connection = await connectNats({ servers: natsUrls, name: 'eye' });
    const options = { replicas: nats.length === 1 ? 1 : 3 };
    const registry = await jetStreamNodeRegistry(connection, name, options);
    return new Eye(connection, registry, await jetStreamTopologyStore(connection, name, options), name);
  }

  /** Writes down what every node reports from now on. Returns what ends it. */
  watch(history: HistoryFile): () => Promise<void> {
    const noted = new Map<string, string>();
    const watch = this.#registry.watch((nodes) => {
      for (const { report } of nodes.values()) {
        const one = `${report.boot} ${report.count}`;
        if (noted.get(report.name) === one) continue;
        noted.set(report.name, one);
        for (const line of linesOf(report, false)) history.note(line);
      }
    });
    return () => watch.close();
  }

  /**
   * Waits until every replica of every partition runs at the same position as the others, and writes down
   * where they are; after `timeoutMs` where they stay. Resolves with the time it took.
   */
  async convergence(history: HistoryFile, timeoutMs: number): Promise<number> {
    const startedMs = performance.now();
    const first = new Map<string, { readonly boot: string; readonly count: number }>();
    let lines: ReplicaLine[] = [];
    for (;;) {
      const elapsedMs = performance.now() - startedMs;
      const [reports, topology] = await Promise.all([this.#reports(), this.#topology()]);
      for (const { name, boot, count } of reports) if (!first.has(name)) first.set(name, { boot, count });
      const isNew = reports.every(({ name, boot, count }) => {
        const one = first.get(name)!;
        return one.boot !== boot || count >= one.count + newReports;
      });
      lines = reports.flatMap((report) => linesOf(report, true)).filter((line) => isPlaced(line, topology));
      const isOver = (isNew && haveMet(lines, topology)) || elapsedMs > timeoutMs;
      if (isOver) {
        const atMs = performance.now();
        for (const { partition, replicas } of topology.partitions) {
          history.note({ type: 'placement', atMs, partition, replicas });
        }
        for (const line of lines) history.note(line);
        return elapsedMs;
      }
      await sleep(pollMs);
    }
  }

  /** Waits until every replica runs, as its node says. */
  async allRun(timeoutMs: number): Promise<void> {
    const untilMs = performance.now() + timeoutMs;
    for (;;) {
      const [reports, topology] = await Promise.all([this.#reports(), this.#topology()]);
      const waiting = topology.partitions.flatMap(({ partition, replicas, log }) =>
        replicas.filter((node) => !runs(reports, node, partition, log?.incarnation)),
      );
      if (topology.partitions.length > 0 && waiting.length === 0) return;
      if (performance.now() > untilMs) {
        throw new Error(`after ${timeoutMs} ms replicas on ${[...new Set(waiting)].join(', ')} do not run`);
      }
      await sleep(pollMs);
    }
  }

  /** Name of the NATS server that leads the log of a partition; undefined: nobody knows now. */
  async leaderOf(partition: number): Promise<string | undefined> {
    const stream = await this.#stream(partition);
    if (stream === undefined) return undefined;
    const manager = await jetstreamManager(this.#connection, { timeout: askTimeoutMs, checkAPI: false });
    const info = await manager.streams.info(stream).catch(() => undefined);
    return info?.cluster?.leader;
  }

  /** Under the feet of everybody. While NATS elects a leader it is asked again: only a stream that is gone is deleted. */
  async deleteLog(partition: number): Promise<void> {
    const stream = await this.#stream(partition);
    if (stream === undefined) throw new Error(`partition ${partition} has no log`);
    const manager = await jetstreamManager(this.#connection, { timeout: askTimeoutMs, checkAPI: false });
    const untilMs = performance.now() + deleteTimeoutMs;
    for (;;) {
      try {
        await manager.streams.delete(stream);
        return;
      } catch (error) {
        if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound) return;
        if (performance.now() > untilMs) throw error;
        await sleep(pollMs);
      }
    }
  }

  /** Generation of each partition's log. */
  async generations(): Promise<ReadonlyMap<number, number>> {
    const topology = await this.#topology();
    return new Map(topology.partitions.map(({ partition, log }) => [partition, log?.generation ?? 0]));
  }

  /** Waits until there are as many partitions as are wanted, and nothing is split or merged any more. */
  async resized(timeoutMs: number): Promise<void> {
    const untilMs = performance.now() + timeoutMs;
    for (;;) {
      const { partitions, reshapes = [], spec } = await this.#topology();
      const isWanted = spec?.partitions === undefined || spec.partitions === partitions.length;
      if (partitions.length > 0 && reshapes.length === 0 && isWanted) return;
      if (performance.now() > untilMs) {
        const under = reshapes.map(({ kind, source, target }) => `${kind} of ${source} and ${target}`);
        throw new Error(
          `after ${timeoutMs} ms there are ${partitions.length} partitions of ${spec?.partitions}: ${under.join(', ')}`,
        );
      }
      await sleep(pollMs);
    }
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  async #stream(partition: number): Promise<string | undefined> {
    const topology = await this.#store.read().catch(() => undefined);
    const log = topology?.partitions.find((one) => one.partition === partition)?.log;
    return log === undefined ? undefined : logStream(this.#cluster, partition, log.generation);
  }

  async #reports(): Promise<readonly NodeReport[]> {
    return this.#registry.list().catch(() => []);
  }

  async #topology(): Promise<Topology> {
    return (await this.#store.read().catch(() => undefined)) ?? { epoch: 0n, partitions: [] };
  }
}

function linesOf({ name, replicas }: NodeReport, last: boolean): ReplicaLine[] {
  const atMs = performance.now();
  return replicas.map(({ partition, incarnation, state, appliedPosition, chain, stateHash }) => ({
    type: 'replica',
    atMs,
    node: name,
    partition,
    log: incarnation,
    state,
    position: appliedPosition,
    chain,
    stateHash,
    last,
  }));
}

/** On the log that the topology names. */
function runs(
  reports: readonly NodeReport[],
  node: string,
  partition: number,
  incarnation: string | undefined,
): boolean {
  const replica = reports.find(({ name }) => name === node)?.replicas.find((one) => one.partition === partition);
  return replica?.state === 'running' && replica.incarnation === incarnation;
}

/** Of a partition that there is, not of one of before that had its number. */
function isPlaced({ partition, log, node }: ReplicaLine, topology: Topology): boolean {
  return topology.partitions.some(
    (one) => one.partition === partition && one.replicas.includes(node) && (log === one.log?.incarnation || log === ''),
  );
}

function haveMet(lines: readonly ReplicaLine[], { partitions }: Topology): boolean {
  if (partitions.length === 0) return false;
  return partitions.every(({ partition, replicas }) => {
    const ofPartition = lines.filter((line) => line.partition === partition);
    const positions = new Set(ofPartition.map(({ position }) => position));
    const allRun = ofPartition.every(({ state }) => state === 'running');
    return ofPartition.length === replicas.length && positions.size === 1 && allRun;
  });
}
