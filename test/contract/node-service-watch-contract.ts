// The part of the contract of NodeService that is about watching; node-service-contract.ts runs it.
import { describe, expect, test } from 'vitest';
import { type BinaryString, type Command, type CommandResult, noCondition } from '@statestore/core';
import type { ChangeBatch, NodeService } from '@statestore/link';
import { codeOf, mutate, put, store, strong, text } from './node-service-fixture.ts';

/** `current`: the service of the test that runs. Partition 0 is empty at first. */
export function watchContract(current: () => NodeService): void {
  const propose = (command: Command): Promise<CommandResult> => current().propose(0, command);
  const putAll = async (keys: readonly BinaryString[]): Promise<void> => {
    await propose(mutate(keys.map((key) => put(key, `value of ${key}`))));
  };
  const applied = async (): Promise<bigint> =>
    (await current().status()).partitions.find(({ partition }) => partition === 0)!.appliedPosition;

  async function take(
    count: number,
    more: { from?: bigint; prefix?: string } = {},
  ): Promise<ChangeBatch['changes'][number][]> {
    const abort = new AbortController();
    const changes: ChangeBatch['changes'][number][] = [];
    let before = 0n;
    for await (const batch of current().watch(0, { store, prefix: '', signal: abort.signal, from: 1n, ...more })) {
      expect(batch.position).toBeGreaterThan(before);
      before = batch.position;
      changes.push(...batch.changes);
      if (changes.length >= count) abort.abort();
    }
    return changes;
  }

  describe('watch', () => {
    test('from a position on: every change of the store, in order, with its revision', async () => {
      const first = await propose(mutate([put('a', '1'), put('b', '1')]));
      await propose(mutate([put('a', '1')], { store: 'other' }));
      const second = await propose(mutate([{ kind: 'delete', key: 'a', condition: noCondition }]));
      await propose({ body: { kind: 'clear', store } });
      const changes = await take(4);
      expect(changes.map(({ kind, key }) => [kind, key])).toEqual([
        ['put', 'a'],
        ['put', 'b'],
        ['delete', 'a'],
        ['clear', ''],
      ]);
      expect(changes.every((change) => change.store === store)).toBe(true);
      expect(changes.slice(0, 3).map(({ revision }) => revision)).toEqual(
        [...first.operations, ...second.operations].map(({ revision }) => revision),
      );
    });

    test('only keys with the prefix, only from the position', async () => {
      await propose(mutate([put('x1', '1'), put('y1', '1')]));
      const from = (await applied()) + 1n;
      await propose(mutate([put('y2', '1'), put('x2', '1')]));
      expect((await take(2, { prefix: 'x' })).map(({ key }) => key)).toEqual(['x1', 'x2']);
      expect((await take(2, { from })).map(({ key }) => key)).toEqual(['y2', 'x2']);
    });

    test('what comes later arrives, in order, without gaps', async () => {
      const watched = take(60, { from: (await applied()) + 1n });
      for (let i = 0; i < 60; i++) await propose(mutate([put(`k${i}`, '1')]));
      expect((await watched).map(({ key }) => key)).toEqual(Array.from({ length: 60 }, (_, i) => `k${i}`));
    });

    test('without a position: from now on', async () => {
      await propose(mutate([put('before', '1')]));
      const abort = new AbortController();
      const iterator = current().watch(0, { store, prefix: '', signal: abort.signal })[Symbol.asyncIterator]();
      const first = iterator.next();
      const progress = { seen: false };
      const watching = first.then(() => (progress.seen = true));
      // When the watch begins cannot be told from outside: put until it has.
      for (let i = 0; !progress.seen && i < 1000; i++) await propose(mutate([put('after', '1')]));
      await watching;
      const { value } = (await first) as IteratorYieldResult<ChangeBatch>;
      expect(value.changes.map(({ key }) => key)).not.toContain('before');
      abort.abort();
      while ((await iterator.next()).done !== true);
    });

    test('a slow watcher misses nothing and holds up nobody', async () => {
      const value = 'x'.repeat(10);
      const abort = new AbortController();
      const seen: string[] = [];
      const from = (await applied()) + 1n;
      const iterator = current().watch(0, { store, prefix: '', signal: abort.signal, from })[Symbol.asyncIterator]();
      const first = iterator.next();
      const long = 'k'.repeat(900);
      for (let i = 0; i < 20; i++)
        await propose(mutate(Array.from({ length: 100 }, (_, j) => put(`${long}${i * 100 + j}`, value))));
      expect(text((await current().get(0, store, `${long}0`, strong)).entry)).toBe(value);
      for (let step: Promise<IteratorResult<ChangeBatch>> = first; ; step = iterator.next()) {
        const { value: batch } = (await step) as IteratorYieldResult<ChangeBatch>;
        seen.push(...batch.changes.map(({ key }) => key.slice(900)));
        if (seen.length >= 2000) break;
      }
      expect(seen).toEqual(Array.from({ length: 2000 }, (_, i) => String(i)));
      abort.abort();
      while ((await iterator.next()).done !== true);
    });

    test('ends when it is aborted, before, while and after it waits', async () => {
      const before = AbortSignal.abort();
      for await (const _ of current().watch(0, { store, prefix: '', signal: before })) expect.unreachable();
      const abort = new AbortController();
      const iterator = current().watch(0, { store, prefix: '', signal: abort.signal })[Symbol.asyncIterator]();
      const waiting = iterator.next();
      setTimeout(() => abort.abort(), 20);
      expect((await waiting).done).toBe(true);
      expect((await iterator.next()).done).toBe(true);
    });

    test('a consumer may leave early', async () => {
      await putAll(['a', 'b']);
      const { signal } = new AbortController();
      for await (const batch of current().watch(0, { store, prefix: '', signal, from: 1n })) {
        if (batch.changes.length > 0) break;
      }
      expect((await current().get(0, store, 'a', strong)).entry).toBeDefined();
    });

    test('a position that is gone or has not come is refused', async () => {
      await putAll(['a', 'b']);
      const { signal } = new AbortController();
      const first = (from: bigint) => () =>
        current().watch(0, { store, prefix: '', signal, from })[Symbol.asyncIterator]().next();
      expect(await codeOf(first((await applied()) + 1000n))).toBe('invalid_cursor');
      expect(await codeOf(first(0n))).toBe('invalid_cursor');
      await propose({ body: { kind: 'sweep', limit: 1000, changesKeptBytes: 0, countStore: '' } });
      expect(await codeOf(first(1n))).toBe('cursor_expired');
    });
  });
}
