// Proves the checker: valid histories pass, and each kind of damage is found in every history in which
// real time makes it damage for certain.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Violation } from './checker/violation.ts';
import { checkHistory } from './history-checker.ts';
import type { HistoryEvent, Listed } from './history.ts';
import type { SimulatedEvent } from './simulated-history.ts';
import { simulateHistory, simulatedAccounts } from './simulated-history.ts';

const seeds = fc.integer({ min: 0, max: 2 ** 31 });
const check = (events: readonly HistoryEvent[]): Violation[] => checkHistory(events, { accounts: simulatedAccounts });
const rulesOf = (events: readonly HistoryEvent[]): string[] =>
  [...new Set(check(events).map(({ rule }) => rule))].toSorted();

test('histories of a perfect store pass, however operations overlap', () => {
  fc.assert(
    fc.property(
      seeds,
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 8 }),
      (seed, operations, clients) => {
        expect(check(simulateHistory(seed, operations, clients))).toEqual([]);
      },
    ),
    { numRuns: 300 },
  );
});

test('one seed gives one history', () => {
  expect(simulateHistory(7, 100, 4)).toEqual(simulateHistory(7, 100, 4));
});

/** Damages many histories; those where `damage` finds no place (undefined) do not count. */
function everyDamaged(damage: (events: readonly SimulatedEvent[]) => HistoryEvent[] | undefined): string[][] {
  const found: string[][] = [];
  for (let seed = 1; found.length < 60 && seed < 4000; seed++) {
    const damaged = damage(simulateHistory(seed, 150, 5));
    if (damaged === undefined) continue;
    const rules = rulesOf(damaged);
    expect(rules, `seed ${seed}`).not.toEqual([]);
    found.push(rules);
  }
  expect(found.length).toBe(60);
  return found;
}

const isRead = ({ operation, outcome }: HistoryEvent): boolean => operation.kind === 'read' && outcome === 'ok';

/** What a read showed; empty where there was no entry. */
const textOf = ({ result }: HistoryEvent): string => (typeof result === 'string' ? result : '');

/** Changes of a register in the order of their effects. */
function changesOf(events: readonly SimulatedEvent[], key: string): SimulatedEvent[] {
  return events
    .filter(
      (event) => event.key === key && !isRead(event) && event.outcome !== 'conflict' && event.effectMs !== undefined,
    )
    .toSorted((a, b) => a.effectMs! - b.effectMs!);
}

const valueOf = ({ operation }: HistoryEvent): string | null =>
  operation.kind === 'write' || operation.kind === 'compareAndSet' ? operation.value : null;

/** `read` as if it had shown what `change` left. */
function showing(read: HistoryEvent, change: HistoryEvent): HistoryEvent {
  const { revision: _, ...rest } = read;
  return { ...rest, result: valueOf(change), ...(change.revision !== undefined && { revision: change.revision }) };
}

/** Every reader of `last` sees `old` in its place, listings included. */
function replaced(events: readonly SimulatedEvent[], last: HistoryEvent, old: HistoryEvent): HistoryEvent[] {
  const entry: Listed = ['r0', valueOf(old)!, old.revision!];
  return events.map((event) => {
    if (event.key === 'r0' && isRead(event) && event.result === valueOf(last)) return showing(event, old);
    if (event.operation.kind !== 'scan') return event;
    const listed = event.result as readonly Listed[];
    return { ...event, result: listed.map((one) => (one[1] === valueOf(last) ? entry : one)) };
  });
}

/** The last acknowledged write of a register, and one that had returned before it was invoked. */
function lastTwo(events: readonly SimulatedEvent[]): { old: SimulatedEvent; last: SimulatedEvent } | undefined {
  const changes = changesOf(events, 'r0');
  const last = changes.at(-1);
  const old = changes.findLast(({ outcome, returnedMs }) => outcome === 'ok' && returnedMs < (last?.invokedMs ?? 0));
  if (last?.outcome !== 'ok' || valueOf(last) === null || old === undefined || valueOf(old) === null) return undefined;
  return { old, last };
}

