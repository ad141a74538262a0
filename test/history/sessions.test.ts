// Proves the rules of relaxed reads: what a session or a bound allows passes, what it does not is found.
import { describe, expect, test } from 'vitest';
import { checkHistory } from './history-checker.ts';
import type { HistoryEvent, Operation } from './history.ts';
import { simulateHistory, simulatedAccounts } from './simulated-history.ts';

const rulesOf = (events: readonly HistoryEvent[]): string[] =>
  [...new Set(checkHistory(events, { accounts: simulatedAccounts }).map(({ rule }) => rule))].toSorted();

type Given = Partial<
  Pick<
    HistoryEvent,
    'use' | 'key' | 'session' | 'consistency' | 'result' | 'revision' | 'outcome' | 'maxLagMs' | 'partition'
  >
>;

/** Takes one millisecond. */
function at(invokedMs: number, operation: Operation, given: Given = {}): HistoryEvent {
  const base = { client: 1, use: 'register', key: 'x', partition: 0, outcome: 'ok' } as const;
  return { ...base, ...given, operation, invokedMs, returnedMs: invokedMs + 1 };
}
const write = (atMs: number, value: string, revision: string, given: Given = {}): HistoryEvent =>
  at(atMs, { kind: 'write', value }, { ...given, revision });
const read = (atMs: number, result: string | null, revision: string | undefined, given: Given = {}): HistoryEvent =>
  at(atMs, { kind: 'read' }, { ...given, result, ...(revision !== undefined && { revision }) });

const s: Given = { session: 's', consistency: 'session' };
const other: Given = { session: 'other', consistency: 'session' };
const eventual: Given = { consistency: 'eventual' };

describe('read your writes', () => {
  const history = [write(0, 'a', '1'), write(10, 'b', '2', { session: 's' })];

  test('holds for the session that wrote, and for no other', () => {
    expect(rulesOf([...history, read(20, 'b', '2', s)])).toEqual([]);
    expect(rulesOf([...history, read(20, 'a', '1', other)])).toEqual([]);
    expect(rulesOf([...history, read(20, 'a', '1', s)])).toContain('read your writes');
    expect(rulesOf([...history, read(20, null, undefined, s)])).toContain('read your writes');
  });

  test('holds for a key that another client changed before', () => {
    const more = [write(0, 'a', '1', { key: 'y' }), write(5, 'b', '2', { key: 'y' }), write(10, 'c', '3', s)];
    expect(rulesOf([...more, read(20, 'a', '1', { ...s, key: 'y' })])).toContain('read your writes');
    // In another partition the session knows nothing.
    const elsewhere = more.map((event) => (event.key === 'y' ? event : { ...event, partition: 1 }));
    expect(rulesOf([...elsewhere, read(20, 'a', '1', { ...s, key: 'y' })])).toEqual([]);
  });

  test('holds for a delete', () => {
    const gone = [...history, at(20, { kind: 'delete' }, { session: 's' })];
    expect(rulesOf([...gone, read(30, null, undefined, s)])).toEqual([]);
    expect(rulesOf([...gone, read(30, 'b', '2', s)])).not.toEqual([]);
    expect(rulesOf([...gone, read(30, 'b', '2', other)])).toEqual([]);
  });

  test('is not asked of what the session was not told of', () => {
    const unknown: HistoryEvent = { ...write(10, 'b', '2', { session: 's' }), outcome: 'unknown' };
    const { revision: _, ...untold } = unknown;
    expect(rulesOf([write(0, 'a', '1'), untold, read(20, 'a', '1', s)])).toEqual([]);
  });
});

describe('monotonic reads', () => {
  const history = [write(0, 'a', '1'), write(10, 'b', '2')];

  test('holds inside a session', () => {
    expect(rulesOf([...history, read(20, 'a', '1', s), read(30, 'b', '2', s)])).toEqual([]);
    expect(rulesOf([...history, read(20, 'b', '2', s), read(30, 'a', '1', s)])).toContain('monotonic reads');
    expect(rulesOf([...history, read(20, 'b', '2', s), read(30, 'a', '1', other)])).toEqual([]);
    expect(rulesOf([...history, read(20, 'b', '2', s), read(30, 'a', '1', eventual)])).toEqual([]);
  });

  test('holds over keys of a partition, and for listings', () => {
    const y = write(15, 'c', '3', { key: 'y' });
    expect(rulesOf([...history, y, read(20, 'c', '3', { ...s, key: 'y' }), read(30, 'a', '1', s)])).toContain(
      'monotonic reads',
    );
    const scan = (listed: readonly (readonly [string, string, string])[]): HistoryEvent =>
      at(40, { kind: 'scan', prefix: '' }, { ...s, key: '', result: listed });
    const seen = [...history, y, read(20, 'c', '3', { ...s, key: 'y' })];
    expect(
      rulesOf([
        ...seen,
        scan([
          ['x', 'b', '2'],
          ['y', 'c', '3'],
        ]),
      ]),
    ).toEqual([]);
    expect(
      rulesOf([
        ...seen,
        scan([
          ['x', 'a', '1'],
          ['y', 'c', '3'],
        ]),
      ]),
    ).toContain('monotonic reads');
    expect(rulesOf([...seen, scan([['y', 'c', '3']])])).toContain('monotonic reads');
  });

  test('a value that was deleted may be there again for no one', () => {
    const gone = [...history, at(20, { kind: 'delete' })];
    expect(rulesOf([...gone, read(30, null, undefined, s), read(40, null, undefined, s)])).toEqual([]);
    const seen = [...gone, read(30, 'b', '2', s), read(40, null, undefined, s)];
    expect(rulesOf(seen)).toEqual([]);
    expect(rulesOf([...seen, read(50, 'b', '2', s)])).toEqual(['not linearizable']);
    // Nothing, then the value: one that lagged behind even its first write.
    expect(rulesOf([...history, read(30, null, undefined, s), read(40, 'b', '2', s)])).toEqual([]);
  });
});

