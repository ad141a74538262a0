import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  applyBatch,
  type BatchRecord,
  bytesFromBinary,
  type Command,
  defaultTtl,
  encodeBatch,
  hashToHex,
  incarnationKey,
  loadState,
  noCondition,
} from '@statestore/core';
import type { StatePart, StateRecord } from '@statestore/link';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Engine, EngineEntry } from '../engine/engine.ts';
import { MemoryEngine } from '../engine/memory-engine.ts';
import { openEngine } from '../engine/open-engine.ts';
import { systemTime } from '../time.ts';
import { type CopyOptions, type CopyProgress, copyFromPeer } from './copy-from-peer.ts';
import { CopyDesk } from './serve-copy.ts';

const incarnation = '00000000-0000-4000-8000-000000000001';
const never = new AbortController().signal;

/** A state with every kind of record, as batches made it. */
async function grown(engine: Engine): Promise<void> {
  const state = loadState(engine);
  const run = async (...commands: readonly Command[]): Promise<void> => {
    const position = state.position + 1n;
    const bytes = encodeBatch({ partition: 0, proposer: 'p'.repeat(16), number: Number(position), commands });
    const record: BatchRecord = { position, timestampNanos: position * 1_000_000_000n, bytes };
    await engine.commit(applyBatch(state, engine, record).writes, position);
  };
  const put = (store: string, key: string, ttlMs = 0): Command => {
    const ttl = ttlMs === 0 ? defaultTtl : ({ kind: 'after', ms: ttlMs } as const);
    const value = new Uint8Array(50).fill(key.length);
    const operation = { kind: 'put', key, condition: noCondition, value, contentType: '', ttl } as const;
    return { body: { kind: 'mutate', store, atomic: false, checks: [], operations: [operation] } };
  };
  await run(put('old', 'a'), put('old', 'b'), put('live', 'x', 1000));
  await run({ body: { kind: 'clear', store: 'old' } }, put('old', 'c'));
  await run({ ...put('live', 'y'), stamp: { session: 's'.repeat(16), counter: 1, firstUnanswered: 1, opens: true } });
  await run({ ...put('live', 'z'), idempotency: { id: 'i'.repeat(16), fingerprint: 'f'.repeat(16) } });
  for (let i = 0; i < 20; i++) await run(...Array.from({ length: 100 }, (_, j) => put('many', `key ${i * 100 + j}`)));
  await engine.put(incarnationKey, bytesFromBinary(incarnation));
}

