// Where a key lies: store and key → slot → partition → node. The topology may be replaced while
// requests run; each request asks anew.
import { slotOf, slotOwners, type BinaryString, type Topology } from '@statestore/core';
import type { NodeService, PartitionStatus } from '@statestore/link';
import type { NodeDescription, NodeDirectory, StatusSource } from './options.ts';

export class Routing {
  #topology: Topology;
  #owners: Uint16Array;
  #partitions: readonly number[];
  #known: ReadonlySet<number>;
  readonly #directory: NodeDirectory;

  constructor(topology: Topology, directory: NodeDirectory) {
    this.#topology = topology;
    this.#owners = slotOwners(topology);
    this.#partitions = topology.partitions.map((placement) => placement.partition);
    this.#known = new Set(this.#partitions);
    this.#directory = directory;
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
    if (topology.epoch <= this.#topology.epoch) return;
    this.#owners = slotOwners(topology);
    this.#partitions = topology.partitions.map((placement) => placement.partition);
    this.#known = new Set(this.#partitions);
    this.#topology = topology;
  }

  has(partition: number): boolean {
    return this.#known.has(partition);
  }

  partitionOf(store: string, key: BinaryString): number {
    return this.#owners[slotOf(store, key)]!;
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

  /** Status of each partition that a node answers for; of several replicas, the furthest one. */
  async statuses(): Promise<Map<number, PartitionStatus>> {
    const found = new Map<number, PartitionStatus>();
    for (const { partitions } of await Promise.all(this.nodes().map((node) => node.status()))) {
      for (const status of partitions) {
        const known = found.get(status.partition);
        if (known === undefined || better(status, known)) found.set(status.partition, status);
      }
    }
    return found;
  }
}

function better(a: PartitionStatus, b: PartitionStatus): boolean {
  if ((a.state === 'running') !== (b.state === 'running')) return a.state === 'running';
  return a.appliedPosition > b.appliedPosition;
}
