// What becomes of a request whose replicas fail, stall, or know nothing: where it is asked next, when, and
// what its caller may be told.
import { commandResult, StateStoreError, type Command } from '@statestore/core';
import type { Found, Proposed } from '@statestore/link';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defaultTiming } from './timing.ts';
import { FakeLinks } from './testing/fake-links.ts';
import { settle } from './testing/manual-time.ts';

const stamp = { session: 's'.repeat(16), counter: 1, firstUnanswered: 1, opens: true };
const barrier: Command = { stamp, body: { kind: 'barrier' } };
const plain: Command = { body: { kind: 'barrier' } };
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
const { proposeMs, penaltyMaxMs } = defaultTiming;

describe('a replica that fails', () => {
  test.each(['unavailable', 'outcome_unknown', 'shutting_down', 'moved', 'partition_halted', 'data_corrupt'] as const)(
    'with %s: the same command goes to the next one at once',
    async (code) => {
      const write = propose();
      (await it.take('a')).fail(code);
      const second = await it.take('b');
      expect([second.method, second.args[1]]).toEqual(['propose', barrier]);
      second.answer(done);
      await settle();
      expect(write).toEqual({ value: done });
      expect([it.directory.metrics.failovers.write, it.directory.waiting]).toEqual([1, 0]);
    },
  );

  test.each(['overloaded', 'disk_full', 'invalid_key', 'internal'] as const)(
    'with %s: the write is refused, and no other one is burdened with it',
    async (code) => {
      const write = propose();
      (await it.take('a')).fail(code);
      await settle();
      expect([write, it.asking()]).toEqual([{ code }, '']);
    },
  );

  test('is not passed over for a write that must not arrive twice, once it may have arrived', async () => {
    const first = propose(plain);
    (await it.take('a')).fail('outcome_unknown');
    const second = propose(plain);
    (await it.take()).fail('unavailable');
    (await it.take()).answer(done);
    await settle();
    expect([first, second, it.asking()]).toEqual([{ code: 'outcome_unknown' }, { value: done }, '']);
  });

  test('is avoided for a while, longer each time, until it answers', async () => {
    (propose(), await it.take('a')).fail('unavailable');
    (await it.take('b')).answer(done);
    (propose(), await it.take('b')).answer(done);
    await it.time.advance(100);
    (propose(), await it.take('a')).fail('unavailable');
    (await it.take('b')).answer(done);
    await it.time.advance(100);
    (propose(), await it.take('b')).answer(done);
    await it.time.advance(100);
    (propose(), await it.take('a')).answer(done);
    (propose(), await it.take('a')).fail('unavailable');
    (await it.take('b')).answer(done);
    await it.time.advance(100);
    (propose(), await it.take('a')).answer(done);
  });

  test('and answers reads is avoided by writes all the same', async () => {
    (propose(), await it.take('a')).fail('unavailable');
    (await it.take('b')).answer(done);
    // What cannot write may be behind: reads avoid it too, as long as there is a better one.
    get();
    (await it.take('b')).fail('unavailable');
    (await it.take('c')).fail('unavailable');
    (await it.take('a')).answer(found);
    propose();
    (await it.take('b')).answer(done);
  });

  test('is asked where all others failed after it', async () => {
    for (const node of ['a', 'b', 'c']) {
      propose();
      (await it.take(node)).fail('overloaded');
      propose();
      (await it.take(node)).fail('unavailable');
      await it.time.advance(1);
      for (const { fail } of it.asked.splice(0)) fail('overloaded');
    }
    propose();
    await it.take('a');
  });
});

