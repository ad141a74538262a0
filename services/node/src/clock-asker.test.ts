import { limits } from '@statestore/core';
import { expect, test } from 'vitest';
import { ClockAsker } from './clock-asker.ts';
import { LogClock } from './log-clock.ts';
import { ManualTime, settled } from './testing/manual-time.ts';

function asker(change: { mayExpire?: boolean; isFirst?: boolean; answers?: boolean } = {}) {
  const { mayExpire = true, isFirst = true, answers = true } = change;
  const time = new ManualTime();
  const clock = new LogClock(time, false, 0n);
  const asked: number[] = [];
  const made = new ClockAsker({
    time,
    clock,
    mayExpire: () => mayExpire,
    isFirst: () => isFirst,
    share: 0.5,
    barrier: async () => {
      asked.push(time.elapsedMs());
      if (!answers) throw new Error('the log takes nothing');
      clock.saw(1n, true);
    },
  });
  let done = false;
  return {
    time,
    clock,
    asked,
    asker: made,
    begin: async (): Promise<void> => {
      void made.ask().then(() => (done = true));
      await settled();
    },
    isDone: () => done,
  };
}

test('the first replica of a partition asks at once, and is done when it is told', async () => {
  const { begin, isDone, asked, time } = asker();
  await begin();
  expect([isDone(), asked]).toEqual([true, [0]]);
  await time.advance(60_000);
  expect([asked, time.pending]).toEqual([[0], 0]);
});

test('another one waits a moment, and does not ask where the log spoke meanwhile', async () => {
  const { begin, isDone, asked, time, clock } = asker({ isFirst: false });
  await begin();
  await time.advance(limits.clockAskMs / 3);
  expect([isDone(), asked]).toEqual([false, []]);
  clock.saw(1n, true);
  await settled();
  expect([isDone(), asked, time.pending]).toEqual([true, [], 0]);
});

test('another one asks where nobody else did', async () => {
  const { begin, isDone, asked, time } = asker({ isFirst: false });
  await begin();
  await time.advance(limits.clockAskMs);
  expect([isDone(), asked]).toEqual([true, [limits.clockAskMs * 0.75]]);
});

test('nobody asks where nothing expires, or the time is known', async () => {
  const none = asker({ mayExpire: false });
  await none.begin();
  expect([none.isDone(), none.asked]).toEqual([true, []]);
  const known = asker();
  known.clock.saw(1n, true);
  await known.begin();
  expect([known.isDone(), known.asked]).toEqual([true, []]);
});

test('a log that takes nothing keeps nobody for long, and is asked again and again until it speaks', async () => {
  const { begin, isDone, asked, time, clock } = asker({ answers: false });
  await begin();
  expect(isDone()).toBe(false);
  await time.advance(limits.clockWaitMs);
  expect([isDone(), asked]).toEqual([true, [0]]);
  await time.advance(limits.clockAskAgainMs * 2);
  expect(asked).toHaveLength(3);
  clock.saw(1n, true);
  await time.advance(limits.clockAskAgainMs * 2);
  expect([asked.length, time.pending]).toEqual([3, 0]);
});

test('one that closes asks nothing more', async () => {
  const { begin, isDone, asked, time, asker: made } = asker({ answers: false });
  await begin();
  made.close();
  await time.advance(60_000);
  expect([isDone(), asked, time.pending]).toEqual([true, [0], 0]);
});
