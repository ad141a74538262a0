// Bounds and refusals of apply that the property tests (test/sim) do not reach, and that verifyState
// notices damage of every kind of record.
import { describe, expect, test } from 'vitest';
import type { BinaryString } from '../binary-string.ts';
import { bytesFromBinary } from '../binary-string.ts';
import { encodeBatch } from '../codec/batch.ts';
import type { Command, Operation, Ttl } from '../command.ts';
import { timeMsMax } from '../keyspace/numbers.ts';
import { newStore } from '../keyspace/store.ts';
import * as limits from '../limits.ts';
import type { CommandResult } from '../result.ts';
import { applyBatch } from './apply.ts';
import { readEntry } from './read.ts';
import type { StateReader } from './state.ts';
import { loadState, newState } from './state.ts';
import { sweepIsDue } from './sweep.ts';
import { verifyState } from './verify.ts';

class Records implements StateReader {
  readonly map = new Map<BinaryString, Uint8Array>();
  get(key: BinaryString) {
    return this.map.get(key);
  }
  range({ start = '', end, limit = Infinity }: { start?: string; end?: string; limit?: number }) {
    return [...this.map]
      .map(([key, value]) => ({ key, value }))
      .filter(({ key }) => key >= start && (end === undefined || key < end))
      .toSorted((a, b) => (a.key < b.key ? -1 : 1))
      .slice(0, limit);
  }
  keys(range: { start?: string; end?: string; limit?: number }) {
    return this.range(range).map(({ key }) => key);
  }
}

function newReplica() {
  const records = new Records();
  const state = newState();
  let number = 0;
  /** Applies one batch at this time; returns its results. */
  const apply = (timeMs: number, ...commands: readonly Command[]): readonly CommandResult[] => {
    const bytes = encodeBatch({ partition: 0, proposer: 'proposer-0123456', number: ++number, commands });
    const applied = applyBatch(state, records, {
      position: state.position + 1n,
      timestampNanos: BigInt(timeMs) * 1_000_000n,
      bytes,
    });
    for (const [key, value] of applied.writes) {
      if (value === undefined) records.map.delete(key);
      else records.map.set(key, value);
    }
    return applied.results;
  };
  return { records, state, apply };
}

const put = (key: string, value: string | Uint8Array = 'v', ttl: Ttl = { kind: 'default' }): Operation => ({
  kind: 'put',
  key,
  condition: { kind: 'none' },
  value: typeof value === 'string' ? bytesFromBinary(value) : value,
  contentType: '',
  ttl,
});
const mutate = (store: string, ...operations: readonly Operation[]): Command => ({
  body: { kind: 'mutate', store, atomic: false, checks: [], operations },
});
const sweepAll: Command = { body: { kind: 'sweep', limit: 1000, changesKeptBytes: 0, countStore: '' } };
const session = (n: number): BinaryString => `session-${n}`.padEnd(16, '.');
const now = 1_700_000_000_000;

