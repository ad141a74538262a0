// A checkpoint of some partitions, restored into another number of them: each entry is in the partition of its slot
// as it was, each partition is a sound state that goes on, and no quota grows.
import { randomUUID } from 'node:crypto';
import type { PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { manifestsFor, MemoryRepository, restoreSlots, writePartition } from '@statestore/checkpoint';
import type { BinaryString, Command, StoredEntry } from '@statestore/core';
import { limits, loadState, readRange, slotOf, verifyState } from '@statestore/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import type { Step } from './arbitrary-commands.ts';
import { command, steps, stores } from './arbitrary-commands.ts';
import { logOf, Replica } from './replica.ts';
import { SortedMap } from './sorted-map.ts';

const { signal } = new AbortController();

interface Slots {
  readonly start: number;
  readonly end: number;
}

function split(count: number): Slots[] {
  const at = (n: number): number => Math.floor((n * limits.slotCount) / count);
  return Array.from({ length: count }, (_, n) => ({ start: at(n), end: at(n + 1) }));
}

const isIn = ({ start, end }: Slots, slot: number): boolean => slot >= start && slot < end;

/** The steps as the partition of these slots gets them: without operations on keys of others. */
function forSlots(some: readonly Step[], slots: Slots): Step[] {
  return some.map(({ elapsedMs, commands }) => ({
    elapsedMs,
    commands: commands.map((one): Command => {
      if (one.body.kind !== 'mutate') return one;
      const { store } = one.body;
      const operations = one.body.operations.filter(({ key }) => isIn(slots, slotOf(store, key)));
      if (operations.length === 0) return { body: { kind: 'barrier' } };
      return { ...one, body: { ...one.body, operations } };
    }),
  }));
}

type Entries = ReadonlyMap<string, StoredEntry & { readonly key: BinaryString }>;

function entriesOf(replicas: readonly Replica[]): Entries {
  const all = new Map<string, StoredEntry & { readonly key: BinaryString }>();
  for (const { state, records } of replicas)
    for (const store of stores)
      for (const entry of readRange({ ...state, clockNanos: 0n }, records, store, {}, 0))
        all.set(`${store} ${entry.key}`, entry);
  return all;
}

async function checkpointed(
  repository: MemoryRepository,
  sources: readonly Replica[],
  slots: readonly Slots[],
  targetBytes: number,
): Promise<PartitionManifest[]> {
  const checkpointId = randomUUID();
  return Promise.all(
    sources.map(async ({ records }, partition) => {
      const place = { cluster: 'c', partition, slots: [slots[partition]!], generation: 1 };
      const cut = { targetBytes, maxBytes: 4 * targetBytes };
      const written = await writePartition({ ...place, reader: records, repository, checkpointId, signal, cut });
      return written.manifest;
    }),
  );
}

async function restored(repository: MemoryRepository, manifests: readonly PartitionManifest[], slots: Slots) {
  const target = new MemoryEngine();
  await restoreSlots({ repository, manifests, slots: [slots], target, signal });
  return new Replica(new SortedMap([...target.range({})].map(({ key, value }) => [key, value])));
}

const counts = fc.integer({ min: 1, max: 4 });

describe('a checkpoint into other slots', () => {
  test('has each entry in its partition, and states that are sound and go on', async () => {
    await fc.assert(
      fc.asyncProperty(
        steps(command()),
        counts,
        counts,
        fc.constantFrom(64, 1_000_000),
        async (some, from, to, cut) => {
          const repository = new MemoryRepository();
          const sources = split(from).map((slots) => {
            const replica = new Replica();
            for (const record of logOf(forSlots(some, slots))) replica.apply(record);
            return replica;
          });
          const manifests = await checkpointed(repository, sources, split(from), cut);
          const targets = await Promise.all(split(to).map((slots) => restored(repository, manifests, slots)));
          expect(entriesOf(targets)).toEqual(entriesOf(sources));
          for (const [at, slots] of split(to).entries()) {
            const { state, records } = targets[at]!;
            expect(verifyState(state, records)).toEqual([]);
            expect(loadState(records)).toEqual(state);
            for (const { revision } of entriesOf([targets[at]!]).values())
              expect(revision <= state.revision).toBe(true);
            for (const name of entriesOf([targets[at]!]).keys()) {
              const [store, ...key] = name.split(' ');
              expect(isIn(slots, slotOf(store!, key.join(' ')))).toBe(true);
            }
            const again = forSlots(some, slots);
            for (const record of logOf(again)) {
              targets[at]!.apply({ ...record, position: state.position + 1n });
              expect(verifyState(state, records)).toEqual([]);
            }
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test('does not let a quota grow, and keeps its settings', async () => {
    const repository = new MemoryRepository();
    const settings = { defaultTtlMs: 0, quotaEntries: 100, quotaBytes: undefined };
    const sources = split(3).map((slots) => {
      const puts = Array.from({ length: 30 }, (_, n) => ({ key: `k${n}`, value: new Uint8Array(n) }));
      const put = { kind: 'put', condition: { kind: 'none' }, contentType: '', ttl: { kind: 'never' } } as const;
      const operations = puts.map((one) => ({ ...put, ...one }));
      const configured = { settings, settingsVersion: 7, allowanceEntries: 33, allowanceBytes: undefined };
      const commands: Command[] = [
        { body: { kind: 'configure', store: 'a', ...configured } },
        { body: { kind: 'mutate', store: 'a', atomic: false, checks: [], operations } },
      ];
      const replica = new Replica();
      for (const record of logOf(forSlots([{ elapsedMs: 1, commands }], slots))) replica.apply(record);
      return replica;
    });
    const manifests = await checkpointed(repository, sources, split(3), 1_000_000);
    const targets = await Promise.all(split(2).map((slots) => restored(repository, manifests, slots)));
    const found = targets.map(({ state }) => state.stores.get('a')!);
    expect(found.map(({ settings: own }) => own)).toEqual([settings, settings]);
    expect(found.map(({ settingsVersion }) => settingsVersion)).toEqual([7, 7]);
    expect(found.reduce((sum, { entries }) => sum + entries, 0)).toBe(30);
    expect(found.reduce((sum, { allowanceEntries }) => sum + allowanceEntries!, 0)).toBe(30);
  });

  test('joins partitions whose stores were made in another order, also where entries expire at once', async () => {
    const repository = new MemoryRepository();
    const names = [['a', 'b', 'c'] as const, ['c', 'b', 'a'] as const];
    const sources = split(2).map((slots, at) => {
      const put = {
        kind: 'put',
        condition: { kind: 'none' },
        contentType: '',
        ttl: { kind: 'after', ms: 1000 },
      } as const;
      const commands = names[at]!.map((store): Command => {
        const keys = Array.from({ length: 20 }, (_, n) => `k${n}`);
        const operations = keys.map((key) => ({ ...put, key, value: new Uint8Array(1) }));
        return { body: { kind: 'mutate', store, atomic: false, checks: [], operations } };
      });
      const replica = new Replica();
      for (const record of logOf(forSlots([{ elapsedMs: 1, commands }], slots))) replica.apply(record);
      return replica;
    });
    const manifests = await checkpointed(repository, sources, split(2), 64);
    const joined = await restored(repository, manifests, { start: 0, end: limits.slotCount });
    expect(verifyState(joined.state, joined.records)).toEqual([]);
    expect(entriesOf([joined])).toEqual(entriesOf(sources));
    expect(entriesOf([joined]).size).toBe(60);
  });

  test('is refused where slots are missing', async () => {
    const repository = new MemoryRepository();
    const manifests = await checkpointed(repository, [new Replica(), new Replica()], split(2), 100);
    await expect(
      restoreSlots({
        repository,
        manifests: manifests.slice(1),
        slots: [{ start: 0, end: 4096 }],
        target: new MemoryEngine(),
        signal,
      }),
    ).rejects.toMatchObject({ code: 'invalid_parameter', message: expect.stringContaining('slot 0 ') as string });
    expect(manifestsFor(manifests, [{ start: 2048, end: 2049 }])).toEqual([manifests[1]]);
  });
});