describe('a copy that is taken', () => {
  let dir = '';
  const engines: Engine[] = [];
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'statestore-copy-'));
  });
  afterEach(async () => {
    for (const engine of engines.splice(0)) await engine.close();
    await rm(dir, { recursive: true, force: true });
  });

  async function open(kind: Engine['kind'], name: string): Promise<Engine> {
    const engine = await openEngine(kind, join(dir, name));
    engines.push(engine);
    return engine;
  }
  function partsOf(engine: Engine, signal = never): AsyncGenerator<StatePart, void> {
    const source = { number: 0, snapshot: async () => engine.snapshot(), serving: () => undefined };
    return new CopyDesk().serve(source, signal);
  }
  async function partsOfGrown(): Promise<StatePart[]> {
    const source = new MemoryEngine();
    await grown(source);
    const parts: StatePart[] = [];
    for await (const part of partsOf(source)) parts.push(part);
    return parts;
  }
  async function* given(parts: readonly StatePart[]): AsyncGenerator<StatePart, void> {
    for (const part of parts) {
      await new Promise((resolve) => setImmediate(resolve));
      yield part;
    }
  }
  const content = (engine: Engine): EngineEntry[] => [...engine.range({})];
  function take(engine: Engine, source: AsyncIterable<StatePart>, more: Partial<CopyOptions> = {}) {
    return copyFromPeer({ source, engine, signal: never, ...more });
  }

  test.each([
    ['lmdb', 'lmdb'],
    ['lmdb', 'memory'],
    ['memory', 'lmdb'],
    ['memory', 'memory'],
  ] as const)('from %s to %s is the very same state', async (from, to) => {
    const source = await open(from, 'source');
    await grown(source);
    const target = await open(to, 'target');
    const progress: CopyProgress[] = [];
    const copied = await take(target, partsOf(source), {
      expect: { positionMin: source.position, incarnation },
      onProgress: (now) => progress.push(now),
    });
    const state = loadState(source);
    const { length } = content(source);
    expect(copied).toMatchObject({
      position: source.position,
      records: length,
      chain: hashToHex(state.chain),
      stateHash: hashToHex(state.stateHash),
    });
    expect(progress.at(-1)).toEqual({ records: length, bytes: copied.bytes });
    expect(progress.length).toBeGreaterThan(4);
    expect(content(target)).toEqual(content(source));
    expect(target.position).toBe(source.position);
    if (to === 'memory') return;
    await target.close();
    const again = await open('lmdb', 'target');
    expect([again.position, content(again)]).toEqual([source.position, content(source)]);
  });

  test('of a state before its first batch is an empty engine', async () => {
    const target = await open('lmdb', 'target');
    expect(await take(target, partsOf(new MemoryEngine()))).toMatchObject({ position: 0n, records: 0, bytes: 0 });
    expect([target.position, content(target)]).toEqual([0n, []]);
  });

  const withRecords = (part: StatePart, records: readonly StateRecord[]): StatePart => ({ ...part, records });
  const head = '\x01';
  /** The last record of that kind. */
  const flipped = (parts: StatePart[], kind: string): StatePart[] => {
    const at = parts.findLastIndex(({ records }) => records.some(({ key }) => key.startsWith(kind)));
    const which = parts[at]!.records.findLastIndex(({ key }) => key.startsWith(kind));
    const records = parts[at]!.records.map(({ key, value }, i) =>
      i === which ? { key, value: value.map((byte, j) => (j === value.length - 1 ? byte ^ 1 : byte)) } : { key, value },
    );
    return parts.with(at, withRecords(parts[at]!, records));
  };
  test.each<[string, (parts: StatePart[]) => readonly StatePart[], string]>([
    ['that ends without its last part', (parts) => parts.slice(0, -1), 'without its last part'],
    ['that is nothing', () => [], 'without its last part'],
    ['with a part missing', (parts) => parts.toSpliced(1, 1), 'records and says'],
    ['with a part twice', (parts) => parts.toSpliced(1, 0, parts[1]!), 'do not ascend'],
    ['with parts in another order', (parts) => parts.toSpliced(1, 2, parts[2]!, parts[1]!), 'do not ascend'],
    ['with a key twice', ([a, ...b]) => [withRecords(a!, [a!.records[0]!, ...a!.records]), ...b], 'do not ascend'],
    ['with something after the end', (parts) => [...parts, parts.at(-1)!], 'follows its last one'],
    ['of two positions', (parts) => parts.with(2, { ...parts[2]!, position: 9n }), 'a part of it is of position 9'],
    ['with another total', (parts) => [...parts.slice(0, -1), { ...parts.at(-1)!, total: 12 }], 'records and says 12'],
    ['of another position than its head', (parts) => parts.map((part) => ({ ...part, position: 5n })), 'its head 24'],
    ['without a head', ([a, ...b]) => [withRecords(a!, a!.records.slice(1)), ...b].map(oneLess), 'but no head'],
    [
      'without an entry',
      (parts) => parts.with(2, withRecords(parts[2]!, parts[2]!.records.slice(1))).map(oneLess),
      'many: entries',
    ],
    ['with a value changed', (parts) => flipped(parts, '\x10'), 'hash'],
    ['with a head changed', (parts) => flipped(parts, head), 'changes'],
  ])('%s is refused, named, and leaves nothing', async (_name, damage, reason) => {
    const parts = await partsOfGrown();
    expect(parts.length).toBeGreaterThan(4);
    expect(parts[0]!.records[0]!.key).toBe(head);
    for (const kind of ['memory', 'lmdb'] as const) {
      const target = await open(kind, 'target');
      await expect(take(target, given(damage([...parts])))).rejects.toMatchObject({
        code: 'data_corrupt',
        message: expect.stringContaining(reason) as string,
      });
      expect([target.position, content(target)]).toEqual([0n, []]);
      // And the next attempt may succeed.
      expect((await take(target, given(parts))).position).toBe(24n);
    }
  });

  /** As if the source had counted so. */
  function oneLess(part: StatePart): StatePart {
    return part.total === undefined ? part : { ...part, total: part.total - 1 };
  }

  test('is refused where it is not what was expected', async () => {
    const parts = await partsOfGrown();
    const target = await open('lmdb', 'target');
    await expect(take(target, given(parts), { expect: { positionMin: 25n } })).rejects.toMatchObject({
      code: 'unavailable',
      retryable: true,
    });
    await expect(take(target, given(parts), { expect: { incarnation: 'another' } })).rejects.toMatchObject({
      code: 'data_corrupt',
      message: expect.stringContaining(incarnation) as string,
    });
    expect([target.position, content(target)]).toEqual([0n, []]);
  });

  test('that the source breaks off leaves the engine as it was, also one that held something', async () => {
    const parts = await partsOfGrown();
    async function* broken(): AsyncGenerator<StatePart, void> {
      yield* parts.slice(0, 3);
      throw new Error('the source broke');
    }
    for (const kind of ['memory', 'lmdb'] as const) {
      const target = await open(kind, 'target');
      await target.commit(new Map([['old', new Uint8Array(1)]]), 2n);
      await expect(take(target, broken())).rejects.toThrow('the source broke');
      expect([target.position, content(target).map(({ key }) => key)]).toEqual([2n, ['old']]);
    }
  });

  test('ends at once when its signal aborts, even where the source is deaf, and lets go of the source', async () => {
    const parts = await partsOfGrown();
    for (const after of [0, 1, 3]) {
      const abort = new AbortController();
      let left = 0;
      const source: AsyncIterable<StatePart> = {
        [Symbol.asyncIterator]() {
          let next = 0;
          return {
            next: () =>
              next < after ? Promise.resolve({ done: false, value: parts[next++]! }) : new Promise(() => {}),
            return: () => {
              left++;
              return new Promise(() => {});
            },
          };
        },
      };
      const target = await open('lmdb', `target ${after}`);
      const taking = take(target, source, { signal: abort.signal });
      setTimeout(() => abort.abort(new Error('no longer wanted')), 50);
      await expect(taking).rejects.toThrow('no longer wanted');
      expect([left, target.position, content(target)]).toEqual([1, 0n, []]);
    }
  });

  test('may be given up while it proves itself', async () => {
    const parts = await partsOfGrown();
    const abort = new AbortController();
    const target = await open('lmdb', 'target');
    let turns = 0;
    let now = 0;
    const time = {
      ...systemTime,
      elapsedMs: () => now++,
      defer: (run: () => void) => {
        if (++turns === 5) abort.abort(new Error('no longer wanted'));
        setImmediate(run);
      },
    };
    await expect(take(target, given(parts), { signal: abort.signal, time })).rejects.toThrow('no longer wanted');
    expect([turns, target.position, content(target)]).toEqual([5, 0n, []]);
  });
});