describe('bounds', () => {
  test('results that one session may have outstanding', () => {
    const { apply, state } = newReplica();
    const stamped = (counter: number, firstUnanswered = 0): Command => ({
      ...mutate('s', put('k')),
      stamp: { session: session(1), counter, firstUnanswered, opens: true },
    });
    const all = Array.from({ length: limits.sessionInFlightMax }, (_, i) => stamped(i + 1));
    expect(apply(now, ...all).every(({ code }) => code === 'done')).toBe(true);
    const { revision } = state;
    expect(apply(now, stamped(limits.sessionInFlightMax + 1))[0]!.code).toBe('overloaded');
    expect(state.revision).toBe(revision);
    // One that is remembered is still answered; and what was refused may be tried again once there is room.
    expect(apply(now, stamped(1))[0]!.code).toBe('done');
    expect(apply(now, stamped(limits.sessionInFlightMax + 1, 2))[0]!.code).toBe('done');
    expect(state.revision).toBe(revision + 1n);
  });

  test('sessions that a partition remembers', () => {
    const { apply, state } = newReplica();
    for (let i = 0; i < limits.sessionsMax; i++) {
      state.sessions.set(session(i), { firstUnanswered: 0, lastUsedMs: now, results: new Map() });
    }
    const stamp = { session: 'one-more-session', counter: 1, firstUnanswered: 0, opens: true };
    expect(apply(now, { ...mutate('s', put('k')), stamp })[0]!.code).toBe('overloaded');
    expect(state.revision).toBe(0n);
    apply(now + limits.deduplicationWindowMs, sweepAll);
    expect(apply(now, { ...mutate('s', put('k')), stamp })[0]!.code).toBe('done');
  });

  test('stores that a partition holds', () => {
    const { apply, state } = newReplica();
    for (let i = 0; i < limits.storesMax; i++) state.stores.set(`s${i}`, newStore(`s${i}`));
    const settings = { defaultTtlMs: 1, quotaEntries: undefined, quotaBytes: undefined };
    const configure = {
      kind: 'configure',
      store: 'more',
      settings,
      settingsVersion: 1,
      allowanceEntries: undefined,
      allowanceBytes: undefined,
    } as const;
    expect(apply(now, mutate('more', put('k')), { body: configure }).map(({ code }) => code)).toEqual([
      'too_many_stores',
      'too_many_stores',
    ]);
    expect(state.revision).toBe(0n);
    expect(apply(now, mutate('s0', put('k')))[0]!.operations[0]!.code).toBe('done');
  });

  test('size of a value, also of what append and merge patch make', () => {
    const { apply, state } = newReplica();
    const whole = new Uint8Array(limits.valueBytesMax);
    expect(apply(now, mutate('s', put('k', whole)))[0]!.operations[0]!.code).toBe('done');
    const more: Operation = { ...put('k', 'x'), kind: 'append' } as Operation;
    const patch = { kind: 'mergePatch', key: 'j', condition: { kind: 'none' }, ttl: { kind: 'never' } } as const;
    const large = bytesFromBinary(`{"a":"${'x'.repeat(limits.valueBytesMax)}"}`);
    const codes = apply(
      now,
      mutate('s', more, put('l', new Uint8Array(limits.valueBytesMax + 1)), { ...patch, value: large }),
    )[0]!.operations;
    expect(codes.map(({ code }) => code)).toEqual(Array(3).fill('value_would_be_too_large'));
    expect(state.revision).toBe(1n);
  });

  test('a time to live past every calendar neither wraps around nor harms the index', () => {
    const { apply, state, records } = newReplica();
    const [result] = apply(now, mutate('s', put('k', 'v', { kind: 'after', ms: Number.MAX_SAFE_INTEGER - now })));
    expect(result!.operations[0]!.expiresAtMs).toBe(timeMsMax);
    expect(readEntry(state, records, 's', 'k', now)?.expiresAtMs).toBe(timeMsMax);
    expect(verifyState(state, records)).toEqual([]);
  });
});

describe('time to live', () => {
  test('an entry is gone at its time, not before, by the state’s clock or the reader’s', () => {
    const { apply, state, records } = newReplica();
    apply(now, mutate('s', put('k', 'v', { kind: 'after', ms: 100 })));
    expect(readEntry(state, records, 's', 'k', now + 99)).toBeDefined();
    expect(readEntry(state, records, 's', 'k', now + 100)).toBeUndefined();
    apply(now + 99, { body: { kind: 'barrier' } });
    expect(readEntry(state, records, 's', 'k', 0)).toBeDefined();
    apply(now + 100, { body: { kind: 'barrier' } });
    expect(readEntry(state, records, 's', 'k', 0)).toBeUndefined();
    // The log's clock may run backwards; the state's does not, so what is gone stays gone.
    apply(now, { body: { kind: 'barrier' } });
    expect(readEntry(state, records, 's', 'k', 0)).toBeUndefined();
    expect(apply(now, mutate('s', { ...put('k'), condition: { kind: 'absent' } }))[0]!.operations[0]!.code).toBe(
      'done',
    );
  });
});

describe('a sweep', () => {
  test('is due exactly as long as one would remove something', () => {
    const { apply, state, records } = newReplica();
    const due = (timeMs: number) => sweepIsDue(state, records, timeMs, { changesKeptBytes: 1e9 });
    expect(due(now)).toBe(false);
    apply(now, mutate('s', put('k', 'v', { kind: 'after', ms: 100 })));
    expect([due(now + 99), due(now + 100)]).toEqual([false, true]);
    apply(now + 100, sweepAll);
    expect(due(now + 100)).toBe(false);
    apply(now + 100, mutate('s', put('k')), { body: { kind: 'clear', store: 's' } });
    expect(due(now + 100)).toBe(true);
    apply(now + 100, sweepAll);
    expect(due(now + 100)).toBe(false);
    const idempotency = { id: 'i'.repeat(16), fingerprint: 'f'.repeat(16) };
    const stamp = { session: session(1), counter: 1, firstUnanswered: 0, opens: true };
    apply(now + 100, { body: { kind: 'barrier' }, idempotency, stamp });
    const end = now + 100 + limits.deduplicationWindowMs;
    expect([due(end - 1), due(end)]).toEqual([false, true]);
    apply(end, sweepAll);
    expect(due(end)).toBe(false);
    expect([...records.map.keys()].filter((key) => !key.startsWith('\x02'))).toEqual(['\x01']);
  });
});

