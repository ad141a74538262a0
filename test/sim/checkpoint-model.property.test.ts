// Each checkpoint of a chain, held against the naive model as it was at that position, long after later ones were built
// upon it: entries with all that belongs to them, what expires when, what watchers may still ask for, what is remembered
// of requests; in both engines, and by slots. And a history that goes on through checkpoints from engine to engine.
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { MemoryRepository, restorePartition, restoreSlots, writePartition } from '@statestore/checkpoint';
import type { BatchRecord, Change, StateReader } from '@statestore/core';
import {
  applyBatch,
  bytesFromBinary,
  changePrefix,
  decodeBatch,
  decodeChanges,
  keyspace,
  limits,
  loadState,
  parseChangeKey,
  prefixRange,
  readRange,
  slotOf,
  verifyState,
} from '@statestore/core';
import type { Engine } from '@statestore/node';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LmdbEngine } from '../../services/node/src/engine/lmdb-engine.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { watchChanges } from '../../services/node/src/changes.ts';
import { command, steps, stores } from './arbitrary-commands.ts';
import type { ModelData } from './model.ts';
import { Model } from './model.ts';
import { logOf, Replica } from './replica.ts';
import { dump } from './sorted-map.ts';

let dir = '';
let lmdb: LmdbEngine;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'statestore-checkpoint-model-'));
  lmdb = await LmdbEngine.open(join(dir, 'restored'));
});
afterAll(async () => {
  await lmdb.close();
  await rm(dir, { recursive: true, force: true });
});

const { signal } = new AbortController();
const allSlots = { start: 0, end: limits.slotCount };
const place = { cluster: 'c', partition: 3, slots: [allSlots], generation: 1, signal };
type Mode = 'full' | 'layer';

interface Cut {
  readonly targetBytes: number;
  readonly compareFromBytes: number;
}

async function checkpoint(
  repository: MemoryRepository,
  reader: StateReader,
  previous: PartitionManifest | undefined,
  { mode, targetBytes, compareFromBytes }: Cut & { readonly mode: Mode },
): Promise<PartitionManifest> {
  const cut = { targetBytes, maxBytes: 4 * targetBytes };
  const checkpointId = randomUUID();
  const options = { ...place, reader, repository, checkpointId, previous, mode, cut, compareFromBytes };
  return (await writePartition(options)).manifest;
}

/** The model at one position. */
interface Moment {
  readonly data: ModelData;
  readonly changes: ReadonlyMap<bigint, readonly Change[]>;
}

class History {
  readonly replica = new Replica();
  readonly #log: readonly BatchRecord[];
  readonly #model = new Model();
  readonly #changes = new Map<bigint, readonly Change[]>();
  #at = 0;

  constructor(log: readonly BatchRecord[]) {
    this.#log = log;
  }

  go(batches: number): void {
    for (const record of this.#log.slice(this.#at, this.#at + batches)) {
      this.replica.apply(record);
      this.#model.applyBatch(record.position, record.timestampNanos, decodeBatch(record.bytes).commands);
      this.#changes.set(record.position, this.#model.changes);
    }
    this.#at += batches;
  }

