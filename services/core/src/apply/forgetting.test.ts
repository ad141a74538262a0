// Exactly once whatever the log's clock does: apply forgets by a sweep alone, and a sweep forgets what whoever
// appended it says, not what the state's clock would have it forget.
import { describe, expect, test } from 'vitest';
import type { BinaryString } from '../binary-string.ts';
import { encodeBatch } from '../codec/batch.ts';
import type { Command, CommandBody } from '../command.ts';
import { defaultTtl, noCondition } from '../command.ts';
import { deduplicationWindowMs as window, sessionsMax } from '../limits.ts';
import type { CommandResult } from '../result.ts';
import { applyBatch } from './apply.ts';
import type { StateRange, StateReader } from './state.ts';
import { newState } from './state.ts';
import { sweepIsDue } from './sweep.ts';
import { verifyState } from './verify.ts';

class Records implements StateReader {
  readonly map = new Map<BinaryString, Uint8Array>();
  get(key: BinaryString) {
    return this.map.get(key);
  }
  range({ start = '', end, limit = Infinity }: StateRange) {
    return [...this.map]
      .map(([key, value]) => ({ key, value }))
      .filter(({ key }) => key >= start && (end === undefined || key < end))
      .toSorted((a, b) => (a.key < b.key ? -1 : 1))
      .slice(0, limit);
  }
  keys(range: StateRange) {
    return this.range(range).map(({ key }) => key);
  }
}

function newReplica() {
  const records = new Records();
  const state = newState();
  const apply = (timeMs: number, command: Command): CommandResult => {
    const number = Number(state.position) + 1;
    const bytes = encodeBatch({ partition: 0, proposer: 'proposer-0123456', number, commands: [command] });
    const timestampNanos = BigInt(timeMs) * 1_000_000n;
    const { writes, results } = applyBatch(state, records, { position: BigInt(number), timestampNanos, bytes });
    for (const [key, value] of writes) {
      if (value === undefined) records.map.delete(key);
      else records.map.set(key, value);
    }
    expect(verifyState(state, records)).toEqual([]);
    return results[0]!;
  };
  return { state, records, apply };
}

const operation = { kind: 'increment', key: 'k', delta: 1n, condition: noCondition, ttl: defaultTtl } as const;
const body: CommandBody = { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] };
const sweep = { kind: 'sweep', limit: 1000, changesKeptBytes: 1e6, countStore: '' } as const;
const sweepBefore = (forgetBeforeMs: number): Command => ({ body: { ...sweep, forgetBeforeMs } });
const now = 1_700_000_000_000;
const hour = 3_600_000;
const commands: [string, Command][] = [
  ['an idempotency key', { idempotency: { id: 'i'.repeat(16), fingerprint: 'f'.repeat(16) }, body }],
  [
    'the first command of a session',
    { stamp: { session: 's'.repeat(16), counter: 1, firstUnanswered: 1, opens: true }, body },
  ],
];

describe.each(commands)('%s', (_, command) => {
  test('is remembered over a leader whose clock is an hour ahead', () => {
    const { apply } = newReplica();
    const first = apply(now, command);
    expect(apply(now + hour, command)).toEqual(first);
    // What the proposer knows to be long ago is what it saw before.
    expect(apply(now + hour, sweepBefore(now)).removed).toBe(0);
    expect(apply(now + hour + 1, command)).toEqual(first);
  });

  test('is forgotten by a sweep that tells of a later time, and only then', () => {
    const { apply, state, records } = newReplica();
    const due = (forgetBeforeMs: number) =>
      sweepIsDue(state, records, now + hour, { changesKeptBytes: 1e6, forgetBeforeMs });
    apply(now, command);
    apply(now + 1, { body: { kind: 'barrier' } });
    for (const forgetBeforeMs of [0, 1, now]) {
      expect(due(forgetBeforeMs)).toBe(false);
      expect(apply(now + 1, sweepBefore(forgetBeforeMs)).removed).toBe(0);
    }
    expect(due(now + 1)).toBe(true);
    expect(apply(now + 1, sweepBefore(now + 1)).removed).toBe(1);
    expect(due(now + 1)).toBe(false);
    expect(apply(now + 1, command).operations[0]!.number).toBe(2n);
  });

  test('stays where the clock stands still at the time when it was judged, whatever is asked', () => {
    const { apply, state, records } = newReplica();
    apply(now + hour, { body: { kind: 'barrier' } });
    const first = apply(now, command);
    const changesKeptBytes = 1e6;
    for (const forgetBeforeMs of [now + hour, now + 2 * hour, Number.MAX_SAFE_INTEGER]) {
      expect(sweepIsDue(state, records, now + 2 * hour, { changesKeptBytes, forgetBeforeMs })).toBe(false);
      expect(apply(now, sweepBefore(forgetBeforeMs)).removed).toBe(0);
    }
    expect(apply(now, command)).toEqual(first);
  });

  test('a sweep of an older version forgets by the clock', () => {
    const { apply } = newReplica();
    apply(now, command);
    expect(apply(now + window - 1, { body: sweep }).removed).toBe(0);
    expect(apply(now + window, { body: sweep }).removed).toBe(1);
  });
});

test('a session that is used stays, and entries go by the clock of the state', () => {
  const { apply, state } = newReplica();
  const stamped = (counter: number): Command => ({
    stamp: { session: 's'.repeat(16), counter, firstUnanswered: counter, opens: counter === 1 },
    body: { ...body, operations: [{ ...operation, ttl: { kind: 'after', ms: 50 } }] },
  });
  apply(now, stamped(1));
  apply(now + 100, stamped(2));
  expect(state.sessions.get('s'.repeat(16))!.lastUsedMs).toBe(now + 100);
  expect(apply(now + 200, sweepBefore(now + 100))).toMatchObject({ removed: 1, count: 1 });
  expect(state.sessions.size).toBe(1);
});

test('where sessions are as many as may be, a sweep that tells of a later time makes room', () => {
  const { apply, state, records } = newReplica();
  apply(now, commands[1]![1]);
  const [known] = state.sessions.values();
  const [, bytes] = [...records.map].find(([key]) => key.startsWith('\x40'))!;
  for (let i = 1; i < sessionsMax; i++) {
    const id = `session-${i}`.padEnd(16, '.');
    state.sessions.set(id, { ...known!, results: new Map(known!.results) });
    records.map.set(`\x40${id}`, bytes);
  }
  const stamp = { session: 'one-more-session', counter: 1, firstUnanswered: 1, opens: true };
  expect(apply(now + hour, { stamp, body }).code).toBe('overloaded');
  expect(apply(now + hour, sweepBefore(now)).removed).toBe(0);
  expect(apply(now + hour, { stamp, body }).code).toBe('overloaded');
  expect(apply(now + hour, sweepBefore(now + 1))).toMatchObject({ removed: 1000, more: true });
  expect(apply(now + hour, { stamp, body }).code).toBe('done');
});