describe('a state that is loaded', () => {
  test('records without a head are damage, an empty engine is a new state', () => {
    const { apply, records } = newReplica();
    expect(loadState(records)).toEqual(newState());
    apply(now, mutate('s', put('k')));
    records.map.delete('\x01');
    expect(() => loadState(records)).toThrow(expect.objectContaining({ code: 'data_corrupt' }));
  });

  test.each(['\x01', '\x02s'])('damage of record %j is named as such', (key) => {
    const { apply, records } = newReplica();
    apply(now, mutate('s', put('k')));
    records.map.set(key, records.map.get(key)!.subarray(0, -1));
    expect(() => loadState(records)).toThrow(expect.objectContaining({ code: 'data_corrupt' }));
  });
});

describe('verifyState', () => {
  /** A state with every kind of record. */
  function rich() {
    const replica = newReplica();
    const stamp = { session: session(1), counter: 1, firstUnanswered: 0, opens: true };
    const idempotency = { id: 'i'.repeat(16), fingerprint: 'f'.repeat(16) };
    replica.apply(now, { ...mutate('s', put('k'), put('l', 'v', { kind: 'after', ms: 100 })), stamp, idempotency });
    replica.apply(now, mutate('gone', put('k'), put('l', 'v', { kind: 'after', ms: 100 })));
    replica.apply(now, { body: { kind: 'clear', store: 'gone' } });
    return replica;
  }

  test('finds nothing where all is well, also after loading', () => {
    const { state, records } = rich();
    expect(new Set([...records.map.keys()].map((key) => key.charCodeAt(0))).size).toBe(9);
    expect(verifyState(state, records)).toEqual([]);
    expect(verifyState(loadState(records), records)).toEqual([]);
    expect(verifyState(newState(), new Records())).toEqual([]);
  });

  test('notices every record that is missing', () => {
    const { state, records } = rich();
    // Entries of a cleared store that do not expire, and the index of those that do, need not be there.
    const ofCleared = (key: BinaryString) =>
      key.startsWith('\x10\0\0\0\x02k') || (key.startsWith('\x20') && key.endsWith('\x02l'));
    const needed = [...records.map.keys()].filter((key) => !ofCleared(key));
    expect(records.map.size - needed.length).toBe(2);
    const unnoticed: BinaryString[] = [];
    for (const key of needed) {
      const value = records.map.get(key)!;
      records.map.delete(key);
      if (verifyState(state, records).length === 0) unnoticed.push(key);
      records.map.set(key, value);
    }
    expect(unnoticed).toEqual([]);
    expect(verifyState(state, records)).toEqual([]);
  });

  test('notices every changed byte of a live entry, a store, a session and the head', () => {
    const { state, records } = rich();
    const unnoticed: string[] = [];
    for (const [key, value] of records.map) {
      if (!['\x01', '\x02', '\x40', '\x10\0\0\0\x01'].some((prefix) => key.startsWith(prefix))) continue;
      for (let at = 0; at < value.length; at++) {
        const changed = value.slice();
        changed[at] = changed[at]! ^ 1;
        records.map.set(key, changed);
        if (verifyState(state, records).length === 0) unnoticed.push(`${key} byte ${at}`);
      }
      records.map.set(key, value);
    }
    expect(unnoticed).toEqual([]);
  });

  test('notices records that should not be there', () => {
    const surplus = [
      '\x02t',
      '\x10\0\0\0\x01m',
      '\x10\0\0\0\x09m',
      '\x20\0\0\0\0\0\x01\0\0\0\x01k',
      '\x42\0\0\0\0\0\x01x',
      '\x50',
      '\x01\0',
    ];
    const unnoticed: BinaryString[] = [];
    for (const key of surplus) {
      const { state, records } = rich();
      records.map.set(key, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1));
      if (verifyState(state, records).length === 0) unnoticed.push(key);
    }
    expect(unnoticed).toEqual([]);
  });
});
