// Splits and merges at any point of any stream of commands: the partitions together are the store that was never split,
// each is what the naive model says, foreign records in an engine change nothing whatsoever, and a log gives the same again.
import type { Command } from '@statestore/core';
import { applyBatch, decodeBatch, headKey } from '@statestore/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { headOf } from '../../services/core/src/apply/state.ts';
import { command } from './arbitrary-commands.ts';
import { PartitionWorld } from './partition-world.ts';
import type { Apply } from './replica.ts';

const numRuns = 150;

type Action =
  | { readonly kind: 'batch'; readonly at: number; readonly elapsedMs: number; readonly commands: readonly Command[] }
  | { readonly kind: 'split' | 'merge'; readonly at: number; readonly choice: number }
  | { readonly kind: 'step' | 'keep' | 'give up' }
  | { readonly kind: 'disturb' | 'tidy' | 'late'; readonly at: number };

const at = fc.nat(30);
const some = command();
const withEpoch: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: some },
  {
    weight: 1,
    arbitrary: fc.tuple(some, fc.bigInt({ min: 0n, max: 4n })).map(([one, slotsEpoch]) => ({ ...one, slotsEpoch })),
  },
);
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('batch' as const),
      at,
      elapsedMs: fc.oneof(fc.constant(0), fc.integer({ min: -300, max: 900 })),
      commands: fc.array(withEpoch, { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('split' as const), at, choice: fc.nat(1 << 16) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('merge' as const), at, choice: fc.nat(1 << 16) }) },
  { weight: 9, arbitrary: fc.constant({ kind: 'step' as const }) },
  { weight: 1, arbitrary: fc.constantFrom({ kind: 'keep' as const }, { kind: 'give up' as const }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('disturb' as const), at: fc.nat(1 << 20) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('tidy' as const, 'late' as const), at }) },
);
const actions = fc.array(action, { maxLength: 50, size: 'max' });

function run(world: PartitionWorld, one: Action): void {
  switch (one.kind) {
    case 'batch':
      return void world.batch(world.at(one.at), one.elapsedMs, one.commands);
    case 'split':
    case 'merge':
      return world.begin(one.kind, one.at, one.choice);
    case 'step':
      return world.step();
    case 'keep':
      return world.unfence(false);
    case 'give up':
      return world.unfence(true);
    case 'disturb':
      return world.disturb(world.at(one.at), one.at);
    case 'tidy':
      return world.tidy(world.at(one.at));
    case 'late':
      return world.late(one.at);
  }
}

function runAll(all: readonly Action[], apply?: Apply): PartitionWorld {
  const world = new PartitionWorld(apply);
  for (const one of all) run(world, one);
  world.end();
  return world;
}

describe('partitions that split and merge', () => {
  test('are one store together, and each is what its log says', { timeout: 240_000 }, () => {
    const done = { split: 0, merge: 0, unfence: 0 };
    fc.assert(
      fc.property(actions, (all) => {
        const world = runAll(all);
        for (const kind of ['split', 'merge', 'unfence'] as const) done[kind] += world.done[kind];
      }),
      { numRuns },
    );
    expect(done.split).toBeGreaterThan(numRuns / 2);
    expect(done.merge).toBeGreaterThan(numRuns / 5);
    expect(done.unfence).toBeGreaterThan(numRuns / 10);
  });
});

/** Faults that one could make. The world above must notice each of them soon. */
const faults: Readonly<Record<string, Apply>> = {
  'a sweep that takes foreign records for its own': (state, reader, record) => {
    const { slots } = state;
    const isSweep = decodeBatch(record.bytes).commands.some(({ body }) => body.kind === 'sweep');
    if (!isSweep || state.fenced !== undefined) return applyBatch(state, reader, record);
    state.slots = undefined;
    const applied = applyBatch(state, reader, record);
    state.slots ??= slots;
    return { ...applied, writes: new Map([...applied.writes, [headKey, headOf(state)]]) };
  },
  'a sweep under a fence': (state, reader, record) => {
    const { fenced } = state;
    const all = decodeBatch(record.bytes).commands;
    if (!all.every(({ body }) => body.kind === 'sweep')) return applyBatch(state, reader, record);
    state.fenced = undefined;
    const applied = applyBatch(state, reader, record);
    state.fenced = fenced;
    return { ...applied, writes: new Map([...applied.writes, [headKey, headOf(state)]]) };
  },
  'a fence that does not last': (state, reader, record) => {
    if (state.fenced !== undefined) state.fenced = { ...state.fenced, slots: [] };
    return applyBatch(state, reader, record);
  },
  'a hand-over that nobody is told of': (state, reader, record) => {
    const { slots } = state;
    const applied = applyBatch(state, reader, record);
    if (slots !== undefined && state.slots !== slots) state.slots = slots;
    return applied;
  },
  'a clock that the fence does not move': (state, reader, record) => {
    const { fenced } = state;
    const applied = applyBatch(state, reader, record);
    if (fenced === undefined && state.fenced !== undefined) state.clockNanos -= 1_000_000n;
    return applied;
  },
  'an absorb that forgets what it was of': (state, reader, record) => {
    const applied = applyBatch(state, reader, record);
    if (state.ended !== undefined && state.ended.fenced === undefined) state.ended = undefined;
    return applied;
  },
};

describe('the world notices', () => {
  test.each(Object.entries(faults))('%s', { timeout: 120_000 }, (_, faulty) => {
    const outcome = fc.check(
      fc.property(actions, (all) => void runAll(all, faulty)),
      { numRuns, endOnFailure: true },
    );
    expect(outcome.failed).toBe(true);
  });
});