describe('where all replicas fail', () => {
  const failAll = async (code: Parameters<Awaited<ReturnType<typeof it.take>>['fail']>[0]) => {
    for (let i = 0; i < 3; i++) (await it.take()).fail(code);
    await settle();
  };

  test('they are asked again after pauses, and clients see nothing', async () => {
    const write = propose();
    for (let round = 0; round < 5; round++) {
      await failAll('unavailable');
      expect([write, it.asking()]).toEqual([{}, '']);
      await it.time.advance(defaultTiming.retryMaxMs);
    }
    (await it.take()).answer(done);
    await settle();
    expect([write, it.directory.metrics.rounds.write]).toEqual([{ value: done }, 5]);
  });

  test('news wakes those that pause', async () => {
    for (const link of it.links) link.connect(false);
    const write = propose();
    await settle();
    expect(it.asking()).toBe('');
    it.link('b').connect(true);
    (await it.take('b')).answer(done);
    await settle();
    expect(write).toEqual({ value: done });
  });

  test.each([
    ['unavailable', 'unavailable'],
    ['moved', 'unavailable'],
    ['shutting_down', 'shutting_down'],
    ['outcome_unknown', 'outcome_unknown'],
  ] as const)('with %s until time is up: %s', async (failing, told) => {
    const write = propose();
    for (let waitedMs = 0; waitedMs <= proposeMs; waitedMs += 50) {
      for (const { fail } of it.asked.splice(0)) fail(failing);
      await it.time.advance(50);
    }
    expect(write).toEqual({ code: told });
    expect(it.directory.waiting).toBe(0);
  });

  test('with partition_halted: that is the answer, at once; a read may be lucky elsewhere first', async () => {
    const write = propose();
    await failAll('partition_halted');
    expect(write).toEqual({ code: 'partition_halted' });
    const read = get();
    await failAll('overloaded');
    expect(read).toEqual({ code: 'overloaded' });
  });

  test('and one of them was only away: it is waited for', async () => {
    const write = propose();
    (await it.take('a')).fail('unavailable');
    (await it.take('b')).fail('partition_halted');
    (await it.take('c')).fail('partition_halted');
    await it.time.advance(1000);
    for (let asked = await it.take(); ; asked = await it.take()) {
      if (asked.node === 'a') {
        asked.answer(done);
        break;
      }
      asked.fail('partition_halted');
    }
    await settle();
    expect(write).toEqual({ value: done });
  });

  test('a node that says moved makes the gateway look for a newer topology', async () => {
    let outdated = 0;
    const other = new FakeLinks(['a', 'b'], { onOutdated: () => outdated++ });
    const write = outcomeOf(other.directory.nodeOf().propose(0, barrier));
    (await other.take('a')).fail('moved');
    (await other.take('b')).fail('moved');
    await settle();
    expect(outdated).toBe(2);
    other.place({ epoch: 2n, partitions: [{ partition: 0, slots: [{ start: 0, end: 4096 }], replicas: ['c'] }] });
    other.observe('c', {});
    (await other.take('c')).answer(done);
    await settle();
    expect(write).toEqual({ value: done });
    await other.directory.close();
  });
});

describe('a write that may have taken effect', () => {
  test.each(['overloaded', 'disk_full', 'invalid_key', 'partition_halted', 'internal'] as const)(
    'is not called refused because of %s elsewhere; it goes on until somebody knows',
    async (code) => {
      const write = propose();
      (await it.take('a')).fail('outcome_unknown');
      (await it.take('b')).fail(code);
      (await it.take('c')).fail(code);
      await it.time.advance(1000);
      expect(write).toEqual({});
      (await it.take()).answer(done);
      await settle();
      expect(write).toEqual({ value: done });
    },
  );

  test.each(['session_expired', 'already_answered', 'overloaded'] as const)(
    'stays unknown where another replica answers %s',
    async (code) => {
      const write = propose();
      (await it.take('a')).fail('outcome_unknown');
      (await it.take('b')).answer({ ...commandResult(code), position: 9n });
      await settle();
      expect(write).toEqual({ code: 'outcome_unknown' });
      // Without an attempt before it, it is what it says.
      await it.time.advance(penaltyMaxMs);
      const other = propose();
      (await it.take('a')).answer({ ...commandResult(code), position: 9n });
      await settle();
      expect(other.value?.code).toBe(code);
    },
  );
});

