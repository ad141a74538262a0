import { limits } from '@statestore/core';
import { expect, test } from 'vitest';
import { SeenClock } from './seen-clock.ts';
import { systemTime } from './time.ts';

const window = limits.deduplicationWindowMs;
const startMs = 1_700_000_000_000;

/** The wall clock is never asked. */
function seenClock() {
  let elapsedMs = 5;
  const nowMs = (): number => {
    throw new Error('the wall clock was asked');
  };
  const seen = new SeenClock({ ...systemTime, nowMs, elapsedMs: () => elapsedMs });
  /** So long after what was seen before, the state's clock stands there, after startMs. */
  const saw = (passedMs: number, clockMs: number): void => {
    elapsedMs += passedMs;
    seen.saw(BigInt(startMs + clockMs) * 1_000_000n + 999_999n);
  };
  return { seen, saw };
}

test('nothing is long ago until a window has passed since this replica began', () => {
  const { seen, saw } = seenClock();
  expect(seen.longAgoMs).toBe(0);
  saw(0, 0);
  expect(seen.longAgoMs).toBe(0);
  saw(window - 1, window - 1);
  expect(seen.longAgoMs).toBe(0);
  saw(1, window);
  expect(seen.longAgoMs).toBe(startMs);
});

test('a clock that jumps an hour ahead makes nothing older; once it has stood there for a window, all before it is old', () => {
  const { seen, saw } = seenClock();
  const hour = 3_600_000;
  for (let at = 0; at < window; at += 1000) saw(at === 0 ? 0 : 1000, at);
  for (let passed = 0; passed < window; passed += 1000) {
    saw(1000, hour);
    expect(seen.longAgoMs).toBeLessThan(startMs + window);
  }
  saw(limits.seenClockStepMs, hour);
  expect(seen.longAgoMs).toBe(startMs + hour);
});

test('it lags by one step at most, and keeps no more than one window', () => {
  const { seen, saw } = seenClock();
  for (let at = 0; at < 5 * window; at += 700) {
    saw(700, at);
    if (at < 2 * window) continue;
    const agoMs = startMs + at - seen.longAgoMs;
    expect(agoMs).toBeGreaterThanOrEqual(window);
    expect(agoMs).toBeLessThanOrEqual(window + limits.seenClockStepMs + 1400);
    expect(seen.samples).toBeLessThanOrEqual(window / limits.seenClockStepMs + 2);
  }
});

test('where the process stood still for long, what was seen before is old', () => {
  const { seen, saw } = seenClock();
  saw(0, 0);
  saw(20_000, 20_000);
  saw(10 * window, 30_000);
  expect(seen.longAgoMs).toBe(startMs + 20_000);
  expect(seen.samples).toBe(2);
});
