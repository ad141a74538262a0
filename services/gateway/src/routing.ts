// Where a key lies: store and key → slot → partition → node. The topology may be replaced while
// requests run; each request asks anew, and says by which layout of the slots it was sent.
import {
  slotOf,
  slotOwners,
  TopologyOrder,
  type BinaryString,
  type PartitionLog,
  type PartitionPlacement,
  type Topology,
} from '@statestore/core';
import type { NodeService, PartitionStatus, Place } from '@statestore/link';
import type { NodeDescription, NodeDirectory, StatusSource } from './options.ts';
import { placeOf, type SessionToken } from './session-token.ts';

/** Which slots are whose, by one topology. */
export interface Layout {
  /** Of the topology. */
  readonly epoch: bigint;
  /** Ascending. */
  readonly partitions: readonly number[];
  /** What a replica of the partition must know of its slots; undefined: there is nothing to know, nobody reshapes. */
  readonly slotsEpochOf: (partition: number) => bigint | undefined;
}

export class Routing {
  #topology: Topology;
  readonly #order = new TopologyOrder();
  #owners: Uint16Array;
  #layout: Layout;
  #layoutEpoch: bigint | undefined;
  #live: ReadonlyMap<number, PartitionPlacement>;
  #retired: ReadonlyMap<number, PartitionPlacement>;
  /** By partition and generation: the last position that its log has of the one before. One for each log that carries another one on. */
  readonly #carriedOnAfter = new Map<string, bigint>();
  readonly #directory: NodeDirectory;
  readonly #listeners = new Set<() => void>();

  constructor(topology: Topology, directory: NodeDirectory) {
    this.#topology = topology;
    this.#order.take(topology);
    this.#owners = slotOwners(topology);
    this.#live = placementsOf(topology);
    this.#retired = retiredOf(topology);
    this.#layout = layoutOf(topology, this.#live);
    this.#layoutEpoch = isReshaped(topology) ? topology.epoch : undefined;
    this.#directory = directory;
    this.#note(topology);
  }

  get topology(): Topology {
    return this.#topology;
  }

  /** Ascending. */
  get partitions(): readonly number[] {
    return this.#layout.partitions;
  }

  get layout(): Layout {
    return this.#layout;
  }

  /** Whoever has a topology of this epoch, or a later one, knows whose the slots are as well as this gateway. Undefined: no slot ever moved. */
  get layoutEpoch(): bigint | undefined {
    return this.#layoutEpoch;
  }

  /** Takes a topology over unless it is older than the present one. */
  update(topology: Topology): void {
    if (!this.#order.isLater(topology)) return;
    const owners = slotOwners(topology);
    this.#order.take(topology);
    this.#owners = owners;
    const before = this.#topology;
    this.#topology = topology;
    this.#live = placementsOf(topology);
    this.#retired = retiredOf(topology);
    this.#layout = layoutOf(topology, this.#live);
    if (!isReshaped(topology)) this.#layoutEpoch = undefined;
    else if (this.#layoutEpoch === undefined || !isSameLayout(before, topology)) this.#layoutEpoch = topology.epoch;
    this.#note(topology);
    for (const listener of this.#listeners) listener();
  }

  #note({ partitions, retired = [] }: Topology): void {
    for (const { partition, log } of [...partitions, ...retired.map(({ placement }) => placement)]) {
      if (log?.continues === undefined) continue;
      this.#carriedOnAfter.set(`${partition} ${log.generation}`, log.continues.position);
    }
  }

  /** Called after each topology that was taken over. Returns what ends it. */
  onUpdate(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Resolves as soon as the topology is of a later epoch, or another one, and after `ms` whatever it is. */
  later(epoch: bigint, ms: number): Promise<void> {
    if (this.#topology.epoch !== epoch) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#listeners.add(done);
    });
  }

  /** A newer topology should be looked for. */
  refresh(): void {
    this.#directory.refresh?.();
  }

  /** Whether there is anybody to ask for a newer topology. */
  get refreshes(): boolean {
    return this.#directory.refresh !== undefined;
  }

  has(partition: number): boolean {
    return this.#live.has(partition);
  }

  /** Whether it is there, or was merged away a short time ago and still answers for what it was asked before. */
  knows(partition: number): boolean {
    return this.#live.has(partition) || this.#retired.has(partition);
  }

  partitionOf(store: string, key: BinaryString): number {
    return this.#owners[slotOf(store, key)]!;
  }

  /** Slots start ≤ slot < end of a partition. */
  slotsOf(partition: number): PartitionPlacement['slots'] {
    return this.#live.get(partition)?.slots ?? [];
  }

  /** Whether a log is of before a restore: all that are known are of later generations, and all that is left of it is in them. */
  isBeforeAll({ generation = 1 }: Place): boolean {
    return this.#topology.partitions.every(({ log }) => log !== undefined && log.generation > generation);
  }

  /** Whether a token's epoch was counted in a cluster before this one was restored from it: its epochs began anew. */
  isOfBefore({ epoch, positions }: SessionToken): boolean {
    const { restoredFrom, epoch: own } = this.#topology;
    return (
      epoch > own &&
      restoredFrom !== undefined &&
      [...positions.values()].some((text) => this.isBeforeAll(placeOf(text)))
    );
  }

  logOf(partition: number): PartitionLog | undefined {
    return (this.#live.get(partition) ?? this.#retired.get(partition))?.log;
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

function placementsOf({ partitions }: Topology): ReadonlyMap<number, PartitionPlacement> {
  return new Map(partitions.map((placement) => [placement.partition, placement]));
}

/** Those that are held still. */
function retiredOf({ retired = [] }: Topology): ReadonlyMap<number, PartitionPlacement> {
  const held = retired.filter(({ ended }) => ended !== true);
  return new Map(held.map(({ placement }) => [placement.partition, placement]));
}

function layoutOf({ epoch, spec }: Topology, live: ReadonlyMap<number, PartitionPlacement>): Layout {
  // A node on its own has no spec, and keeps its slots for ever.
  const never = spec === undefined ? undefined : 0n;
  return {
    epoch,
    partitions: [...live.keys()],
    slotsEpochOf: (partition) => live.get(partition)?.slotsEpoch ?? never,
  };
}

function isReshaped({ partitions, retired = [], forgotten }: Topology): boolean {
  return forgotten !== undefined || retired.length > 0 || partitions.some(({ slotsEpoch }) => slotsEpoch !== undefined);
}

function isSameLayout(a: Topology, b: Topology): boolean {
  return (
    a.lineage === b.lineage &&
    a.partitions.length === b.partitions.length &&
    a.partitions.every(({ partition, slotsEpoch }, i) => {
      const other = b.partitions[i]!;
      return partition === other.partition && slotsEpoch === other.slotsEpoch;
    })
  );
}

/** Positions of two logs are not to be compared. */
function better(a: PartitionStatus, b: PartitionStatus, incarnation: string | undefined): boolean {
  const [isOf, isOther] = [a.incarnation === incarnation, b.incarnation === incarnation];
  if (incarnation !== undefined && isOf !== isOther) return isOf;
  if ((a.state === 'running') !== (b.state === 'running')) return a.state === 'running';
  return a.appliedPosition > b.appliedPosition;
}
