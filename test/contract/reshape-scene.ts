// Splits and merges of a cluster of nodes, asked for by hand, and clients that are told whose the slots are.
import { randomUUID } from 'node:crypto';
import type { TopologyWatch } from '@statestore/cluster';
import type { Reshape, Topology } from '@statestore/core';
import { slotOf, slotRanges } from '@statestore/core';
import { expect } from 'vitest';
import type { NodeCluster } from './cluster-node-fixture.ts';

export interface Writer {
  /** What was acknowledged. */
  stop(): Promise<Map<string, string>>;
  /** The longest that a write took, with all its attempts. */
  readonly longestMs: number;
}

export class ReshapeScene {
  readonly #cluster: NodeCluster;
  readonly #names: readonly string[];
  readonly #watch: TopologyWatch;
  #topology: Topology | undefined;

  constructor(cluster: NodeCluster, names: readonly string[]) {
    this.#cluster = cluster;
    this.#names = names;
    this.#watch = cluster.topologyStore.watch((topology) => (this.#topology = topology));
  }

  close(): Promise<void> {
    return this.#watch.close();
  }

  async change(edit: (topology: Topology) => Partial<Topology>): Promise<Topology> {
    for (;;) {
      const topology = await this.#cluster.topology();
      const next = { ...topology, ...edit(topology), epoch: topology.epoch + 1n };
      if ((await this.#cluster.topologyStore.replace(next)) === 'replaced') return next;
    }
  }

  /** The upper half of what the source has goes to the target. */
  async begin(kind: Reshape['kind'], source: number, target: number): Promise<Reshape> {
    const topology = await this.change(({ epoch, partitions, reshapes = [] }) => {
      const { slots } = partitions.find((each) => each.partition === source)!;
      const [range] = slots;
      const middle = Math.floor((range!.start + range!.end) / 2);
      const id = randomUUID();
      const fields = { id, source, target, slotsEpoch: epoch + 1n };
      const log = { generation: Number(epoch) + 1, incarnation: randomUUID() };
      const reshape: Reshape =
        kind === 'split'
          ? { kind, ...fields, slots: [{ start: middle, end: range!.end }, ...slots.slice(1)], log }
          : { kind, ...fields, slots };
      return { reshapes: [...reshapes, reshape] };
    });
    return topology.reshapes!.at(-1)!;
  }

  ended(id: string): Promise<void> {
    return this.#cluster.until('the reshape has ended', async () => {
      const { reshapes = [] } = await this.#cluster.topology();
      return !reshapes.some((each) => each.id === id);
    });
  }

  async #ownerOf(key: string): Promise<number> {
    const { partitions } = this.#topology ?? (await this.#cluster.topology());
    return partitions.find(({ slots }) => slotRanges.containsSlot(slots, slotOf('s', key)))!.partition;
  }

  /** Every node has all of this, in the partition that the topology says. */
  async expectAll(entries: ReadonlyMap<string, string>): Promise<void> {
    this.#topology = await this.#cluster.topology();
    const byOwner = new Map<number, Map<string, string>>();
    for (const [key, value] of entries) {
      const owner = await this.#ownerOf(key);
      const own = byOwner.get(owner) ?? new Map<string, string>();
      byOwner.set(owner, own.set(key, value));
    }
    for (const [owner, own] of byOwner) {
      await this.#cluster.running(this.#names, owner);
      await this.#cluster.converged(this.#names, owner);
      // One that runs may wait for the topology before it serves.
      const [key] = own.keys();
      await this.#cluster.until(`partition ${owner} is served`, async () => {
        const found = this.#names.map((name) =>
          this.#cluster.get(name, key!, owner).then(
            () => true,
            () => false,
          ),
        );
        return (await Promise.all(found)).every(Boolean);
      });
      await this.#cluster.expectAll(this.#names, own, owner);
    }
    const { partitions } = await this.#cluster.topology();
    const counts = partitions.map(({ partition }) => this.#cluster.report('a', partition)!.entries);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(entries.size);
  }

  /** To whoever has the key's slot, until it is told. */
  writer(): Writer {
    const cluster = this.#cluster;
    const acknowledged = new Map<string, string>();
    const stop = new AbortController();
    let count = 0;
    let longestMs = 0;
    const write = async (key: string): Promise<void> => {
      const beganMs = performance.now();
      while (!stop.signal.aborted || acknowledged.size === 0) {
        const owner = await this.#ownerOf(key);
        const name = cluster.names[count % cluster.names.length]!;
        const code = await cluster.putCode(name, key, key, owner).catch(() => 'failed');
        if (code === 'done') {
          acknowledged.set(key, key);
          longestMs = Math.max(longestMs, performance.now() - beganMs);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    const live = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (!stop.signal.aborted) await write(`w${++count}`);
      }),
    );
    return {
      stop: async () => {
        stop.abort();
        await live;
        return acknowledged;
      },
      get longestMs() {
        return longestMs;
      },
    };
  }

  async fill(count: number): Promise<Map<string, string>> {
    const entries = new Map<string, string>();
    for (let at = 0; at < count; at++) entries.set(`k${at}`, `v${at}`);
    await Promise.all(
      [...entries].map(async ([key, value]) => this.#cluster.put('a', key, value, await this.#ownerOf(key))),
    );
    return entries;
  }
}
