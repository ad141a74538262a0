// Carrying out what a topology wants, as a person sees it: each change, each reason to wait once, and an end.
import type { CoordinatorStep, ReplicaChange, StepOutcome } from '@statestore/cluster';
import { describe, expect, test } from 'vitest';
import { runToEnd, seconds, stepsText } from './coordinate.ts';

const step = (kind: ReplicaChange['kind'], partition: number, node = 'n1'): CoordinatorStep => ({
  kind,
  partition,
  node,
});
const changed = (epoch: bigint, ...steps: readonly CoordinatorStep[]): StepOutcome => ({
  kind: 'changed',
  epoch,
  steps,
});
const waits = (why: string): StepOutcome => ({ kind: 'waiting', for: why });
const done: StepOutcome = { kind: 'done' };

/** Gives these outcomes in turn, the last one for ever. */
function coordinator(...outcomes: readonly StepOutcome[]) {
  const left = [...outcomes];
  return { step: () => Promise.resolve(left.length > 1 ? left.shift()! : left[0]!) };
}

const never = new AbortController().signal;

describe('a run', () => {
  test('tells changes, and what it waits for, once', async () => {
    const lines: string[] = [];
    await runToEnd({
      coordinator: coordinator(waits('a'), waits('a'), changed(2n, step('join', 0)), waits('a'), waits('b'), done),
      signal: never,
      timeout: undefined,
      print: (line) => lines.push(line),
    });
    expect(lines).toEqual(['waiting: a', 'epoch 2: n1 builds partition 0', 'waiting: a', 'waiting: b']);
  });

  test('goes on while something else is to come', async () => {
    const lines: string[] = [];
    const more = ['until n2 answers', 'until n2 answers', undefined];
    await runToEnd({
      coordinator: coordinator(done),
      signal: never,
      timeout: undefined,
      print: (line) => lines.push(line),
      stillWaitsFor: () => Promise.resolve(more.shift()),
    });
    expect(lines).toEqual(['waiting: until n2 answers']);
  });

  test('gives up where nothing changes, and says what it waited for', async () => {
    const run = runToEnd({ coordinator: coordinator(waits('x')), signal: never, timeout: 300, print: () => {} });
    await expect(run).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('it waits: x') as string,
    });
  });

  test('ends when it is interrupted', async () => {
    const interrupt = new AbortController();
    const run = runToEnd({
      coordinator: coordinator(waits('x')),
      signal: interrupt.signal,
      timeout: undefined,
      print: () => interrupt.abort(),
    });
    await expect(run).rejects.toMatchObject({ message: 'interrupted' });
  });

  test('passes on what is no matter of waiting', async () => {
    const broken = { step: () => Promise.reject(new Error('damaged')) };
    const run = runToEnd({ coordinator: broken, signal: never, timeout: undefined, print: () => {} });
    await expect(run).rejects.toThrow('damaged');
  });
});

test('steps are told in words, and many of them are counted', () => {
  const steps = (['join', 'promote', 'leave', 'stay', 'remove', 'prefer', 'join', 'join'] as const).map((kind, i) =>
    step(kind, i),
  );
  expect(stepsText(steps)).toBe(
    'n1 builds partition 0; n1 serves partition 1; n1 is to give up partition 2; n1 keeps partition 3; ' +
      'n1 has given up partition 4; n1 is preferred for partition 5; and 2 more',
  );
});

test('splits and merges are told, and their end', () => {
  const steps: CoordinatorStep[] = [
    { kind: 'split', partition: 0, into: 4 },
    { kind: 'merge', partition: 3, into: 2 },
    { kind: 'resized', partitions: 4 },
  ];
  expect(stepsText(steps)).toBe(
    'partition 0 is split, into 4; partition 3 is merged into 2; there are 4 partitions, as was asked for',
  );
});

test('times are given in seconds', () => {
  expect(seconds(300, '').schema.parse('2')).toBe(2000);
  expect(seconds(300, '').schema.parse(undefined)).toBe(300_000);
  expect(seconds(undefined, '').schema.parse(undefined)).toBeUndefined();
  expect(seconds(300, '').schema.safeParse('0').success).toBe(false);
});
