// What every NodeService must do: the node itself in one process, and the same node through the link.
// Two partitions, 0 and 1, empty at first; nodes do not check that a key's slot is the partition's.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type BinaryString,
  type Command,
  type Condition,
  defaultTtl,
  limits,
  noCondition,
  type Operation,
} from '@statestore/core';
import type { Entry, NodeService, Proposed, ReadOptions, Scan, ScanPage } from '@statestore/link';
import { copyContract } from './node-service-copy-contract.ts';
import {
  bytes,
  eventual,
  increment,
  mutate,
  type NodeServiceFixture,
  put,
  store,
  strong,
  text,
} from './node-service-fixture.ts';
import { refusalContract } from './node-service-refusal-contract.ts';
import { positionsContract } from './node-service-positions-contract.ts';
import { watchContract } from './node-service-watch-contract.ts';

export function nodeServiceContract(name: string, make: () => Promise<NodeServiceFixture>): void {
  describe(`node service: ${name}`, () => {
    let fixture: NodeServiceFixture;
    let service: NodeService;

    beforeEach(async () => {
      fixture = await make();
      service = fixture.service;
    });
    afterEach(() => fixture.close());

    const propose = (command: Command, partition = 0): Promise<Proposed> => service.propose(partition, command);
    const get = async (key: BinaryString, partition = 0): Promise<Entry | undefined> =>
      (await service.get(partition, store, key, strong)).entry;
    const scan = async (more: Partial<Scan> = {}): Promise<ScanPage> =>
      service.scan(
        0,
        { store, reverse: false, limit: 1000, bytesMax: limits.listPageBytesMax, values: true, ...more },
        strong,
      );
    const putAll = async (keys: readonly BinaryString[]): Promise<void> => {
      await propose(mutate(keys.map((key) => put(key, `value of ${key}`))));
    };
    const applied = async (): Promise<bigint> =>
      (await service.status()).partitions.find(({ partition }) => partition === 0)!.appliedPosition;

    describe('propose and get', () => {
      test('an entry is read back as it was put', async () => {
        const result = await propose(mutate([put('a', 'one', { contentType: 'text/plain; charset=utf-8' })]));
        expect(result.code).toBe('done');
        expect(result.operations).toHaveLength(1);
        const [operation] = result.operations;
        expect(operation).toMatchObject({ code: 'done', existed: false, sizeBytes: 3, expiresAtMs: 0 });
        expect(operation!.revision).toBeGreaterThan(0n);
        expect(await get('a')).toEqual({
          value: bytes('one'),
          contentType: 'text/plain; charset=utf-8',
          revision: operation!.revision,
          expiresAtMs: 0,
        });
        expect(await get('b')).toBeUndefined();
      });

      test('keys and values are bytes of any kind, from empty to the largest', async () => {
        const everyByte = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
        const largest = new Uint8Array(limits.valueBytesMax).map((_, i) => i * 7);
        const longest = '\xff'.repeat(limits.keyBytesMax);
        await propose(mutate([put(everyByte, new Uint8Array(0)), put('\0', Uint8Array.of(0, 255))]));
        await propose(mutate([put(longest, largest)]));
        expect((await get(everyByte))!.value).toEqual(new Uint8Array(0));
        expect((await get('\0'))!.value).toEqual(Uint8Array.of(0, 255));
        expect(Buffer.compare((await get(longest))!.value, largest)).toBe(0);
      });

      test('partitions and stores are apart', async () => {
        await propose(mutate([put('a', 'in 0')]));
        expect(await get('a', 1)).toBeUndefined();
        await propose(mutate([put('a', 'in 1')]), 1);
        await propose(mutate([put('a', 'other')], { store: 'other' }));
        expect([text(await get('a')), text(await get('a', 1))]).toEqual(['in 0', 'in 1']);
      });

      test.each<[Condition['kind'], boolean, boolean]>([
        ['none', true, true],
        ['absent', true, false],
        ['exists', false, true],
      ])('condition %s: new key %s, old key %s', async (kind, onNew, onOld) => {
        await propose(mutate([put('old', 'before')]));
        const condition = { kind } as Condition;
        const { code, operations } = await propose(
          mutate([put('new', 'x', { condition }), put('old', 'x', { condition })]),
        );
        expect(code).toBe('done');
        expect(operations.map((each) => each.code)).toEqual(
          [onNew, onOld].map((done) => (done ? 'done' : 'precondition_failed')),
        );
        expect(text(await get('new'))).toBe(onNew ? 'x' : undefined);
        expect(text(await get('old'))).toBe(onOld ? 'x' : 'before');
      });

      test('condition revision: holds for the present one only, which a failure tells', async () => {
        const first = (await propose(mutate([put('a', '1')]))).operations[0]!.revision;
        const second = (await propose(mutate([put('a', '2', { condition: { kind: 'revision', revision: first } })])))
          .operations[0]!;
        expect(second).toMatchObject({ code: 'done', existed: true });
        expect(second.revision).toBeGreaterThan(first);
        const third = (await propose(mutate([put('a', '3', { condition: { kind: 'revision', revision: first } })])))
          .operations[0]!;
        expect(third).toMatchObject({ code: 'precondition_failed', revision: second.revision });
        expect(text(await get('a'))).toBe('2');
      });

      test('an atomic mutate is all or nothing, and names what failed', async () => {
        await propose(mutate([put('a', '1')]));
        const check = { key: 'b', condition: { kind: 'exists' } } as const;
        const refused = await propose(mutate([put('a', '2'), put('c', '2')], { atomic: true, checks: [check] }));
        expect(refused).toMatchObject({ code: 'precondition_failed', failedIndex: 0 });
        expect([text(await get('a')), await get('c')]).toEqual(['1', undefined]);
        const ifAbsent = put('a', '2', { condition: { kind: 'absent' } });
        expect(await propose(mutate([put('c', '2'), ifAbsent], { atomic: true }))).toMatchObject({
          code: 'precondition_failed',
          failedIndex: 1,
        });
        expect(await get('c')).toBeUndefined();
        const done = await propose(mutate([put('a', '2'), put('c', '2')], { atomic: true }));
        expect(done.operations.map(({ code }) => code)).toEqual(['done', 'done']);
        expect([text(await get('a')), text(await get('c'))]).toEqual(['2', '2']);
      });

      test('increment, append, merge patch, touch, delete', async () => {
        const on = { condition: noCondition, ttl: defaultTtl };
        const { operations } = await propose(
          mutate([
            increment('n', -5n),
            { ...increment('n', 2n ** 62n), max: 7n } as Operation,
            { kind: 'append', key: 'l', value: bytes('ab'), contentType: '', ...on },
            { kind: 'append', key: 'l', value: bytes('c'), contentType: '', ...on },
            { kind: 'mergePatch', key: 'j', value: bytes('{"a":1}'), ...on },
            { kind: 'touch', key: 'nothing', condition: noCondition, ttl: { kind: 'never' } },
            { kind: 'delete', key: 'nothing', condition: noCondition },
            increment('l', 1n),
          ]),
        );
        expect(operations.map(({ code }) => code)).toEqual([
          'done',
          'out_of_bounds',
          'done',
          'done',
          'done',
          'not_found',
          'done',
          'not_a_number',
        ]);
        expect(operations[0]!.number).toBe(-5n);
        expect(operations[6]!.existed).toBe(false);
        expect([text(await get('n')), text(await get('l')), text(await get('j'))]).toEqual(['-5', 'abc', '{"a":1}']);
        const deleted = await propose(mutate([{ kind: 'delete', key: 'l', condition: noCondition }]));
        expect(deleted.operations[0]).toMatchObject({ code: 'done', existed: true });
        expect(await get('l')).toBeUndefined();
      });

      test('an entry with a time to live goes', async () => {
        const { operations } = await propose(
          mutate([
            put('brief', 'x', { ttl: { kind: 'after', ms: 60 } }),
            put('long', 'x', { ttl: { kind: 'after', ms: 3_600_000 } }),
          ]),
        );
        expect(operations[0]!.expiresAtMs).toBeGreaterThan(0);
        expect((await get('long'))!.expiresAtMs).toBe(operations[1]!.expiresAtMs);
        await expect.poll(() => get('brief'), { timeout: 10_000 }).toBeUndefined();
        expect(text(await get('long'))).toBe('x');
      });

      test('a stamped command takes effect once, and is answered alike', async () => {
        const session = 's'.repeat(16);
        const command: Command = {
          ...mutate([increment('n', 1n)]),
          stamp: { session, counter: 1, firstUnanswered: 1, opens: true },
        };
        const first = await propose(command);
        expect(first.operations[0]!.number).toBe(1n);
        expect(await propose(command)).toEqual({ ...first, position: first.position + 1n });
        const next = await propose({
          ...mutate([increment('n', 1n)]),
          stamp: { session, counter: 2, firstUnanswered: 2, opens: false },
        });
        expect(next.operations[0]!.number).toBe(2n);
      });

      test('an idempotency key takes effect once, and not for another request', async () => {
        const idempotency = { id: 'i'.repeat(16), fingerprint: 'f'.repeat(16) };
        const first = await propose({ ...mutate([increment('n', 1n)]), idempotency });
        const again = await propose({ ...mutate([increment('n', 1n)]), idempotency });
        expect(again).toEqual({ ...first, position: first.position + 1n });
        const reused = await propose({
          ...mutate([increment('n', 1n)]),
          idempotency: { ...idempotency, fingerprint: 'g'.repeat(16) },
        });
        expect(reused.code).toBe('idempotency_key_reused');
        expect(text(await get('n'))).toBe('1');
      });

      test('many at once: each takes effect once, and every answer is its own', async () => {
        const results = await Promise.all(Array.from({ length: 500 }, () => propose(mutate([increment('n', 1n)]))));
        const numbers = results.map(({ operations }) => Number(operations[0]!.number)).toSorted((a, b) => a - b);
        expect(numbers).toEqual(Array.from({ length: 500 }, (_, i) => i + 1));
        expect(text(await get('n'))).toBe('500');
      });

      test('every consistency sees what was acknowledged by this node', async () => {
        await propose(mutate([put('a', '1')]));
        const atLeast = await applied();
        const seen = async (options: ReadOptions): Promise<string | undefined> =>
          text((await service.get(0, store, 'a', options)).entry);
        expect(await seen({ consistency: 'session', atLeast })).toBe('1');
        expect(await seen({ consistency: 'session' })).toBe('1');
        expect(await seen(eventual)).toBe('1');
        expect(text(await get('a'))).toBe('1');
      });

      test('a session read waits for its position', async () => {
        const read = service.get(0, store, 'a', { consistency: 'session', atLeast: (await applied()) + 1n });
        await propose(mutate([put('a', '1')]));
        expect(text((await read).entry)).toBe('1');
      });
    });

    describe('getMany', () => {
      test('answers in the order asked, also twice, also what is absent', async () => {
        await putAll(['a', 'b', 'c']);
        const { entries } = await service.getMany(0, store, ['c', 'x', 'a', 'c'], strong);
        expect(entries.map(text)).toEqual(['value of c', undefined, 'value of a', 'value of c']);
        expect((await service.getMany(0, store, [], strong)).entries).toEqual([]);
        expect((await service.getMany(0, 'no-such-store', ['a'], strong)).entries).toEqual([undefined]);
      });

      test('large values, more than one frame of them', async () => {
        const keys = Array.from({ length: 20 }, (_, i) => `large ${i}`);
        for (const [i, key] of keys.entries())
          await propose(mutate([put(key, new Uint8Array(limits.valueBytesMax).fill(i + 1))]));
        const { entries } = await service.getMany(0, store, keys, strong);
        expect(entries.map((entry) => [entry!.value.length, entry!.value[0], entry!.value.at(-1)])).toEqual(
          keys.map((_, i) => [limits.valueBytesMax, i + 1, i + 1]),
        );
      });
    });

    describe('scan', () => {
      const keysOf = ({ entries }: ScanPage): string[] => entries.map(({ key }) => key);

      test('in byte order, both directions, half-open bounds', async () => {
        await putAll(['b', 'a', 'c\xff', 'c', '\x80', 'd']);
        expect(keysOf(await scan())).toEqual(['a', 'b', 'c', 'c\xff', 'd', '\x80']);
        expect(keysOf(await scan({ reverse: true }))).toEqual(['\x80', 'd', 'c\xff', 'c', 'b', 'a']);
        expect(keysOf(await scan({ start: 'b', end: 'd' }))).toEqual(['b', 'c', 'c\xff']);
        expect(keysOf(await scan({ start: 'b', end: 'd', reverse: true }))).toEqual(['c\xff', 'c', 'b']);
        expect(keysOf(await scan({ start: 'x', end: 'b' }))).toEqual([]);
        expect(await scan({ store: 'no-such-store' })).toMatchObject({ entries: [], more: false });
      });

      test('entries are whole, or without their values', async () => {
        const { revision } = (await propose(mutate([put('a', 'one', { contentType: 'text/plain' })]))).operations[0]!;
        const entry = { key: 'a', value: bytes('one'), contentType: 'text/plain', revision, expiresAtMs: 0 };
        expect(await scan()).toMatchObject({ entries: [entry], more: false });
        expect(await scan({ values: false })).toMatchObject({
          entries: [{ ...entry, value: new Uint8Array(0) }],
          more: false,
        });
      });

      test('a page ends at its limit or its bytes, and says whether more may follow', async () => {
        await putAll(['a', 'b', 'c', 'd']);
        const page = await scan({ limit: 2 });
        expect([keysOf(page), page.more]).toEqual([['a', 'b'], true]);
        const small = await scan({ bytesMax: 15 });
        expect([keysOf(small), small.more]).toEqual([['a', 'b'], true]);
        expect(keysOf(await scan({ bytesMax: 1 }))).toEqual(['a']);
        expect((await scan({ limit: 1000 })).more).toBe(false);
      });

      test('page by page, every entry comes once, in order', async () => {
        const key = fc.string({ unit: fc.constantFrom('a', 'b', '\0', '\xff'), minLength: 1, maxLength: 5 });
        await fc.assert(
          fc.asyncProperty(
            fc.uniqueArray(key, { maxLength: 30 }),
            fc.integer({ min: 1, max: 7 }),
            fc.boolean(),
            async (keys, limit, reverse) => {
              await propose({ body: { kind: 'clear', store } });
              await putAll(keys);
              const found: string[] = [];
              for (let more = true; more;) {
                const last = found.at(-1);
                const bounds = last === undefined ? {} : reverse ? { end: last } : { start: `${last}\0` };
                const page = await scan({ limit, reverse, ...bounds });
                found.push(...keysOf(page));
                more = page.more;
              }
              const sorted = keys.toSorted((a, b) => (a < b ? -1 : 1));
              expect(found).toEqual(reverse ? sorted.toReversed() : sorted);
            },
          ),
          { numRuns: 20 },
        );
      });
    });

    describe('stores', () => {
      test('a store counts what it holds, and clear says how much that was', async () => {
        expect(await service.store(0, store)).toBeUndefined();
        expect(await service.stores(0)).toEqual([]);
        await propose(mutate([put('a', '123'), put('bb', '4')]));
        expect(await service.store(0, store)).toMatchObject({ store, entries: 2, bytes: 7, expired: 0 });
        await propose(mutate([put('a', '1')], { store: 'other' }));
        const entries = Object.fromEntries((await service.stores(0)).map((each) => [each.store, each.entries]));
        expect(entries).toEqual({ [store]: 2, other: 1 });
        expect(await service.stores(1)).toEqual([]);
        expect(await propose({ body: { kind: 'clear', store } })).toMatchObject({ code: 'done', count: 2 });
        expect(await get('a')).toBeUndefined();
        expect((await service.store(0, store))?.entries ?? 0).toBe(0);
      });

      test('settings are kept as they were made', async () => {
        const settings = { defaultTtlMs: 3_600_000, quotaEntries: 3, quotaBytes: undefined };
        await propose({
          body: {
            kind: 'configure',
            store,
            settings,
            settingsVersion: 3,
            allowanceEntries: 2,
            allowanceBytes: undefined,
          },
        });
        expect(await service.store(0, store)).toMatchObject({
          settings,
          settingsVersion: 3,
          allowanceEntries: 2,
          allowanceBytes: undefined,
        });
        const { operations } = await propose(mutate([put('a', '1'), put('b', '2'), put('c', '3')]));
        expect(operations.map(({ code }) => code)).toEqual(['done', 'done', 'quota_exceeded']);
        expect(operations[0]!.expiresAtMs).toBeGreaterThan(0);
      });
    });

    watchContract(() => service);
    positionsContract(() => service);
    copyContract(() => service);

    describe('upkeep', () => {
      test('sync, compact', async () => {
        await putAll(['a', 'b']);
        await service.sync(0);
        const { beforeBytes, afterBytes } = await service.compact(0);
        expect(beforeBytes).toBeGreaterThanOrEqual(0);
        expect(afterBytes).toBeGreaterThanOrEqual(0);
        expect(text(await get('a'))).toBe('value of a');
        const { partitions } = await service.status();
        expect(partitions[0]!.storedPosition).toBeGreaterThan(0n);
      });

      test('status tells of every partition, and counts', async () => {
        await putAll(['a', 'b']);
        await get('a');
        await get('x');
        const { version, partitions, counts } = await service.status();
        expect(version).not.toBe('');
        expect(partitions.map(({ partition, state, reason }) => [partition, state, reason])).toEqual([
          [0, 'running', ''],
          [1, 'running', ''],
        ]);
        expect(partitions[0]).toMatchObject({ entries: 2, stores: 1, queuedCommands: 0 });
        expect(partitions[0]!.chain).toMatch(/^[0-9a-f]{32}$/);
        expect(partitions[0]!.stateHash).toMatch(/^[0-9a-f]{32}$/);
        expect(partitions[0]!.clockMs).toBeGreaterThan(0);
        expect(partitions[0]!.incarnation).not.toBe(partitions[1]!.incarnation);
        expect(partitions[1]).toMatchObject({ entries: 0, revision: 0n });
        expect(counts).toMatchObject({ hits: 1, misses: 1 });
        expect(counts.operations).toMatchObject({ put: 2, get: 2 });
      });
    });

    refusalContract(() => service);
  });
}
