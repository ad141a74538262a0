// Apply against the naive model and against itself: any commands, any batching, any crash and replay.
import type { BatchRecord, CommandResult } from '@statestore/core';
import { applyBatch, decodeBatch, limits, verifyState } from '@statestore/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { command, steps } from './arbitrary-commands.ts';
import { Model } from './model.ts';
import type { Apply } from './replica.ts';
import { logOf, Replica } from './replica.ts';
import { expectSameReads, expectSameState } from './same-as-model.ts';
import { SortedMap } from './sorted-map.ts';

const numRuns = 400;

/** Runs the whole comparison; throws where apply is not what the model says. */
function expectModelAgrees(log: readonly BatchRecord[], apply: Apply): void {
  const replica = new Replica(new SortedMap(), apply);
  const model = new Model();
  for (const record of log) {
    const { results, changes } = replica.apply(record);
    expect(results).toEqual(
      model.applyBatch(record.position, record.timestampNanos, decodeBatch(record.bytes).commands),
    );
    expect(changes).toEqual(model.changes);
    expectSameState(replica, model);
    expect(verifyState(replica.state, replica.records)).toEqual([]);
  }
  expectSameReads(replica, model);
}

describe('apply', () => {
  test('is what the naive model says; counters, hashes and indexes follow from the records', () => {
    fc.assert(
      fc.property(steps(), (some) => expectModelAgrees(logOf(some), applyBatch)),
      { numRuns },
    );
  });

  test('after a crash at any point, replay from any flush gives the same state, results and records', () => {
    fc.assert(
      fc.property(steps(), fc.nat(), fc.nat(), (some, flushAt, crashAt) => {
        const log = logOf(some);
        const whole = new Replica();
        const results = log.map((record) => whole.apply(record).results);
        const crashed = crashAt % (log.length + 1);
        const flushed = flushAt % (crashed + 1);
        const first = new Replica();
        for (const record of log.slice(0, flushed)) first.apply(record);
        const onDisk = first.records.copy();
        for (const record of log.slice(flushed, crashed)) first.apply(record);
        const second = new Replica(onDisk);
        const again = log.slice(flushed).map((record) => second.apply(record).results);
        expect(again).toEqual(results.slice(flushed));
        expect(second.fingerprint()).toEqual(whole.fingerprint());
      }),
      { numRuns },
    );
  });

  test('does not depend on how commands are put into batches', () => {
    fc.assert(
      // Change records are of batches, so a sweep of them would tell: none is swept here.
      fc.property(steps(command(fc.constant(1e9))), (some) => {
        const joined = new Replica();
        const split = new Replica();
        const results = logOf(some).flatMap((record) => joined.apply(record).results);
        const single = some.flatMap(({ elapsedMs, commands }) =>
          commands.map((one, i) => ({ elapsedMs: i === 0 ? elapsedMs : 0, commands: [one] })),
        );
        const splitResults: CommandResult[] = logOf(single).flatMap((record) => split.apply(record).results);
        expect(splitResults).toEqual(results);
        expect(withoutBatches(split)).toEqual(withoutBatches(joined));
      }),
      { numRuns },
    );
  });

  test('refuses a batch out of order and stays as it was', () => {
    const [first, second] = logOf([
      { elapsedMs: 0, commands: [{ body: { kind: 'barrier' } }] },
      { elapsedMs: 0, commands: [{ body: { kind: 'barrier' } }] },
    ]);
    const replica = new Replica();
    expect(() => replica.apply(second!)).toThrow(expect.objectContaining({ code: 'data_corrupt' }));
    replica.apply(first!);
    const before = replica.fingerprint();
    expect(() => replica.apply(first!)).toThrow(expect.objectContaining({ code: 'data_corrupt' }));
    expect(() => replica.apply({ ...second!, bytes: second!.bytes.subarray(0, 9) })).toThrow(
      expect.objectContaining({ code: 'data_corrupt' }),
    );
    expect(replica.fingerprint()).toEqual(before);
  });
});

/** The state without positions, chain and change records, which are of batches. */
function withoutBatches(replica: Replica): unknown {
  const { stores: byName, sessions, revision, entries, bytes, expired, clockNanos, stateHash } = replica.state;
  const isOfBatches = (key: string): boolean => key === '\x01' || key.startsWith('\x30');
  const records = [...replica.records.range({})].filter(({ key }) => !isOfBatches(key));
  return { byName, sessions, revision, entries, bytes, expired, clockNanos, stateHash: [...stateHash], records };
}

/** Faults that one could make. The comparison above must notice each of them soon. */
const faults: Readonly<Record<string, Apply>> = {
  'a write that is dropped': (state, reader, record) => {
    const applied = applyBatch(state, reader, record);
    const writes = new Map(applied.writes);
    const lost = [...writes.keys()].find((key) => key.startsWith('\x10'));
    if (lost !== undefined) writes.delete(lost);
    return { ...applied, writes };
  },
  'an index entry that stays behind': (state, reader, record) => {
    const applied = applyBatch(state, reader, record);
    return {
      ...applied,
      writes: new Map([...applied.writes].filter(([key, value]) => !(key.startsWith('\x20') && value === undefined))),
    };
  },
  'a batch that is applied twice': (state, reader, record) => {
    const { position } = state;
    const applied = applyBatch(state, reader, record);
    state.position = position;
    const layered = {
      get: (key: string) => (applied.writes.has(key) ? applied.writes.get(key) : reader.get(key)),
      range: reader.range.bind(reader),
      keys: reader.keys.bind(reader),
    };
    const again = applyBatch(state, layered, record);
    return { ...again, writes: new Map([...applied.writes, ...again.writes]) };
  },
  'a revision that does not advance': (state, reader, record) => {
    const { revision } = state;
    const applied = applyBatch(state, reader, record);
    if (applied.changes.length > 1) state.revision = revision + BigInt(applied.changes.length) - 1n;
    return applied;
  },
  'a clock that runs backwards': (state, reader, record) => {
    state.clockNanos = 0n;
    return applyBatch(state, reader, record);
  },
  'a result that is forgotten': (state, reader, record) => {
    for (const session of state.sessions.values()) session.results.clear();
    return applyBatch(state, reader, record);
  },
  'a result that is forgotten by the clock': (state, reader, record) => {
    const clockMs = Number(state.clockNanos > record.timestampNanos ? state.clockNanos : record.timestampNanos) / 1e6;
    for (const [id, { lastUsedMs }] of state.sessions)
      if (lastUsedMs + limits.deduplicationWindowMs <= clockMs) state.sessions.delete(id);
    return applyBatch(state, reader, record);
  },
  'a counter that drifts': (state, reader, record) => {
    const applied = applyBatch(state, reader, record);
    if (applied.changes.some(({ kind }) => kind === 'delete')) state.bytes++;
    return applied;
  },
  'a hash that misses an effect': (state, reader, record) => {
    const before = state.stateHash.slice();
    const applied = applyBatch(state, reader, record);
    if (applied.changes.some(({ kind }) => kind === 'expire')) state.stateHash.set(before);
    return applied;
  },
};

describe('the comparison notices', () => {
  test.each(Object.entries(faults))('%s', (_, faulty) => {
    const outcome = fc.check(
      fc.property(steps(), (some) => expectModelAgrees(logOf(some), faulty)),
      { numRuns, endOnFailure: true },
    );
    expect(outcome.failed).toBe(true);
    expect(outcome.numRuns).toBeLessThan(numRuns / 2);
  });
});
