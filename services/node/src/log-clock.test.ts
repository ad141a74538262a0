import { limits } from '@statestore/core';
import { expect, test } from 'vitest';
import { LogClock } from './log-clock.ts';
import { systemTime } from './time.ts';

/** The wall clock is an hour off, the other one is driven by hand. */
function clocks() {
  let elapsedMs = 0;
  const logStartMs = 1_000_000;
  const time = { ...systemTime, elapsedMs: () => elapsedMs, nowMs: () => logStartMs + elapsedMs + 3_600_000 };
  const nanos = (ms: number): bigint => BigInt(ms) * 1_000_000n;
  return {
    time,
    nanos,
    logStartMs,
    pass: (ms: number): void => {
      elapsedMs += ms;
    },
  };
}

test('an exclusive log has the wall clock', () => {
  const { time, nanos } = clocks();
  const clock = new LogClock(time, true, nanos(5));
  expect(clock.nowMs()).toBe(time.nowMs());
  expect(clock.told).toBe(true);
});

test('a shared log tells the time, whatever the wall clock says, and it goes on between batches', () => {
  const { time, nanos, logStartMs, pass } = clocks();
  const clock = new LogClock(time, false, nanos(logStartMs));
  expect(clock.nowMs()).toBe(logStartMs);
  pass(1000);
  expect(clock.nowMs()).toBe(logStartMs + 1000);
  // It had stood still for a minute before this replica began.
  clock.saw(nanos(logStartMs + 61_000), true);
  expect(clock.nowMs()).toBe(logStartMs + 61_000);
  // A batch that came late tells nothing new.
  pass(500);
  clock.saw(nanos(logStartMs + 61_200), true);
  expect(clock.nowMs()).toBe(logStartMs + 61_500);
});

test('it is told by a new batch, not by what is replayed', () => {
  const { time, nanos } = clocks();
  const clock = new LogClock(time, false, nanos(0));
  clock.saw(nanos(10), false);
  expect(clock.told).toBe(false);
  clock.saw(nanos(20), true);
  expect(clock.told).toBe(true);
});

test('a clock that runs faster than the log is brought back, and never seen to go back', () => {
  const { time, nanos, logStartMs, pass } = clocks();
  const clock = new LogClock(time, false, nanos(logStartMs));
  // One part in a hundred faster, a batch each second.
  let logMs = logStartMs;
  let before = 0;
  for (let second = 0; second < 600; second++) {
    pass(1010);
    logMs += 1000;
    clock.saw(nanos(logMs), true);
    const nowMs = clock.nowMs();
    expect(nowMs).toBeGreaterThanOrEqual(before);
    expect(nowMs - logMs).toBeLessThanOrEqual((2 * limits.logClockWindowMs) / 100 + 20);
    before = nowMs;
  }
});
