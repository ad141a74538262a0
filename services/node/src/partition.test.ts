// A partition whose log and engine do what the test says: how it halts, what it refuses then, what
// it leaves behind when it is closed, and that a slow engine does not fill the memory.
import { getEventListeners } from 'node:events';
import type { Command } from '@statestore/core';
import { decodeBatch, encodeBatch, limits, StateStoreError } from '@statestore/core';
import type { HaltCause } from '@statestore/link';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LocalNode } from './local-node.ts';
import type { SubscriptionEnd } from './log/log.ts';
import type { PartitionOptions } from './partition-options.ts';
import { Partition } from './partition.ts';
import { TestEngine, TestLog, WatchedTime } from './testing/controlled-replica.ts';

let log: TestLog;
let engine: TestEngine;
let time: WatchedTime;
let halts: StateStoreError[];
let causes: HaltCause[];
let opened: Partition[];
const unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);

beforeEach(() => {
  log = new TestLog();
  engine = new TestEngine();
  time = new WatchedTime();
  halts = [];
  causes = [];
  opened = [];
  unhandled.length = 0;
  process.on('unhandledRejection', note);
});

afterEach(async () => {
  for (const partition of opened) await partition.close();
  await turns();
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
  expect(time.timers.size).toBe(0);
});

async function open(more: Partial<PartitionOptions> = {}): Promise<Partition> {
  const partition = await Partition.open({
    partition: 0,
    log,
    engine,
    time,
    proposer: 'P'.repeat(16),
    flushIntervalMs: 5,
    sweeps: () => false,
    onHalted: (reason, cause) => {
      halts.push(reason);
      causes.push(cause);
    },
    ...more,
  });
  opened.push(partition);
  return partition;
}

async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
}

function put(key: string, bytes = 1): Command {
  const value = new Uint8Array(bytes);
  const condition = { kind: 'none' } as const;
  const operation = { kind: 'put', key, condition, value, contentType: '', ttl: { kind: 'default' } } as const;
  return { body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] } };
}

function touch(key: string): Command {
  const operation = { kind: 'touch', key, condition: { kind: 'none' }, ttl: { kind: 'never' } } as const;
  return { body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] } };
}

function nodeOf(partition: Partition): LocalNode {
  const node = new LocalNode('test');
  node.add(partition);
  return node;
}

/** The code of the refusal. */
async function codeOf(attempt: () => unknown): Promise<string> {
  try {
    await attempt();
    return 'it was done';
  } catch (error) {
    return error instanceof StateStoreError ? error.code : String(error);
  }
}

const session = { consistency: 'session' } as const;
const scan = { store: 's', reverse: false, limit: 10, bytesMax: 1000, values: true };

async function refusals(partition: Partition): Promise<Record<string, string>> {
  const node = nodeOf(partition);
  const { signal } = new AbortController();
  const attempts: Record<string, () => unknown> = {
    propose: () => node.propose(0, put('x')),
    get: () => node.get(0, 's', 'a', session),
    strongGet: () => node.get(0, 's', 'a', { consistency: 'strong' }),
    getMany: () => node.getMany(0, 's', ['a'], session),
    scan: () => node.scan(0, scan, session),
    store: () => node.store(0, 's'),
    stores: () => node.stores(0),
    watch: () => node.watch(0, { store: 's', prefix: '', signal })[Symbol.asyncIterator]().next(),
    sync: () => node.sync(0),
    compact: () => node.compact(0),
    appliedAfter: () => partition.appliedAfter(1000n),
  };
  const codes: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(attempts)) codes[name] = await codeOf(attempt);
  return codes;
}

async function expectHalted(partition: Partition, cause: HaltCause, reason: RegExp): Promise<void> {
  await expect.poll(() => halts.length).toBe(1);
  expect(causes).toEqual([cause]);
  expect(halts[0]).toMatchObject({ code: 'partition_halted', message: expect.stringMatching(reason) });
  expect(new Set(Object.values(await refusals(partition)))).toEqual(new Set(['partition_halted']));
  const { partitions } = await nodeOf(partition).status();
  expect(partitions).toMatchObject([
    { state: 'halted', haltCause: cause, reason: expect.stringMatching(reason), logBytes: 42 },
  ]);
  await partition.close();
  expect(halts).toHaveLength(1);
}