  get moment(): Moment {
    return { data: structuredClone(this.#model.data), changes: new Map(this.#changes) };
  }
}

function expectMoment(reader: StateReader, { data, changes }: Moment): void {
  const state = loadState(reader);
  expect(verifyState(state, reader)).toEqual([]);
  expect([...state.stores.keys()].toSorted()).toEqual([...data.stores.keys()].toSorted());
  const expiring: string[] = [];
  const index = ({ ordinal, ...entry }: { ordinal: number; expiresAtMs: number; key: string }): unknown =>
    expiring.push(keyspace.expiryKey(entry.expiresAtMs, ordinal, entry.key));
  for (const [name, { ordinal, entries, settings, expired }] of data.stores) {
    expect(state.stores.get(name)).toMatchObject({ ordinal, entries: entries.size, settings, expired });
    const found = [...reader.range(prefixRange(keyspace.entryKeyPrefix(ordinal)))];
    const decoded = found.map(({ key, value }) => {
      const entry = keyspace.decodeEntry(value);
      return [key.slice(keyspace.entryKeyPrefixLength), { ...entry, value: Uint8Array.from(entry.value) }] as const;
    });
    const wanted = [...entries].map(
      ([key, entry]) => [key, { ...entry, value: bytesFromBinary(entry.value) }] as const,
    );
    expect(new Map(decoded)).toEqual(new Map(ordinal === 0 ? [] : wanted));
    for (const [key, { expiresAtMs }] of entries) if (expiresAtMs !== 0) index({ ordinal, expiresAtMs, key });
  }
  for (const { ordinal, entries } of data.retired)
    for (const { key, expiresAtMs, indexed } of entries) if (indexed) index({ ordinal, expiresAtMs, key });
  expect([...reader.keys(prefixRange(keyspace.expiryPrefix))]).toEqual(expiring.toSorted(byBytes));
  const kept = [...reader.range(prefixRange(changePrefix))].map(
    ({ key, value }) => [parseChangeKey(key), value] as const,
  );
  expect(kept.map(([position]) => position)).toEqual(data.changeRecords.map(({ position }) => position));
  for (const [position, value] of kept) expect(decodeChanges(value).changes).toEqual(changes.get(position));
  expect([...state.sessions.keys()].toSorted()).toEqual([...data.sessions.keys()].toSorted());
  const remembered = [...reader.keys({ start: '\x41', end: '\x42' })].map((key) => key.slice(1));
  expect(remembered).toEqual(data.idempotency.map(({ id }) => id).toSorted());
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : 1;
}

/** Entries by store and key, of all slots or of some. */
function entriesOf(readers: readonly StateReader[], data: ModelData): Map<string, unknown> {
  const all = new Map<string, unknown>();
  for (const reader of readers) {
    // Also those that expired and were not swept.
    const state = { ...loadState(reader), clockNanos: 0n };
    for (const store of data.stores.keys())
      for (const { key, ...entry } of readRange(state, reader, store, {}, 0))
        all.set(`${store} ${key}`, { ...entry, value: Buffer.from(entry.value).toString('latin1') });
  }
  return all;
}

async function expectRestored(
  repository: MemoryRepository,
  manifest: PartitionManifest,
  moment: Moment,
): Promise<void> {
  for (const target of [new MemoryEngine(), lmdb]) {
    await restorePartition({ repository, manifest, target, signal });
    expectMoment(target, moment);
  }
  const bySlots = [0, 1000].map((start) => ({
    slots: { start, end: start === 0 ? 1000 : 4096 },
    target: new MemoryEngine(),
  }));
  for (const { slots, target } of bySlots)
    await restoreSlots({ repository, manifests: [manifest], slots: [slots], target, signal });
  const wanted = [...moment.data.stores].flatMap(([store, { entries }]) =>
    [...entries].map(([key, entry]) => [`${store} ${key}`, entry] as const),
  );
  expect(
    entriesOf(
      bySlots.map(({ target }) => target),
      moment.data,
    ),
  ).toEqual(new Map(wanted));
  for (const { slots, target } of bySlots)
    for (const name of entriesOf([target], moment.data).keys()) {
      const [store, ...key] = name.split(' ');
      const slot = slotOf(store!, key.join(' '));
      expect(slot >= slots.start && slot < slots.end).toBe(true);
    }
}

/** Change records are dropped seldom: layers need them. */
const commands = command(
  fc.oneof({ weight: 8, arbitrary: fc.constant(1e9) }, { weight: 1, arbitrary: fc.constantFrom(150, 400, 800) }),
);
const cuts: fc.Arbitrary<Cut> = fc.record({
  targetBytes: fc.constantFrom(30, 300, 1_000_000),
  compareFromBytes: fc.constantFrom(0, 0, 200, limits.checkpointCompareFromBytes),
});
const points = (min: number, max: number) =>
  fc.array(
    fc.record({
      batches: fc.integer({ min: 0, max: 6 }),
      mode: fc.constantFrom<Mode>('full', 'layer', 'layer', 'layer', 'layer'),
    }),
    { minLength: min, maxLength: max, size: 'max' },
  );

describe('each checkpoint of a chain', () => {
  test('is the model at its position: entries, expiry, change records, what is remembered; also by slots', async () => {
    let layersMax = 0;
    let layered = 0;
    await fc.assert(
      fc.asyncProperty(steps(commands), points(1, 10), cuts, async (some, points, cut) => {
        const repository = new MemoryRepository();
        const history = new History(logOf(some));
        const written: { readonly manifest: PartitionManifest; readonly moment: Moment }[] = [];
        for (const { batches, mode } of points) {
          history.go(batches);
          const previous = written.at(-1)?.manifest;
          const manifest = await checkpoint(repository, history.replica.records, previous, { ...cut, mode });
          layersMax = Math.max(layersMax, manifest.layers.length);
          if (manifest.layers.length > 1) layered++;
          written.push({ manifest, moment: history.moment });
        }
        // Every other one, and always the last: each restore into LMDB takes as long as all the rest.
        for (const { manifest, moment } of written.filter((_, at) => (written.length - 1 - at) % 2 === 0))
          await expectRestored(repository, manifest, moment);
      }),
      { numRuns: 50 },
    );
    expect(layersMax).toBeGreaterThan(4);
    expect(layered).toBeGreaterThan(50);
  });
});

/** As a node works: what was applied is in the engine. */
async function run(engine: Engine, log: readonly BatchRecord[]): Promise<void> {
  const state = loadState(engine);
  for (const record of log) await engine.commit(applyBatch(state, engine, record).writes, record.position);
}

/** What a watch of all stores sees that resumes there, up to where the engine is. */
async function watched(engine: Engine, from: bigint): Promise<Change[]> {
  const state = loadState(engine);
  const seen: Change[] = [];
  for (const store of stores) {
    const abort = new AbortController();
    const { signal } = abort;
    const appliedAfter = async (): Promise<void> => abort.abort();
    const source = { partition: 3, state, reader: engine, appliedAfter };
    for await (const { changes } of watchChanges(source, { store, prefix: '', from, signal })) seen.push(...changes);
  }
  return seen.toSorted((a, b) => Number(a.revision - b.revision));
}

describe('a state', () => {
  test('goes from lmdb to memory and back through checkpoints, again and again: no entry, no watch is lost', async () => {
    let number = 0;
    let resumed = 0;
    await fc.assert(
      fc.asyncProperty(steps(commands), points(2, 5), cuts, async (some, points, cut) => {
        const log = logOf(some);
        const repository = new MemoryRepository();
        const history = new History(log);
        const engines: Engine[] = [];
        const open = async (): Promise<Engine> => {
          const isDurable = engines.length % 2 === 0;
          engines.push(isDurable ? await LmdbEngine.open(join(dir, `switch-${number++}`)) : new MemoryEngine());
          return engines.at(-1)!;
        };
        try {
          let engine = await open();
          let previous: PartitionManifest | undefined;
          let at = 0;
          let seenTo = 0n;
          for (const { batches, mode } of points) {
            await run(engine, log.slice(at, at + batches));
            history.go(batches);
            at += batches;
            previous = await checkpoint(repository, engine, previous, { ...cut, mode });
            engine = await open();
            await restorePartition({ repository, manifest: previous, target: engine, signal });
            expect(dump(engine).filter(isNotEngines)).toEqual(dump(history.replica.records));
            // A watch that was open goes on behind what it saw of the engine before.
            const { position, changesFrom } = history.replica.state;
            if (seenTo + 1n < changesFrom)
              await expect(watched(engine, seenTo + 1n)).rejects.toMatchObject({ code: 'cursor_expired' });
            else if (position > 0n) {
              const wanted = [...history.moment.changes].filter(([of]) => of > seenTo);
              expect(await watched(engine, seenTo + 1n)).toEqual(wanted.flatMap(([, changes]) => changes));
              if (wanted.length > 0) resumed++;
            }
            seenTo = position;
          }
          await run(engine, log.slice(at));
          history.go(log.length);
          expectMoment(engine, history.moment);
          expect(dump(engine).filter(isNotEngines)).toEqual(dump(history.replica.records));
        } finally {
          for (const engine of engines) await engine.close();
        }
      }),
      { numRuns: 12 },
    );
    expect(resumed).toBeGreaterThan(10);
  });
});

function isNotEngines(record: string): boolean {
  return !record.startsWith('00');
}
