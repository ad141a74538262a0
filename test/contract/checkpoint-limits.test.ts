// Checkpoints of states at their limits: nothing in them, one entry, the largest one, nothing but what expired, everything
// removed since the one before, as many layers as there may be. Each comes back in both engines, and by slots.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WritePartitionOptions, WrittenPartition } from '@statestore/checkpoint';
import { MemoryRepository, restorePartition, restoreSlots } from '@statestore/checkpoint';
import type { Command, Operation, Ttl } from '@statestore/core';
import { binaryFromText, bytesFromBinary, keyspace, limits, loadState, prefixRange, readRange } from '@statestore/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LmdbEngine } from '../../services/node/src/engine/lmdb-engine.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { dump } from '../sim/sorted-map.ts';
import { checkpointOf, firstCommands, laterCommands, manifestOf, putsOf, signal, States } from './checkpoint-states.ts';

let dir = '';
let lmdb: LmdbEngine;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'statestore-limits-'));
  lmdb = await LmdbEngine.open(dir);
});
afterAll(async () => {
  await lmdb.close();
  await rm(dir, { recursive: true, force: true });
});

const sweep: Command = { body: { kind: 'sweep', limit: 1000, changesKeptBytes: 1e9, countStore: '' } };
const indexRange = prefixRange(keyspace.expiryPrefix);

function operations(store: string, some: readonly Operation[]): Command {
  return { body: { kind: 'mutate', store, atomic: false, checks: [], operations: some } };
}

function put(key: string, value: Uint8Array, ttl: Ttl, contentType = ''): Operation {
  return { kind: 'put', key, value, ttl, contentType, condition: { kind: 'none' } };
}

function deletes(store: string, keys: readonly string[]): Command {
  return operations(
    store,
    keys.map((key) => ({ kind: 'delete', key, condition: { kind: 'none' } })),
  );
}

const keysOf = (count: number): string[] => Array.from({ length: count }, (_, n) => `key-${n}`);

/** A chain of checkpoints of one history, each restored as soon as it is there. */
class Chain {
  readonly states: States;
  readonly repository = new MemoryRepository();
  #written: WrittenPartition | undefined;
  #number = 0;

  constructor(states: States) {
    this.states = states;
  }

  async checkpoint(options: Partial<WritePartitionOptions> = {}): Promise<WrittenPartition> {
    const id = `01970000-0000-7000-8000-${String(++this.#number).padStart(12, '0')}`;
    const chain = { mode: 'layer', previous: this.#written?.manifest } as const;
    this.#written = await checkpointOf(this.states, this.repository, id, { ...chain, compareFromBytes: 0, ...options });
    await this.#expectRestored(id);
    return this.#written;
  }

  async #expectRestored(id: string): Promise<void> {
    const { records, state } = this.states.replica;
    const manifest = await manifestOf(this.repository, id);
    const wanted = dump(records);
    for (const target of [new MemoryEngine(), lmdb]) {
      const { position, entries } = await restorePartition({ repository: this.repository, manifest, target, signal });
      expect([position, entries]).toEqual([state.position, state.entries]);
      expect(dump(target).filter((record) => !record.startsWith('00'))).toEqual(wanted);
    }
    const halves = [0, 2048].map((start) => ({ start, end: start + 2048 }));
    const found: string[] = [];
    for (const half of halves) {
      const target = new MemoryEngine();
      await restoreSlots({ repository: this.repository, manifests: [manifest], slots: [half], target, signal });
      found.push(...entriesOf(target));
    }
    expect(found.toSorted()).toEqual(entriesOf(records).toSorted());
  }
}

/** Also those that expired and are still there. */
function entriesOf(reader: Parameters<typeof readRange>[1]): string[] {
  const state = { ...loadState(reader), clockNanos: 0n };
  return [...state.stores.keys()].flatMap((store) =>
    [...readRange(state, reader, store, {}, 0)].map(({ key, revision, expiresAtMs, contentType, value }) =>
      [store, key, revision, expiresAtMs, contentType, Buffer.from(value).toString('latin1')].join(' '),
    ),
  );
}