describe('a partition halts', () => {
  const ends: readonly (readonly [SubscriptionEnd, HaltCause, RegExp])[] = [
    [{ kind: 'trimmed', first: 9n }, 'log_trimmed', /the log begins at 9, this replica is at 1: it needs a checkpoint/],
    [
      { kind: 'regressed', last: 0n, incarnation: 'other' },
      'log_regressed',
      /the log ends at 0 \(incarnation other\), this replica is at 1/,
    ],
    [
      { kind: 'corrupt', cause: new Error('a bad sector') },
      'log_corrupt',
      /a batch after 1 cannot be applied: a bad sector/,
    ],
  ];
  test.each(ends)('where its subscription ends as $kind', async (end, cause, reason) => {
    const partition = await open();
    await partition.propose(put('a'));
    const waiting = codeOf(() => partition.appliedAfter(5n));
    const { signal } = new AbortController();
    const watching = codeOf(() => partition.watch({ store: 's', prefix: '', signal })[Symbol.asyncIterator]().next());
    log.held = [];
    const published = codeOf(() => partition.propose(put('b')));
    await turns();
    log.end(end);
    expect(await Promise.all([waiting, watching, published])).toEqual([
      'partition_halted',
      'partition_halted',
      'outcome_unknown',
    ]);
    await expectHalted(partition, cause, reason);
  });

  test('where the engine fails to commit, and its sizes cannot be asked for either', async () => {
    const partition = await open();
    engine.failure = new StateStoreError('disk_full', 'no room');
    await partition.propose(put('a'));
    await expectHalted(partition, 'engine_failed', /the engine failed: no room/);
    expect(engine.commits).toBe(1);
  });

  test('where its log takes no writes any more: what was on its way is unknown at once', async () => {
    const partition = await open();
    log.held = [];
    log.append = async () => ({ kind: 'unknown', cause: new Error('EIO') });
    const published = codeOf(() => partition.propose(put('a')));
    await turns();
    log.fail(new Error('EIO: injected'));
    expect(await published).toBe('outcome_unknown');
    await expectHalted(partition, 'log_failed', /the log failed: EIO: injected/);
  });

  test('where a batch cannot be applied: what came before it is answered', async () => {
    const partition = await open();
    log.held = [];
    const good = codeOf(() => partition.propose(put('a')));
    await turns();
    log.held.push({ position: 2n, timestampNanos: 0n, bytes: new Uint8Array([255]) });
    log.deliver(log.held);
    expect(await good).toBe('it was done');
    await expectHalted(partition, 'log_corrupt', /a batch after . cannot be applied: malformed/);
  });

  test('where the engine cannot be read when it looks for something to sweep', async () => {
    const partition = await open({ sweeps: () => true, sweepIntervalMs: 5 });
    engine.failure = new StateStoreError('data_corrupt', 'the file is gone');
    await expectHalted(partition, 'engine_failed', /the engine failed: the file is gone/);
  });

  test('closing one that halts meanwhile ends', async () => {
    const partition = await open();
    log.held = [];
    const published = codeOf(() => partition.propose(put('a')));
    await turns();
    const closing = partition.close();
    log.end({ kind: 'corrupt', cause: new Error('a bad sector') });
    await closing;
    expect(await published).toBe('outcome_unknown');
  });
});

describe('opening is refused', () => {
  async function fill(): Promise<void> {
    const partition = await open();
    await partition.propose(put('a'));
    await partition.sync();
  }

  test('where the log ends before what is applied here', async () => {
    await fill();
    log = new TestLog();
    expect(await codeOf(() => open())).toBe('partition_halted');
  });

  test('where the log is another one, however far it goes', async () => {
    await fill();
    const { records } = log;
    log = new TestLog();
    log.incarnation = '00000000-0000-4000-8000-000000000002';
    log.records.push(...records, ...records);
    expect(await codeOf(() => open())).toBe('partition_halted');
    expect(halts).toHaveLength(1);
  });

  test('where the log cannot be replayed, and nothing goes on', async () => {
    log.records.push({ position: 1n, timestampNanos: 1n, bytes: encodeBatch(batchOf(put('a'))) });
    log.records.push({ position: 2n, timestampNanos: 1n, bytes: new Uint8Array([255]) });
    expect(await codeOf(() => open())).toBe('partition_halted');
    expect(time.timers.size).toBe(0);
  });
});

function batchOf(...commands: Command[]) {
  return { partition: 0, proposer: 'Q'.repeat(16), number: 1, commands };
}

