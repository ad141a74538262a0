import type { PartitionLog } from '@statestore/core';
import { StateStoreError } from '@statestore/core';
import { beforeEach, describe, expect, test } from 'vitest';
import type { AppendOutcome, Log, LogRecord } from '../log/log.ts';
import { ManualTime, settled } from '../testing/manual-time.ts';
import { MemoryLogs } from '../testing/memory-logs.ts';
import { GuardedLog } from './guarded-log.ts';
import { findLogEnd } from './log-end.ts';

const bytes = Uint8Array.of(1);
let logs: MemoryLogs;
let placed: PartitionLog;
let inner: Log;
let log: GuardedLog;
let received: bigint[];
let regressed: [bigint, bigint][];
let heard = 0n;

beforeEach(async () => {
  logs = new MemoryLogs();
  placed = await logs.create({ partition: 0, generation: 1, replicas: 1 });
  inner = await logs.open(0, placed);
  received = [];
  regressed = [];
  heard = 0n;
  log = new GuardedLog({
    log: inner,
    time: new ManualTime(),
    heard: () => heard,
    onRegressed: (position, taken) => regressed.push([position, taken]),
  });
});

function subscribe(): ReturnType<Log['subscribe']> {
  return log.subscribe({
    from: 1n,
    onRecords: (records: readonly LogRecord[]) => void received.push(...records.map(({ position }) => position)),
  });
}

describe('a guarded log', () => {
  test('lets everything pass, and knows how far it goes', async () => {
    subscribe();
    expect(await log.append(bytes)).toEqual({ kind: 'appended', position: 1n });
    await settled();
    expect(received).toEqual([1n]);
    expect([log.delivered, log.end]).toEqual([1n, 1n]);
    log.reaches(9n);
    log.reaches(4n);
    expect(log.end).toBe(9n);
  });

  test('delivers nothing while it is held, whatever for, and all of it afterwards', async () => {
    subscribe();
    log.hold('disk');
    log.hold('unsure');
    await inner.append(bytes);
    await inner.append(bytes);
    await settled();
    log.release('disk');
    await settled();
    expect(received).toEqual([]);
    log.release('unsure');
    await settled();
    expect(received).toEqual([1n, 2n]);
  });

  test('holds single records back, with what comes after them, until they may pass', async () => {
    const passes = new Map<bigint, () => void>();
    log = new GuardedLog({
      log: inner,
      time: new ManualTime(),
      gate: {
        isFor: ({ position }) => position % 3n === 0n,
        pass: ({ position }) => new Promise((resolve) => passes.set(position, resolve)),
      },
    });
    for (let i = 0; i < 7; i++) await inner.append(bytes);
    subscribe();
    await settled();
    expect(received).toEqual([1n, 2n]);
    passes.get(3n)!();
    await settled();
    expect(received).toEqual([1n, 2n, 3n, 4n, 5n]);
    log.hold('unsure');
    passes.get(6n)!();
    await settled();
    expect(received.at(-1)).toBe(5n);
    log.release('unsure');
    await settled();
    expect(received.at(-1)).toBe(7n);
  });

  test('is closed while a record is held back: it is given to nobody any more', async () => {
    log = new GuardedLog({
      log: inner,
      time: new ManualTime(),
      gate: {
        isFor: () => true,
        pass: (_record, signal) =>
          new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
      },
    });
    await inner.append(bytes);
    const subscription = subscribe();
    await settled();
    await subscription.close();
    expect(received).toEqual([]);
  });

  test('refuses appends where nobody could store or be asked, and lets them wait while it finds out', async () => {
    log.hold('disk');
    expect(await log.append(bytes)).toMatchObject({ kind: 'refused', reason: 'disk_full' });
    log.release('disk');
    log.hold('away');
    expect(await log.append(bytes)).toMatchObject({ kind: 'refused', reason: 'unavailable' });
    log.hold('unsure');
    log.release('away');
    const outcomes: AppendOutcome[] = [];
    void log.append(bytes).then((outcome) => outcomes.push(outcome));
    void log.append(bytes).then((outcome) => outcomes.push(outcome));
    await settled();
    expect(outcomes).toEqual([]);
    log.release('unsure');
    await settled();
    expect(outcomes.map((outcome) => 'position' in outcome && outcome.position)).toEqual([1n, 2n]);
  });

  test('refuses what waited for it to find out, when nobody can be asked after all', async () => {
    log.hold('unsure');
    const waiting = log.append(bytes);
    await settled();
    log.hold('away');
    expect(await waiting).toMatchObject({ kind: 'refused', reason: 'unavailable' });
  });

  test('notices that a position is given away again', async () => {
    subscribe();
    for (let i = 0; i < 5; i++) await log.append(bytes);
    await settled();
    logs.cut(0, 1, 2n);
    await log.append(bytes);
    expect(regressed).toEqual([[3n, 5n]]);
  });

  test('notices that a position is given away that another replica had applied', async () => {
    heard = 4n;
    await log.append(bytes);
    expect(regressed).toEqual([[1n, 4n]]);
  });

  test('can be closed while it is held: nothing is delivered then, and nobody waits', async () => {
    const subscription = subscribe();
    log.hold('unsure');
    await inner.append(bytes);
    await settled();
    const waiting = log.append(bytes);
    await subscription.close();
    await log.close();
    expect(await waiting).toEqual({ kind: 'refused', reason: 'closed' });
    expect(received).toEqual([]);
    expect(await subscription.ended).toEqual({ kind: 'closed' });
    log.hold('unsure');
    expect(await log.append(bytes)).toEqual({ kind: 'refused', reason: 'closed' });
  });

  test('can be stopped under whoever waits for it', async () => {
    const subscription = subscribe();
    logs.down = true;
    log.hold('away');
    log.stop();
    expect(await subscription.ended).toMatchObject({ kind: 'corrupt' });
    await expect(log.bounds()).rejects.toMatchObject({ code: 'shutting_down' });
  });
});

