// Splits and merges by nodes of a cluster that are written to: what was acknowledged is in exactly one partition, on
// every replica alike; and what becomes of those that are given up, or in the middle of which nodes stop.
import { randomUUID } from 'node:crypto';
import type { Reshape, Topology } from '@statestore/core';
import { slotOf, slotRanges } from '@statestore/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';

const names = ['a', 'b', 'c'];
let backend: MemoryBackend;
let cluster: NodeCluster;

beforeEach(async () => {
  backend = new MemoryBackend();
  cluster = await NodeCluster.open(backend, { openCoordinator: null });
  await cluster.create(1, names);
  for (const name of names) await cluster.start(name);
  await cluster.running(names);
});
afterEach(() => cluster.close());

async function change(edit: (topology: Topology) => Partial<Topology>): Promise<Topology> {
  for (;;) {
    const topology = await cluster.topology();
    const next = { ...topology, ...edit(topology), epoch: topology.epoch + 1n };
    if ((await cluster.topologyStore.replace(next)) === 'replaced') return next;
  }
}

/** The upper half of what the source has goes to the target. */
async function begin(kind: Reshape['kind'], source: number, target: number): Promise<Reshape> {
  const topology = await change(({ epoch, partitions, reshapes = [] }) => {
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

function ended(id: string): Promise<void> {
  return cluster.until('the reshape has ended', async () => {
    const { reshapes = [] } = await cluster.topology();
    return !reshapes.some((each) => each.id === id);
  });
}

async function ownerOf(key: string): Promise<number> {
  const { partitions } = await cluster.topology();
  return partitions.find(({ slots }) => slotRanges.containsSlot(slots, slotOf('s', key)))!.partition;
}

/** Every node has all of this, in the partition that the topology says. */
async function expectAll(entries: ReadonlyMap<string, string>): Promise<void> {
  const byOwner = new Map<number, Map<string, string>>();
  for (const [key, value] of entries) {
    const owner = await ownerOf(key);
    const own = byOwner.get(owner) ?? new Map<string, string>();
    byOwner.set(owner, own.set(key, value));
  }
  for (const [owner, own] of byOwner) {
    await cluster.running(names, owner);
    await cluster.converged(names, owner);
    await cluster.expectAll(names, own, owner);
  }
  const { partitions } = await cluster.topology();
  const counts = partitions.map(({ partition }) => cluster.report('a', partition)!.entries);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(entries.size);
}

/** To whoever has the key's slot, until it is told. */
function writer(): { stop(): Promise<Map<string, string>>; readonly longestMs: number } {
  const acknowledged = new Map<string, string>();
  const stop = new AbortController();
  let count = 0;
  let longestMs = 0;
  const write = async (key: string): Promise<void> => {
    const beganMs = performance.now();
    while (!stop.signal.aborted || acknowledged.size === 0) {
      const owner = await ownerOf(key);
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

async function fill(count: number): Promise<Map<string, string>> {
  const entries = new Map<string, string>();
  for (let at = 0; at < count; at++) entries.set(`k${at}`, `v${at}`);
  await Promise.all([...entries].map(async ([key, value]) => cluster.put('a', key, value, await ownerOf(key))));
  return entries;
}

test('a partition is split while it is written to, and nobody is left out or told twice', async () => {
  const before = await fill(500);
  const writes = writer();
  const { id } = await begin('split', 0, 1);
  await ended(id);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const acknowledged = await writes.stop();
  await expectAll(new Map([...before, ...acknowledged]));
  expect(writes.longestMs).toBeLessThan(2000);
});