describe('reads', () => {
  test('ask for what this gateway has told of, at any replica', async () => {
    propose();
    (await it.take('a')).answer({ ...done, position: 40n });
    await settle();
    get();
    const first = await it.take('a');
    expect(first.args[3]).toEqual({ consistency: 'session', atLeast: 40n });
    first.fail('unavailable');
    const second = await it.take('b');
    expect(second.args[3]).toEqual({ consistency: 'session', atLeast: 40n });
    second.answer({ ...found, position: 41n });
    await settle();
    get({ consistency: 'session', atLeast: 50n });
    expect((await it.take()).args[3]).toEqual({ consistency: 'session', atLeast: 50n });
    get({ consistency: 'eventual' });
    expect((await it.take()).args[3]).toEqual({ consistency: 'eventual' });
  });

  test('of a partition whose log was lost do not wait for what it had', async () => {
    const place = (epoch: bigint, incarnation: string) => {
      const log = { generation: Number(epoch), incarnation };
      it.place({ epoch, partitions: [{ partition: 0, slots: [], replicas: ['a'], log }] });
    };
    place(2n, 'one');
    propose();
    (await it.take('a')).answer({ ...done, position: 40n });
    await settle();
    place(3n, 'two');
    get();
    expect((await it.take('a')).args[3]).toEqual({ ...session, generation: 3 });
  });

  test('say which log they know, and ask for what a session was told of that one alone', async () => {
    const log = (generation: number): void =>
      it.place({
        epoch: BigInt(generation),
        partitions: [
          { partition: 0, slots: [], replicas: ['a'], log: { generation, incarnation: `log ${generation}` } },
        ],
      });
    const asked = async (atLeast: bigint, generation?: number): Promise<unknown> => {
      outcomeOf(it.directory.nodeOf().get(0, 's', 'k', { ...session, atLeast, generation }));
      const { args, answer } = await it.take('a');
      answer({ entry: undefined, position: 4n });
      await settle();
      return args[3];
    };
    log(2);
    expect(await asked(9n, 2)).toEqual({ ...session, atLeast: 9n, generation: 2 });
    // Every replica of a log has what is left of those before it.
    expect(await asked(9n, 1)).toEqual({ ...session, atLeast: 4n, generation: 2 });
    expect(await asked(9n)).toEqual({ ...session, atLeast: 4n, generation: 2 });
    propose();
    const write = await it.take('a');
    expect(write.args[2]).toBe(2);
    // An answer of the log before says nothing of the one that is followed now.
    log(3);
    write.answer({ ...done, position: 50n, generation: 2 });
    await settle();
    expect(await asked(1n, 2)).toEqual({ ...session, generation: 3 });
  });

  test('of a session that knows a later log ask nobody before this gateway has heard of it, and blame nobody', async () => {
    const place = (generation: number): void =>
      it.place({
        epoch: BigInt(generation),
        partitions: [
          { partition: 0, slots: [], replicas: ['a'], log: { generation, incarnation: `log ${generation}` } },
        ],
      });
    place(2);
    const read = outcomeOf(it.directory.nodeOf().get(0, 's', 'k', { ...session, atLeast: 9n, generation: 3 }));
    await settle();
    expect([it.asking(), read.code]).toEqual(['', undefined]);
    place(3);
    await it.time.advance(1000);
    const { args, answer } = await it.take('a');
    expect(args[3]).toEqual({ ...session, atLeast: 9n, generation: 3 });
    answer({ entry: undefined, position: 9n, generation: 3 });
    await settle();
  });

  test('that may be old are spread over all, or over those of the same zone', async () => {
    const ask = async (cluster: FakeLinks, times: number) => {
      const node = cluster.directory.nodeOf();
      for (let i = 0; i < times; i++) outcomeOf(node.get(0, 's', 'k', { consistency: 'eventual' }));
      await settle();
      return cluster.asking().split(' ').toSorted().join('');
    };
    expect(await ask(it, 6)).toBe('aabbcc');
    const zoned = new FakeLinks(['a', 'b', 'c'], { zone: 'z' });
    zoned.observe('c', { zone: 'z' });
    expect(await ask(zoned, 3)).toBe('ccc');
    zoned.asked.splice(0);
    zoned.link('c').connect(false);
    expect(await ask(zoned, 4)).toBe('aabb');
    for (const { answer } of [...it.asked.splice(0), ...zoned.asked.splice(0)]) answer(found);
    await settle();
    await zoned.directory.close();
  });
});

test('closing settles what waits, honestly', async () => {
  const waiting = [propose(), get()];
  const unsent = new FakeLinks([]);
  const refused = outcomeOf(unsent.directory.nodeOf().propose(0, barrier));
  await settle();
  await Promise.all([it.directory.close(), unsent.directory.close()]);
  expect([...waiting, refused]).toEqual([
    { code: 'outcome_unknown' },
    { code: 'shutting_down' },
    { code: 'shutting_down' },
  ]);
  expect(propose()).toEqual({});
  await settle();
  expect([it.links.every(({ closed }) => closed), outcomeOf(it.directory.nodeOf().propose(0, plain))]).toEqual([
    true,
    {},
  ]);
});
