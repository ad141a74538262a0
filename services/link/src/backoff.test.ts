// Delays of the Backoff, by an injected random source.
import { expect, test } from 'vitest';
import { Backoff } from './backoff.ts';

test('delays double from half the smallest to the largest, and begin anew after a success', () => {
  const low = new Backoff({ minMs: 50, maxMs: 1000, random: () => 0 });
  expect(Array.from({ length: 7 }, () => low.next())).toEqual([25, 50, 100, 200, 400, 500, 500]);
  low.reset();
  expect(low.next()).toBe(25);
  const high = new Backoff({ minMs: 50, maxMs: 1000, random: () => 0.999999 });
  expect(Array.from({ length: 7 }, () => Math.round(high.next()))).toEqual([50, 100, 200, 400, 800, 1000, 1000]);
});

test('never ends, never overflows', () => {
  const backoff = new Backoff({ minMs: 1, maxMs: 5000 });
  for (let i = 0; i < 5000; i++) {
    const delayMs = backoff.next();
    expect(delayMs).toBeGreaterThan(0);
    expect(delayMs).toBeLessThanOrEqual(5000);
  }
});
