import { limits } from '@statestore/core';
import { beforeEach, expect, test } from 'vitest';
import { BatchRhythm } from './batch-rhythm.ts';
import type { Time } from './time.ts';

let timers: { ms: number; run: () => void }[];
let due: number;
let rhythm: BatchRhythm;

beforeEach(() => {
  timers = [];
  due = 0;
  const time = {
    after: (ms: number, run: () => void) => {
      const timer = { ms, run };
      timers.push(timer);
      return { cancel: () => void (timers = timers.filter((each) => each !== timer)) };
    },
  } as unknown as Time;
  rhythm = new BatchRhythm(time, () => void due++);
});

test('nobody waits: nothing is due', () => {
  expect(rhythm.isDue(0)).toBe(false);
});

test('where nothing is under way and nobody is expected, the first one begins', () => {
  expect(rhythm.isDue(1)).toBe(true);
});

test('those whom the last answer released are waited for, a moment', () => {
  rhythm.began();
  rhythm.ended(100, 0);
  expect(rhythm.isDue(74)).toBe(false);
  expect(rhythm.isDue(74)).toBe(false);
  expect(timers.map(({ ms }) => ms)).toEqual([limits.gatherMsMax]);
  expect(rhythm.isDue(75)).toBe(true);
  timers[0]!.run();
  expect(due).toBe(1);
  expect(rhythm.isDue(1)).toBe(true);
  rhythm.began();
  rhythm.ended(1, 1);
  // The crowd went away: nobody waits for it.
  expect(rhythm.isDue(1)).toBe(true);
});

test('the wait ends with the batch that it was for', () => {
  rhythm.began();
  rhythm.ended(100, 0);
  expect(rhythm.isDue(1)).toBe(false);
  rhythm.began();
  expect(timers).toEqual([]);
  rhythm.ended(80, 0);
  expect(rhythm.isDue(1)).toBe(false);
  expect(timers).toHaveLength(1);
});

test('while a batch is under way no other one begins, however many wait', () => {
  rhythm.began();
  expect(rhythm.isDue(10_000)).toBe(false);
  expect(timers).toEqual([]);
  rhythm.ended(1, 10_000);
  expect(rhythm.isDue(10_000)).toBe(true);
});
