// Where a key lies: store and key → slot → partition → node. The topology may be replaced while
// requests run; each request asks anew.
import {
  slotOf,
  slotOwners,
  TopologyOrder,
  type BinaryString,
  type PartitionLog,
  type Topology,
} from '@statestore/core';
import type { NodeService, PartitionStatus, Place } from '@statestore/link';
import type { NodeDescription, NodeDirectory, StatusSource } from './options.ts';

export class Routing {
  #topology: Topology;
  readonly #order = new TopologyOrder();
  #owners: Uint16Array;
  #partitions: readonly number[];
  #known: ReadonlySet<number>;
  /** By partition and generation: the last position that its log has of the one before. One for each log that carries another one on. */
  readonly #carriedOnAfter = new Map<string, bigint>();
  readonly #directory: NodeDirectory;

  constructor(topology: Topology, directory: NodeDirectory) {
    this.#topology = topology;
    this.#order.take(topology);
    this.#owners = slotOwners(topology);
    this.#partitions = topology.partitions.map((placement) => placement.partition);
    this.#known = new Set(this.#partitions);
    this.#directory = directory;
    this.#note(topology);
  }

  get topology(): Topology {
    return this.#topology;
  }

  /** Ascending. */
  get partitions(): readonly number[] {
    return this.#partitions;
  }

  /** Takes a topology over unless it is older than the present one. */
  update(topology: Topology): void {
    if (!this.#order.isLater(topology)) return;
    this.#order.take(topology);
    this.#owners = slotOwners(topology);
    this.#partitions = topology.partitions.map((placement) => placement.partition);
    this.#known = new Set(this.#partitions);
    this.#topology = topology;
    this.#note(topology);
  }

  #note({ partitions }: Topology): void {
    for (const { partition, log } of partitions) {
      if (log?.continues === undefined) continue;
      this.#carriedOnAfter.set(`${partition} ${log.generation}`, log.continues.position);
    }
  }

  has(partition: number): boolean {
    return this.#known.has(partition);
  }

  partitionOf(store: string, key: BinaryString): number {
    return this.#owners[slotOf(store, key)]!;
  }

  /** Of the partition's log; undefined: it has none, or there is no such partition. */
  generationOf(partition: number): number | undefined {
    return this.logOf(partition)?.generation;
  }

  /** Whether a log is of before a restore: all that are known are of later generations, and all that is left of it is in them. */
  isBeforeAll({ generation = 1 }: Place): boolean {
    return this.#topology.partitions.every(({ log }) => log !== undefined && log.generation > generation);
  }

  logOf(partition: number): PartitionLog | undefined {
    return this.#topology.partitions.find((placement) => placement.partition === partition)?.log;
  }

  /** Whether a position is the same batch in a log and in another one, an earlier one of the partition. */
  isShared(partition: number, { position, generation = 1 }: Place, earlier = 1): boolean {
    if (generation === earlier) return true;
    const keptUntil = this.#carriedOnAfter.get(`${partition} ${generation}`);
    return earlier === generation - 1 && keptUntil !== undefined && position <= keptUntil;
  }

  nodeOf(partition: number): NodeService {
    return this.#directory.nodeOf(partition);
  }

  nodes(): readonly StatusSource[] {
    return this.#directory.nodes();
  }

  /** Of a cluster; none where there is one node. */
  describe(): readonly NodeDescription[] {
    return this.#directory.describe?.() ?? [];
  }

  /** Status of each partition that a node answers for; of several replicas, the furthest one of its log. */
  async statuses(): Promise<Map<number, PartitionStatus>> {
    const found = new Map<number, PartitionStatus>();
    const logs = new Map(this.#topology.partitions.map(({ partition, log }) => [partition, log?.incarnation]));
    for (const { partitions } of await Promise.all(this.nodes().map((node) => node.status()))) {
      for (const status of partitions) {
        const known = found.get(status.partition);
        if (known === undefined || better(status, known, logs.get(status.partition)))
          found.set(status.partition, status);
      }
    }
    return found;
  }
}

/** Positions of two logs are not to be compared. */
function better(a: PartitionStatus, b: PartitionStatus, incarnation: string | undefined): boolean {
  const [isOf, isOther] = [a.incarnation === incarnation, b.incarnation === incarnation];
  if (incarnation !== undefined && isOf !== isOther) return isOf;
  if ((a.state === 'running') !== (b.state === 'running')) return a.state === 'running';
  return a.appliedPosition > b.appliedPosition;
}