describe('a checkpoint', () => {
  test('of an empty partition, and then of its first entry and of none again', async () => {
    const chain = new Chain(new States([]));
    const empty = await chain.checkpoint();
    expect([empty.manifest.layers[0]!.blocks, empty.records, empty.summary.position]).toEqual([[], 0, 0n]);
    chain.states.apply([[{ body: { kind: 'barrier' } }]]);
    expect((await chain.checkpoint()).plan.kind).toBe('full');
    chain.states.apply([[putsOf('only', ['one'], 'first', 1000)]]);
    expect((await chain.checkpoint()).summary.entries).toBe(1n);
    chain.states.apply([[putsOf('only', ['one'], 'second', 2000)]]);
    expect((await chain.checkpoint()).plan).toMatchObject({ kind: 'layer', keys: 1 });
    chain.states.apply([[deletes('only', ['one'])]]);
    const none = await chain.checkpoint();
    expect([none.plan.kind, none.summary.entries]).toEqual(['layer', 0n]);
  });

  test('of the largest entry there can be, changed, moved in the index and removed again', async () => {
    const store = 's'.repeat(limits.storeNameCharsMax);
    const key = '\xff'.repeat(limits.keyBytesMax);
    const type = `application/${'x'.repeat(limits.contentTypeBytesMax - 12)}`;
    const value = (seed: number): Uint8Array => new Uint8Array(limits.valueBytesMax).map((_, n) => (n * seed) >> 3);
    const largest = (seed: number, ms: number): Command =>
      operations(store, [
        put(key, value(seed), { kind: 'after', ms }, type),
        put('\x00', value(seed + 1), { kind: 'keep' }),
      ]);
    const chain = new Chain(new States([...firstCommands(), [largest(3, limits.ttlMsMax)]]));
    const usual = { cut: {} };
    await chain.checkpoint(usual);
    expect(Math.max(...[...chain.states.replica.records.keys(indexRange)].map(({ length }) => length))).toBe(1035);
    chain.states.apply([[largest(7, limits.ttlMsMax - 1000)]]);
    expect((await chain.checkpoint(usual)).plan).toMatchObject({ kind: 'layer', keys: 2 });
    chain.states.apply([[deletes(store, [key])]]);
    expect((await chain.checkpoint(usual)).plan.kind).toBe('layer');
    chain.states.apply([[putsOf(store, [key], 'small')]]);
    expect((await chain.checkpoint(usual)).plan.kind).toBe('layer');
  });

  test('of nothing but what expired, before and after it is swept', async () => {
    const chain = new Chain(new States([[putsOf('sessions', keysOf(60), 'short', 500)]]));
    await chain.checkpoint();
    chain.states.apply([[{ body: { kind: 'barrier' } }]], 10_000);
    const expired = await chain.checkpoint();
    expect([expired.summary.entries, expired.plan]).toMatchObject([60n, { kind: 'layer', keys: 0 }]);
    const half: Command = { body: { kind: 'sweep', limit: 25, changesKeptBytes: 1e9, countStore: '' } };
    chain.states.apply([[half]]);
    expect((await chain.checkpoint()).summary.entries).toBe(35n);
    chain.states.apply([[sweep]]);
    const swept = await chain.checkpoint();
    expect([swept.summary.entries, swept.plan]).toMatchObject([0n, { kind: 'layer', keys: 35 }]);
    expect([...chain.states.replica.records.keys(indexRange)]).toEqual([]);
  });

  test.each([
    [
      'deleted',
      () => [[deletes('users', keysOf(40)), deletes('users', ['stamped', 'once']), deletes('sessions', keysOf(12))]],
    ],
    [
      'cleared, not yet swept',
      () => [[{ body: { kind: 'clear', store: 'users' } }, { body: { kind: 'clear', store: 'sessions' } }]],
    ],
    [
      'cleared and swept in part',
      () => [
        [{ body: { kind: 'clear', store: 'sessions' } }, { body: { kind: 'clear', store: 'users' } }],
        [{ body: { kind: 'sweep', limit: 20, changesKeptBytes: 1e9, countStore: '' } }],
      ],
    ],
    [
      'cleared, swept and made again',
      () => [
        [{ body: { kind: 'clear', store: 'users' } }, { body: { kind: 'clear', store: 'sessions' } }],
        [sweep],
        [putsOf('users', keysOf(40), 'again', 5000)],
        [deletes('users', keysOf(40))],
      ],
    ],
  ] satisfies [string, () => Command[][]][])(
    'of a state of which everything was %s since the one before',
    async (_, all) => {
      const chain = new Chain(new States());
      await chain.checkpoint();
      chain.states.apply(all());
      const written = await chain.checkpoint();
      expect([written.summary.entries, written.plan.kind]).toEqual([0n, 'layer']);
      chain.states.apply([[sweep], ...laterCommands()]);
      await chain.checkpoint();
      // As it is done unasked: not worth a layer.
      chain.states.apply(all());
      expect((await chain.checkpoint({ mode: 'auto' })).plan.kind).toBe('full');
    },
  );

  test('has as many layers as there may be, and is written whole after that', async () => {
    const chain = new Chain(new States([[putsOf('users', keysOf(1500), 'first', 60_000)]]));
    const usual = { mode: 'auto', cut: {} } as const;
    const kinds: string[] = [];
    for (let round = 0; round <= limits.checkpointLayersMax; round++) {
      const { plan, manifest } = await chain.checkpoint(usual);
      kinds.push(`${manifest.layers.length} ${plan.kind === 'full' ? plan.why : plan.kind}`);
      const some = keysOf(1500).filter((_, n) => n % 300 === round);
      chain.states.apply([
        [putsOf('users', some, `round ${round}`, 50_000 + round), deletes('users', [`key-${round}`])],
      ]);
    }
    const layers = Array.from({ length: limits.checkpointLayersMax - 1 }, (_, n) => `${n + 2} layer`);
    expect(kinds).toEqual([
      '1 there is no checkpoint before',
      ...layers,
      `1 there are ${limits.checkpointLayersMax} layers`,
    ]);
    expect((await chain.checkpoint(usual)).plan.kind).toBe('layer');
  });

  test('of text of any kind in keys: bytes from 00 to ff, one the beginning of another', async () => {
    const odd = [
      '\x00',
      '\x00\x00',
      '\xff',
      '\xff\xff',
      'a',
      'a\x00',
      'a\xff',
      binaryFromText('ключ'),
      '\x10',
      '\x20\x30',
    ];
    const all = (text: string, ttlMs: number): Command => putsOf('odd', odd, text, ttlMs);
    const chain = new Chain(new States([[all('one', 5000)]]));
    await chain.checkpoint();
    chain.states.apply([[all('two', 4000)], [deletes('odd', odd.slice(3, 6))]]);
    expect((await chain.checkpoint()).plan.kind).toBe('layer');
    chain.states.apply([[operations('odd', [put('\x00', bytesFromBinary(''), { kind: 'never' })])]]);
    expect((await chain.checkpoint()).plan).toMatchObject({ kind: 'layer', keys: 1 });
  });
});
