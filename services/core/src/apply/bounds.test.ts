// What apply costs and where it stops: a sweep's work is in proportion to its limit, and ordinals end
// before they would be given twice.
import { expect, test } from 'vitest';
import { encodeBatch } from '../codec/batch.ts';
import type { Command } from '../command.ts';
import type { CommandResult } from '../result.ts';
import { applyBatch } from './apply.ts';
import type { PartitionState, StateRange, StateReader } from './state.ts';
import { newState } from './state.ts';

/** In memory, counting the keys that are passed over. */
class CountingReader implements StateReader {
  readonly values = new Map<string, Uint8Array>();
  sorted: string[] | undefined;
  steps = 0;

  get(key: string): Uint8Array | undefined {
    return this.values.get(key);
  }
  *keys({ start = '', end, limit = Infinity }: StateRange): Iterable<string> {
    this.sorted ??= [...this.values.keys()].toSorted();
    let left = limit;
    for (let at = this.sorted.findIndex((key) => key >= start); at >= 0 && at < this.sorted.length; at++) {
      const key = this.sorted[at]!;
      if ((end !== undefined && key >= end) || left-- <= 0) return;
      this.steps++;
      yield key;
    }
  }
  *range(range: StateRange) {
    for (const key of this.keys(range)) yield { key, value: this.values.get(key)! };
  }
}

function apply(state: PartitionState, reader: CountingReader, commands: readonly Command[]): readonly CommandResult[] {
  const position = state.position + 1n;
  const bytes = encodeBatch({ partition: 0, proposer: 'P'.repeat(16), number: 1, commands });
  const { writes, results } = applyBatch(state, reader, { position, timestampNanos: position, bytes });
  for (const [key, value] of writes) {
    if (value === undefined) reader.values.delete(key);
    else reader.values.set(key, value);
  }
  reader.sorted = undefined;
  return results;
}

function put(store: string): Command {
  const condition = { kind: 'none' } as const;
  const value = new Uint8Array(1);
  const operation = { kind: 'put', key: 'k', condition, value, contentType: '', ttl: { kind: 'default' } } as const;
  return { body: { kind: 'mutate', store, atomic: false, checks: [], operations: [operation] } };
}

const clear = (store: string): Command => ({ body: { kind: 'clear', store } });

test('a sweep of many small stores that were cleared looks at each key a few times', () => {
  const state = newState();
  const reader = new CountingReader();
  const stores = Array.from({ length: 1000 }, (_, i) => `s${i}`);
  apply(state, reader, stores.map(put));
  apply(state, reader, stores.map(clear));
  const sweep = { kind: 'sweep', limit: 1000, changesKeptBytes: 2 ** 40, countStore: '' } as const;
  const removed: number[] = [];
  for (let i = 0; i < 3; i++) {
    reader.steps = 0;
    removed.push(apply(state, reader, [{ body: sweep }])[0]!.removed);
    expect(reader.steps).toBeLessThan(5000);
  }
  // An entry and the mark of its keyspace for each store.
  expect(removed).toEqual([1000, 1000, 0]);
});

test('when all ordinals were given, a new keyspace is refused and those that are there go on', () => {
  const state = newState();
  const reader = new CountingReader();
  state.nextOrdinal = 0xffff_ffff;
  expect(apply(state, reader, [put('last')])).toMatchObject([{ code: 'done' }]);
  expect(apply(state, reader, [put('new'), put('last')])).toMatchObject([
    { code: 'too_many_stores' },
    { code: 'done' },
  ]);
  expect(state.stores.size).toBe(1);
});
