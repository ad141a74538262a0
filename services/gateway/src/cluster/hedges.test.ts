// What becomes of a request whose replica does not answer: when another one is asked beside it, and that a
// slow log does not double the load.
import { commandResult, StateStoreError, type Command } from '@statestore/core';
import type { Found, Proposed } from '@statestore/link';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defaultTiming } from './timing.ts';
import { FakeLinks } from './testing/fake-links.ts';
import { settle } from './testing/manual-time.ts';

const stamp = { session: 's'.repeat(16), counter: 1, firstUnanswered: 1, opens: true };
const barrier: Command = { stamp, body: { kind: 'barrier' } };
const done: Proposed = { ...commandResult('done'), position: 7n };
const found: Found = { entry: undefined, position: 7n };
const session = { consistency: 'session' } as const;

let it: FakeLinks;
beforeEach(() => {
  it = new FakeLinks(['a', 'b', 'c']);
});
afterEach(async () => {
  await it.directory.close();
  expect(it.time.pending).toBe(0);
});

/** What a promise came to: its value, the code it failed with, or nothing yet. */
function outcomeOf<T>(promise: T | Promise<T>): { value?: T; code?: string } {
  const outcome: { value?: T; code?: string } = {};
  Promise.resolve(promise).then(
    (value) => (outcome.value = value),
    (error: unknown) => (outcome.code = error instanceof StateStoreError ? error.code : String(error)),
  );
  return outcome;
}
const propose = (command = barrier) => outcomeOf(it.directory.nodeOf().propose(0, command));
const get = (options: Parameters<ReturnType<typeof it.directory.nodeOf>['get']>[3] = session) =>
  outcomeOf(it.directory.nodeOf().get(0, 's', 'k', options));
const { suspectMs, slowMs, overtakenMs, proposeMs } = defaultTiming;

describe('a node that is silent', () => {
  test('is overtaken after a second; the first answer wins and the other is not heard', async () => {
    const writes = [propose(), propose(), propose()];
    await it.time.advance(suspectMs / 2);
    it.link('a').silentMs = suspectMs - 50;
    await it.time.advance(100);
    expect(it.asking()).toBe('a a a');
    it.link('a').silentMs = suspectMs;
    await it.time.advance(50);
    // All of them: they are bounded by what was in flight, and each goes once.
    expect(it.asking()).toBe('a a a b b b');
    await it.time.advance(100);
    expect(it.asking()).toBe('a a a b b b');
    for (let i = 0; i < 3; i++) (await it.take('b')).answer(done);
    await settle();
    expect(writes).toEqual([{ value: done }, { value: done }, { value: done }]);
    for (let i = 0; i < 3; i++) (await it.take('a')).fail('outcome_unknown');
    await settle();
    expect(it.directory.metrics.hedges.write).toEqual({ stuck: 3, slow: 0 });
  });

  test('is not asked anew, and speaks again without an error', async () => {
    const first = propose();
    it.link('a').silentMs = suspectMs;
    await it.time.advance(50);
    const second = propose();
    expect(it.asking()).toBe('a b b');
    it.link('a').silentMs = 0;
    (await it.take('a')).answer(done);
    (await it.take('b')).fail('unavailable');
    (await it.take('b')).answer(done);
    await settle();
    expect([first, second]).toEqual([{ value: done }, { value: done }]);
  });

  test('may still take a write that another one refuses: so it is not called refused', async () => {
    const write = propose();
    it.link('a').silentMs = suspectMs;
    await it.time.advance(50);
    (await it.take('b')).fail('overloaded');
    (await it.take('c')).fail('overloaded');
    await it.time.advance(500);
    expect(write).toEqual({});
    (await it.take('a')).fail('outcome_unknown');
    await it.time.advance(500);
    (await it.take()).answer(done);
    await settle();
    expect(write).toEqual({ value: done });
  });

  test('with nobody else there: the outcome is unknown in the end, a read is unavailable', async () => {
    it.link('b').connect(false);
    it.link('c').connect(false);
    const write = propose();
    const read = get();
    it.link('a').silentMs = suspectMs;
    await it.time.advance(proposeMs + 100);
    expect([write, read]).toEqual([{ code: 'outcome_unknown' }, { code: 'unavailable' }]);
    expect(it.asking()).toBe('a a');
  });
});

describe('a node that talks and does not answer', () => {
  test('one write of a partition asks another replica, however many wait: the log may be slow for all', async () => {
    for (let i = 0; i < 50; i++) propose();
    await it.time.advance(slowMs + 100);
    expect(it.asked.filter(({ node }) => node !== 'a').length).toBe(1);
    await it.time.advance(slowMs);
    expect(it.asked.filter(({ node }) => node !== 'a').length).toBe(2);
    await it.time.advance(4000);
    expect(it.asked.filter(({ node }) => node !== 'a').length).toBe(2);
    for (const { answer } of it.asked.splice(0)) answer(done);
    await it.time.advance(1000);
    expect([it.asking(), it.directory.waiting]).toEqual(['', 0]);
    // The place is free again.
    propose();
    await it.time.advance(slowMs + 100);
    expect(it.asking()).toBe('a b');
  });

  test('where the other one answers, all that wait go there, and what comes', async () => {
    const writes = Array.from({ length: 20 }, () => propose());
    await it.time.advance(slowMs);
    (await it.take('b')).answer(done);
    await it.time.advance(overtakenMs - 50);
    expect(it.asked.filter(({ node }) => node === 'b').length).toBe(1);
    await it.time.advance(100);
    expect(it.asked.filter(({ node }) => node === 'b').length).toBe(19);
    for (let i = 0; i < 19; i++) (await it.take('b')).answer(done);
    await settle();
    expect(writes.every(({ value }) => value === done)).toBe(true);
    propose();
    await settle();
    (await it.take('b')).answer(done);
    // Its answers come, too late for anybody: they do not speak for it.
    for (const { answer } of it.asked.splice(0)) answer(done);
    await settle();
    propose();
    await it.take('b');
  });

  test('unless it answers in the same moment', async () => {
    for (let i = 0; i < 20; i++) propose();
    await it.time.advance(slowMs);
    (await it.take('b')).answer(done);
    (await it.take('a')).answer(done);
    await it.time.advance(overtakenMs + 100);
    expect(it.asked.filter(({ node }) => node !== 'a').length).toBe(1);
    propose();
    await settle();
    expect(it.asked.at(-1)!.node).toBe('a');
  });

  test('reads and writes do not wait for each other, nor for a session that waits for what nobody has', async () => {
    propose();
    get({ consistency: 'session', atLeast: 10n ** 9n });
    get({ consistency: 'session', atLeast: 10n ** 9n });
    get();
    await it.time.advance(slowMs);
    expect(it.asking()).toBe('a a a a b b b');
    const patient = ({ args }: { args: readonly unknown[] }) =>
      (args[3] as { atLeast?: bigint })?.atLeast !== undefined;
    for (const asked of it.asked.splice(0)) {
      if (patient(asked)) asked.fail('unavailable');
      else asked.answer(asked.method === 'get' ? found : done);
    }
    await settle();
    it.asked.splice(0);
    // What nobody has yet is no failure of a replica.
    propose();
    get();
    await settle();
    expect(it.asking()).toBe('a a');
  });
});