describe('injected damage is found', () => {
  test('a lost write: acknowledged, and every read shows the one before', () => {
    const found = everyDamaged((events) => {
      const pair = lastTwo(events);
      if (pair === undefined) return undefined;
      return replaced(events, pair.last, pair.old);
    });
    for (const rules of found) expect(rules).toContain('lost write');
  });

  test('a stale read: one read shows an older value, others the newer one', () => {
    const found = everyDamaged((events) => {
      const pair = lastTwo(events);
      if (pair === undefined) return undefined;
      const { old, last } = pair;
      const read: HistoryEvent = {
        client: 9,
        use: 'register',
        key: 'r0',
        operation: { kind: 'read' },
        outcome: 'ok',
        invokedMs: last.returnedMs + 0.001,
        returnedMs: last.returnedMs + 0.002,
      };
      return [...events, showing(read, old)];
    });
    for (const rules of found) expect(rules).toContain('stale read');
  });

  test('a stale read that only two readers together prove', () => {
    // Both writes overlap both reads, so each read alone is fine; the order of the two reads is not.
    const write = (value: string): HistoryEvent => ({
      client: 1,
      use: 'register',
      key: 'r',
      operation: { kind: 'write', value },
      invokedMs: value === 'a' ? 0 : 2,
      returnedMs: value === 'a' ? 1 : 10,
      outcome: 'ok',
    });
    const read = (result: string, atMs: number): HistoryEvent => ({
      client: 2,
      use: 'register',
      key: 'r',
      operation: { kind: 'read' },
      invokedMs: atMs,
      returnedMs: atMs + 1,
      outcome: 'ok',
      result,
    });
    expect(rulesOf([write('a'), write('b'), read('a', 3), read('b', 5)])).toEqual([]);
    expect(rulesOf([write('a'), write('b'), read('b', 3), read('a', 5)])).toEqual(['not linearizable']);
  });

  test('a compare-and-set that succeeded against another value', () => {
    everyDamaged((events) => {
      const wrong = events.findLast(
        ({ key, operation, outcome }) => key === 'r0' && operation.kind === 'compareAndSet' && outcome === 'ok',
      );
      const other = changesOf(events, 'r0').find(
        (change) => valueOf(change) !== null && wrong !== undefined && change.effectMs! < wrong.invokedMs - 100,
      );
      if (wrong?.operation.kind !== 'compareAndSet' || other === undefined) return undefined;
      const expected = valueOf(other)!;
      // Another one must certainly have come between.
      const between = changesOf(events, 'r0').some(
        ({ outcome, invokedMs, returnedMs }) =>
          outcome === 'ok' && invokedMs > other.returnedMs && returnedMs < wrong.invokedMs,
      );
      if (!between || other.outcome !== 'ok' || expected === wrong.operation.expected) return undefined;
      const operation = { ...wrong.operation, expected };
      return events.map((event) => (event === wrong ? { ...event, operation } : event));
    });
  });

  test('a torn value', () => {
    const found = everyDamaged((events) => {
      const read = events.find((event) => isRead(event) && event.use !== 'counter' && event.result !== null);
      if (read === undefined) return undefined;
      const torn = `${textOf(read).slice(0, -1)}?`;
      return events.map((event) => (event === read ? { ...event, result: torn } : event));
    });
    for (const rules of found) expect(rules).toContain('torn value');
  });

  test('a doubled append', () => {
    const found = everyDamaged((events) => {
      const longest = events.findLast((event) => event.key === 'l0' && isRead(event));
      const token = longest === undefined ? undefined : /t\d+;/.exec(textOf(longest))?.[0];
      if (token === undefined) return undefined;
      // From the first one on, everybody sees it twice.
      return events.map((event) =>
        event.key === 'l0' && isRead(event) && event.result !== null
          ? { ...event, result: textOf(event).replace(token, token + token) }
          : event,
      );
    });
    for (const rules of found) expect(rules).toContain('applied twice');
  });

  test('a doubled increment', () => {
    const found = everyDamaged((events) => {
      const increments = events.filter(({ use, operation }) => use === 'counter' && operation.kind === 'increment');
      const doubled = increments.find(({ outcome }) => outcome === 'ok');
      // An unknown increment could explain the surplus.
      if (doubled?.operation.kind !== 'increment' || increments.some(({ outcome }) => outcome === 'unknown'))
        return undefined;
      const { amount } = doubled.operation;
      return events.map((event) => {
        const isAfter = event.key === 'c0' && event.outcome === 'ok' && event.effectMs! > doubled.effectMs!;
        if (!isAfter) return event;
        const result = Number(event.result) + amount;
        return { ...event, result: event.operation.kind === 'read' ? String(result) : result };
      });
    });
    for (const rules of found) expect(rules).toContain('applied twice');
  });

  test('a lost increment', () => {
    everyDamaged((events) => {
      const last = changesOf(events, 'c0').at(-1);
      if (last?.outcome !== 'ok' || last.operation.kind !== 'increment') return undefined;
      const { amount } = last.operation;
      return events.map((event) =>
        event.key === 'c0' && isRead(event) && Number(event.result) === last.result
          ? { ...event, result: String(Number(event.result) - amount) }
          : event,
      );
    });
  });

  test('half a transaction', () => {
    const found = everyDamaged((events) => {
      const transfer = events.find(({ operation, outcome }) => operation.kind === 'transfer' && outcome === 'ok');
      if (transfer?.operation.kind !== 'transfer') return undefined;
      const { to, amount } = transfer.operation;
      return events.map((event) => {
        if (event.operation.kind !== 'audit' || event.effectMs! < transfer.effectMs!) return event;
        const balances = event.result as Record<string, number>;
        return { ...event, result: { ...balances, [to]: balances[to]! - amount } };
      });
    });
    for (const rules of found) expect(rules).toContain('not atomic');
  });

  test('a transfer that was applied twice keeps the sum and is found all the same', () => {
    everyDamaged((events) => {
      const transfer = events.findLast(({ operation, outcome }) => operation.kind === 'transfer' && outcome === 'ok');
      const hasUnknown = events.some(
        ({ operation, outcome }) => operation.kind === 'transfer' && outcome === 'unknown',
      );
      if (transfer?.operation.kind !== 'transfer' || hasUnknown) return undefined;
      const { to, amount } = transfer.operation;
      return events.map((event) => {
        if (event.operation.kind !== 'audit' || event.effectMs! < transfer.effectMs!) return event;
        const balances = event.result as Record<string, number>;
        const { key } = transfer;
        return { ...event, result: { ...balances, [key]: balances[key]! - amount, [to]: balances[to]! + amount } };
      });
    });
  });

  test('a revision that runs backwards, and one that two changes share', () => {
    const found = everyDamaged((events) => {
      const changes = changesOf(events, 'r0').filter(
        ({ outcome, revision }) => outcome === 'ok' && revision !== undefined,
      );
      const last = changes.at(-1);
      const first = changes[0];
      if (first === undefined || last === undefined || first.returnedMs >= last.invokedMs) return undefined;
      return events.map((event) => (event === last ? { ...event, revision: first.revision! } : event));
    });
    for (const rules of found) expect(rules).toContain('revision order');
  });
});

describe('entries with a time to live', () => {
  const write: HistoryEvent = {
    client: 1,
    use: 'expiring',
    key: 'e',
    operation: { kind: 'writeExpiring', value: 'v', ttlMs: 1000 },
    invokedMs: 0,
    returnedMs: 10,
    outcome: 'ok',
  };
  const read = (atMs: number, result: string | null): HistoryEvent => ({
    ...write,
    operation: { kind: 'read' },
    invokedMs: atMs,
    returnedMs: atMs + 5,
    result,
  });

  test('there until then, gone afterwards', () => {
    expect(rulesOf([write, read(20, 'v'), read(990, 'v'), read(1000, null), read(2000, null)])).toEqual([]);
    expect(rulesOf([write, read(20, null)])).toEqual(['lost write']);
    expect(rulesOf([write, read(2000, 'v')])).toEqual(['expiry']);
    expect(rulesOf([write, read(20, 'w')])).toEqual(['torn value']);
  });
});