describe('the end of a log', () => {
  test('is believed at once where it is whole, and after a while where it is not', async () => {
    const time = new ManualTime();
    const { signal } = new AbortController();
    let last = 10n;
    const question = {
      find: () => Promise.resolve({ incarnation: 'one', first: 1n, last }),
      incarnation: 'one',
      heard: () => 10n,
      time,
      signal,
    };
    expect(await findLogEnd(question)).toMatchObject({ kind: 'whole' });
    last = 9n;
    const seen: string[] = [];
    void findLogEnd(question).then(({ kind }) => seen.push(kind));
    await time.advance(2000);
    expect(seen).toEqual([]);
    last = 10n;
    await time.advance(600);
    expect(seen).toEqual(['whole']);
    last = 9n;
    void findLogEnd(question).then(({ kind }) => seen.push(kind));
    await time.advance(4000);
    expect(seen).toEqual(['whole', 'regressed']);
    void findLogEnd({ ...question, find: () => Promise.resolve(undefined) }).then(({ kind }) => seen.push(kind));
    await time.advance(4000);
    expect(seen[2]).toBe('regressed');
  });

  test('is not judged by what others had only after it was asked', async () => {
    let known = 5n;
    const end = await findLogEnd({
      find: async () => {
        known = 50n;
        return { incarnation: 'one', first: 1n, last: 5n };
      },
      incarnation: 'one',
      heard: () => known,
      time: new ManualTime(),
      signal: new AbortController().signal,
    });
    expect(end.kind).toBe('whole');
  });

  test('is given up, and tells that nobody answers', async () => {
    const given = new AbortController();
    const time = new ManualTime();
    const question = { incarnation: 'one', heard: () => 1n, time, signal: given.signal };
    const waiting = findLogEnd({ ...question, find: () => new Promise(() => undefined) });
    given.abort(new StateStoreError('shutting_down', 'enough'));
    await expect(waiting).rejects.toMatchObject({ code: 'shutting_down' });
    const away = findLogEnd({
      ...question,
      signal: new AbortController().signal,
      find: () => Promise.reject(new StateStoreError('unavailable', 'nobody is there')),
    });
    await expect(away).rejects.toMatchObject({ code: 'unavailable' });
    expect(time.pending).toBe(0);
  });
});