test('writes follow reads', () => {
  const history = [write(0, 'a', '5'), read(10, 'a', '5', s)];
  expect(rulesOf([...history, write(20, 'b', '6', { key: 'y', session: 's' })])).toEqual([]);
  expect(rulesOf([...history, write(20, 'b', '4', { key: 'y', session: 's' })])).toContain('writes follow reads');
});

test('eventual reads see some earlier state, and no other', () => {
  const history = [write(0, 'a', '1'), write(10, 'b', '2')];
  expect(rulesOf([...history, read(20, 'a', '1', eventual)])).toEqual([]);
  expect(rulesOf([...history, read(20, null, undefined, eventual)])).toEqual([]);
  expect(rulesOf([...history, read(5, 'b', '2', eventual)])).toContain('not linearizable');
  expect(rulesOf([...history, read(20, 'ab', '2', eventual)])).toContain('torn value');
  // An audit of two states at once.
  const transfer = at(
    0,
    { kind: 'transfer', to: 'bob', amount: 10 },
    { use: 'account', key: 'alice', revision: '5', result: { alice: 90, bob: 60 } },
  );
  const audit = (alice: number, bob: number): HistoryEvent =>
    at(10, { kind: 'audit' }, { use: 'account', key: 'audit', ...eventual, result: { alice, bob, carol: 0 } });
  expect(rulesOf([transfer, audit(100, 50)])).toEqual([]);
  expect(rulesOf([transfer, audit(90, 60)])).toEqual([]);
  expect(rulesOf([transfer, audit(100, 60)])).toEqual(['not atomic']);
});

test('a bound on the age of an eventual read', () => {
  const history = [write(0, 'a', '1'), write(1000, 'b', '2')];
  const bounded: Given = { ...eventual, maxLagMs: 500 };
  expect(rulesOf([...history, read(1300, 'a', '1', bounded)])).toEqual([]);
  expect(rulesOf([...history, read(2000, 'b', '2', bounded)])).toEqual([]);
  expect(rulesOf([...history, read(2000, 'a', '1', bounded)])).toContain('staleness bound');
  expect(rulesOf([...history, read(2000, null, undefined, bounded)])).toContain('staleness bound');
});

test('revisions of a partition: one owner each, in the order of the writes of all its keys', () => {
  expect(rulesOf([write(0, 'a', '1'), write(10, 'b', '2', { key: 'y' })])).toEqual([]);
  expect(rulesOf([write(0, 'a', '2'), write(10, 'b', '1', { key: 'y' })])).toEqual(['revision order']);
  expect(rulesOf([write(0, 'a', '1'), write(0.5, 'b', '1', { key: 'y' })])).toEqual(['revision order']);
});

test('an entry whose time had come does not come back', () => {
  const e: Given = { use: 'expiring', key: 'e' };
  const expiring = at(0, { kind: 'writeExpiring', value: 'v', ttlMs: 1000 }, e);
  expect(rulesOf([expiring, read(900, null, undefined, e), read(1000, null, undefined, e)])).toEqual([]);
  expect(rulesOf([expiring, read(900, null, undefined, e), read(1000, 'v', '1', e)])).toContain('expiry');
  expect(rulesOf([expiring, read(900, null, undefined, e), read(1000, 'v', '1', { ...e, ...eventual })])).toEqual([]);
});

test('in every simulated history, a session that is shown what it knew to be outdated is found', () => {
  let damaged = 0;
  for (let seed = 1; damaged < 60 && seed < 2000; seed++) {
    const events = simulateHistory(seed, 150, 5);
    const writes = events.filter(
      ({ key, operation, outcome }) => key === 'r0' && operation.kind === 'write' && outcome === 'ok',
    );
    const [first, last] = [writes[0], writes.at(-1)];
    const reader = events.find(
      (event) =>
        event.key === 'r0' &&
        event.operation.kind === 'read' &&
        event.consistency === 'session' &&
        event.revision !== undefined &&
        BigInt(event.revision) > BigInt(first?.revision ?? 0),
    );
    if (first?.operation.kind !== 'write' || last === undefined || reader === undefined) continue;
    damaged++;
    const later = Math.max(...events.map(({ returnedMs }) => returnedMs)) + 1;
    const stale = read(later, first.operation.value, first.revision, { ...s, key: 'r0', session: reader.session! });
    const rules = rulesOf([...events, stale]);
    expect(rules.includes('monotonic reads') || rules.includes('read your writes'), `seed ${seed}`).toBe(true);
  }
  expect(damaged).toBe(60);
});
