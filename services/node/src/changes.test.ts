// Watching change records: where they begin, where they end, and what a turn reads (I12). The state is
// made by apply from batches, as a partition's is.
import type { Command } from '@statestore/core';
import { applyBatch, encodeBatch, loadState, StateStoreError } from '@statestore/core';
import type { ChangeBatch } from '@statestore/link';
import { beforeEach, describe, expect, test } from 'vitest';
import type { ChangeSource } from './changes.ts';
import { watchChanges } from './changes.ts';
import type { EngineRange } from './engine/engine.ts';
import { MemoryEngine } from './engine/memory-engine.ts';

let engine: MemoryEngine;
let source: ChangeSource;
let read: number[];

beforeEach(() => {
  engine = new MemoryEngine();
  read = [];
  const range = engine.range.bind(engine);
  engine.range = (wanted: EngineRange) => {
    const steps = range(wanted);
    let bytes = 0;
    return (function* () {
      for (const entry of steps) {
        bytes += entry.value.length;
        read[read.length - 1] = bytes;
        yield entry;
      }
    })();
  };
  const state = loadState(engine);
  source = { partition: 0, state, reader: engine, appliedAfter: () => Promise.reject(new Error('it waits')) };
});

async function apply(...commands: Command[]): Promise<bigint> {
  const { state } = source;
  const position = state.position + 1n;
  const batch = { partition: 0, proposer: 'P'.repeat(16), number: 1, commands };
  const { writes } = applyBatch(state, engine, {
    position,
    timestampNanos: position * 1_000_000_000n,
    bytes: encodeBatch(batch),
  });
  await engine.commit(writes, position);
  return position;
}

function put(store: string, ...keys: string[]): Command {
  const operations = keys.map(
    (key) =>
      ({
        kind: 'put',
        key,
        condition: { kind: 'none' },
        value: new Uint8Array(1),
        contentType: '',
        ttl: { kind: 'default' },
      }) as const,
  );
  return { body: { kind: 'mutate', store, atomic: false, checks: [], operations } };
}

const sweep = (changesKeptBytes: number): Command => ({
  body: { kind: 'sweep', limit: 1000, changesKeptBytes, countStore: '' },
});

/** Everything up to where the watch would wait, or the code of its refusal. */
async function watch(from?: bigint, prefix = ''): Promise<ChangeBatch[] | string> {
  const batches: ChangeBatch[] = [];
  const { signal } = new AbortController();
  read.push(0);
  try {
    for await (const batch of watchChanges(source, {
      store: 's',
      prefix,
      signal,
      ...(from === undefined ? {} : { from }),
    }))
      batches.push(batch);
  } catch (error) {
    if (error instanceof StateStoreError) return error.code;
    if (!(error instanceof Error) || error.message !== 'it waits') throw error;
  }
  return batches;
}

async function positions(from?: bigint, prefix?: string): Promise<unknown> {
  const batches = await watch(from, prefix);
  if (typeof batches === 'string') return batches;
  return batches.map(({ position, changes }) => [position, changes.map(({ key }) => key).join()]);
}

describe('a watch', () => {
  test('begins at every position from the first one kept to the next one to come, and nowhere else', async () => {
    for (const key of ['a', 'b', 'c', 'd']) await apply(put('s', key));
    expect(await positions(0n)).toBe('invalid_cursor');
    expect(await positions(1n)).toEqual([
      [1n, 'a'],
      [2n, 'b'],
      [3n, 'c'],
      [4n, 'd'],
    ]);
    expect(await positions(4n)).toEqual([[4n, 'd']]);
    expect(await positions(5n)).toEqual([]);
    expect(await positions()).toEqual([]);
    expect(await positions(6n)).toBe('invalid_cursor');
  });

  test('after a sweep the oldest cursor that can be resumed is exact, also after a restart', async () => {
    for (const key of ['a', 'b', 'c', 'd']) await apply(put('s', key));
    // A batch without changes has no record: a cursor there is as good as one at the next record.
    await apply({ body: { kind: 'barrier' } });
    await apply(put('s', 'e'));
    const one = source.state.changesBytes / 5;
    await apply(sweep(Math.ceil(one * 3)));
    for (const restarted of [false, true]) {
      if (restarted) source = { ...source, state: loadState(engine) };
      expect(source.state.changesFrom).toBe(3n);
      expect(await positions(2n)).toBe('cursor_expired');
      expect(await positions(3n)).toEqual([
        [3n, 'c'],
        [4n, 'd'],
        [6n, 'e'],
        [7n, ''],
      ]);
    }
    await apply(sweep(0));
    expect(await positions(6n)).toBe('cursor_expired');
    expect(await positions(7n)).toEqual([[8n, '']]);
    expect(await positions(9n)).toEqual([]);
  });

  test('moves on over batches that changed nothing of its store or prefix', async () => {
    await apply(put('s', 'x1'));
    await apply(put('other', 'x2'));
    await apply(put('s', 'y1'));
    await apply({ body: { kind: 'barrier' } });
    expect(await positions(1n)).toEqual([
      [1n, 'x1'],
      [3n, 'y1'],
      [4n, ''],
    ]);
    expect(await positions(2n, 'x')).toEqual([[4n, '']]);
    expect(await positions(1n, 'y')).toEqual([
      [3n, 'y1'],
      [4n, ''],
    ]);
  });

  test('reads a bounded part of a long history in a turn, and misses nothing', async () => {
    const keys = Array.from({ length: 300 }, (_, i) => `${'k'.repeat(900)}${i}`);
    for (let i = 0; i < 8; i++) await apply(put('s', ...keys));
    const { signal } = new AbortController();
    read.push(0);
    const steps = watchChanges(source, { store: 's', prefix: '', signal, from: 1n });
    await steps.next();
    expect(read.at(-1)).toBeLessThan(1024 * 1024);
    expect(source.state.changesBytes).toBeGreaterThan(2 * 1024 * 1024);
    await steps.return(undefined);
    const all = (await watch(1n)) as ChangeBatch[];
    expect(all.map(({ position, changes }) => [position, changes.length])).toEqual(
      Array.from({ length: 8 }, (_, i) => [BigInt(i + 1), 300]),
    );
  });

  test('reads more records than a turn takes', async () => {
    for (let i = 0; i < 600; i++) await apply(put('s', `k${i}`));
    expect(await positions(1n)).toHaveLength(600);
    expect(await positions(345n)).toHaveLength(256);
  });
});