describe('closing', () => {
  test('refuses whoever comes later, and whoever waits', async () => {
    const partition = await open();
    await partition.propose(put('a'));
    const waiting = codeOf(() => partition.appliedAfter(5n));
    const closing = [partition.close(), partition.close()];
    await Promise.all(closing);
    expect(await waiting).toBe('shutting_down');
    expect(new Set(Object.values(await refusals(partition)))).toEqual(new Set(['shutting_down']));
    expect(await partition.status()).toMatchObject({ state: 'stopped', engineBytes: 0, storedPosition: 1n });
  });

  test('stores what is answered meanwhile, and leaves no timer behind where a sweep was under way', async () => {
    const partition = await open({ sweeps: () => true, sweepIntervalMs: 1 });
    const expiring = { ...put('a') };
    await partition.propose(expiring);
    await partition.propose({ body: { kind: 'clear', store: 's' } });
    log.held = [];
    await expect.poll(() => log.held!.length).toBe(1);
    const last = partition.propose(put('b'));
    const closing = partition.close();
    await turns();
    for (let i = 0; i < log.held.length; i++) {
      log.deliver([log.held[i]!]);
      await turns();
    }
    await last;
    await closing;
    expect(engine.position).toBe(BigInt(log.records.length));
    expect(time.timers.size).toBe(0);
  });
});

describe('whoever waits for a position', () => {
  test('leaves nothing on its signal', async () => {
    const partition = await open();
    const { signal } = new AbortController();
    for (let i = 0n; i < 50n; i++) {
      const waiting = partition.appliedAfter(i, signal);
      expect(getEventListeners(signal, 'abort')).toHaveLength(1);
      await partition.propose(put('a'));
      await waiting;
    }
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  test('is let go when the signal aborts', async () => {
    const partition = await open();
    const abort = new AbortController();
    const waiting = Array.from({ length: 1000 }, () => partition.appliedAfter(5n, abort.signal));
    abort.abort();
    await Promise.all(waiting);
    await partition.appliedAfter(5n, abort.signal);
  });

  test('as a reader gets what its session saw once it is there', async () => {
    const partition = await open();
    const node = nodeOf(partition);
    const read = node.get(0, 's', 'a', { consistency: 'session', atLeast: 2n });
    await partition.propose(put('x'));
    await partition.propose(put('a', 7));
    expect((await read).entry?.value).toHaveLength(7);
    expect((await read).position).toBe(2n);
  });

  test('as a reader is told when it does not come', async () => {
    const after = time.after.bind(time);
    time.after = (ms, run) => after(ms === limits.positionWaitMs ? 1 : ms, run);
    const partition = await open();
    expect(await codeOf(() => partition.ready({ consistency: 'session', atLeast: 2n }))).toBe('unavailable');
  });
});

describe('behind a slow engine', () => {
  test('the write buffer keeps to its bound between any two records of one delivery', async () => {
    const partition = await open({ flushIntervalMs: 1000 });
    const count = 64;
    for (let i = 0; i < count; i++) await partition.propose(put(`k${i}`, limits.valueBytesMax));
    await partition.sync();
    const gate = Promise.withResolvers<void>();
    engine.gate = gate.promise;
    // A few bytes each in the log, a whole value each in the buffer.
    const records = Array.from({ length: count }, (_, i) => ({
      position: BigInt(count + i + 1),
      timestampNanos: 0n,
      bytes: encodeBatch(batchOf(touch(`k${i}`))),
    }));
    log.deliver(records);
    await turns();
    const { writeBufferBytes, appliedPosition } = await partition.status();
    expect(writeBufferBytes).toBeLessThan(limits.writeBufferBytesMax + 2 * limits.valueBytesMax);
    expect(appliedPosition).toBeLessThan(BigInt(2 * count));
    gate.resolve();
    await log.delivery;
    expect((await partition.status()).appliedPosition).toBe(BigInt(2 * count));
  });

  test('clients are refused as overloaded, and not piled up unanswered', async () => {
    const partition = await open();
    log.held = [];
    const outcomes: Record<string, number> = {};
    const valueBytes = 500_000;
    const offered = 400;
    const all = Array.from({ length: offered }, async (_, i) => {
      const code = await codeOf(() => partition.propose(put(`k${i}`, valueBytes)));
      outcomes[code] = (outcomes[code] ?? 0) + 1;
    });
    await expect.poll(() => outcomes['overloaded']).toBeGreaterThan(0);
    await turns();
    const inLog = log.records.reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(inLog).toBeGreaterThan(limits.proposerUnappliedBytesMax);
    expect(inLog).toBeLessThan(limits.proposerUnappliedBytesMax + 2 * valueBytes);
    // The engine comes back: all that was accepted is done.
    const waiting = log.held;
    log.held = undefined;
    for (const record of waiting) log.deliver([record]);
    await Promise.all(all);
    expect(outcomes['it was done']! + outcomes['overloaded']!).toBe(offered);
    expect(log.records.flatMap(({ bytes }) => decodeBatch(bytes).commands)).toHaveLength(outcomes['it was done']!);
  });
});
