// The expected end of a resize: from how fast slots went lately.
import { expect, test } from 'vitest';
import { ResizePace } from './resize-pace.ts';

test('is told by how much got done while it was watched', () => {
  const pace = new ResizePace();
  expect(pace.remainingMs(1000, 0)).toBeUndefined();
  expect(pace.remainingMs(900, 1000)).toBeUndefined();
  expect(pace.remainingMs(600, 4000)).toBeCloseTo(6000);
  expect(pace.remainingMs(600, 8000)).toBeCloseTo(12_000);
});

test('is not known while nothing gets done, and anew where more is to be done', () => {
  const pace = new ResizePace();
  pace.remainingMs(1000, 0);
  expect(pace.remainingMs(1000, 10_000)).toBeUndefined();
  expect(pace.remainingMs(500, 20_000)).toBeDefined();
  expect(pace.remainingMs(3000, 21_000)).toBeUndefined();
  expect(pace.remainingMs(2990, 31_000)).toBeCloseTo(2_990_000);
});

test('forgets what was long ago', () => {
  const pace = new ResizePace();
  pace.remainingMs(1000, 0);
  pace.remainingMs(900, 100_000);
  expect(pace.remainingMs(890, 200_000)).toBeCloseTo(8_900_000);
});
