import { limits, StateStoreError } from '@statestore/core';
import { expect, test } from 'vitest';
import { ManualTime } from '../testing/manual-time.ts';
import type { FoundLog } from './judge-log.ts';
import type { LogEnd } from './log-end.ts';
import { findLogEnd } from './log-end.ts';

const whole: FoundLog = { incarnation: 'one', first: 1n, last: 9n };

/** What is known after this time of a log that is found like this all along. */
async function after(ms: number, find: () => Promise<FoundLog | undefined>): Promise<LogEnd | undefined> {
  const time = new ManualTime();
  const given = new AbortController();
  let end: LogEnd | undefined;
  const asking = findLogEnd({ find, incarnation: 'one', heard: () => 9n, time, signal: given.signal });
  void asking.then(
    (found) => (end = found),
    () => undefined,
  );
  await time.advance(ms);
  given.abort(new StateStoreError('shutting_down', 'enough'));
  return end;
}

test('a log that has everything is whole at once, or sealed', async () => {
  expect(await after(0, async () => whole)).toEqual({ kind: 'whole', found: whole });
  const sealed = { ...whole, sealed: true } as const;
  expect(await after(0, async () => sealed)).toEqual({ kind: 'sealed', found: sealed });
});

test.each([
  ['is shorter', { ...whole, last: 8n }, limits.logRegressedConfirmMs],
  ['is another one', { ...whole, incarnation: 'two' }, limits.logRegressedConfirmMs],
  ['is not there', undefined, limits.logAbsentConfirmMs],
])('a log that %s must be so for a while', async (_, found, confirmMs) => {
  expect(await after(confirmMs - 1, async () => found)).toBeUndefined();
  expect(await after(confirmMs + limits.logRegressedCheckMs, async () => found)).toEqual({ kind: 'regressed', found });
});
