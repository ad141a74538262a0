// Requests to the replicas of a partition that splits, merges, or is gone: which of them go on there, and which are
// sent back to whoever finds out where their slots are.
import { commandResult, evenTopology, StateStoreError, type Command, type Topology } from '@statestore/core';
import type { Found, Proposed, ReadOptions } from '@statestore/link';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeLinks } from './testing/fake-links.ts';
import { settle } from './testing/manual-time.ts';

const stamp = { session: 's'.repeat(16), counter: 1, firstUnanswered: 1, opens: true };
const write: Command = { stamp, body: { kind: 'barrier' } };
const moved: Proposed = { ...commandResult('moved'), position: 7n };
const found: Found = { entry: undefined, position: 7n };

const one = evenTopology(2, ['a', 'b']);
const [p0, p1] = one.partitions as [Topology['partitions'][number], Topology['partitions'][number]];
/** 1 was merged into 0 by a change of epoch 5. */
const merged: Topology = {
  epoch: 6n,
  partitions: [{ ...p0, slots: [{ start: 0, end: 4096 }], slotsEpoch: 5n }],
  retired: [
    {
      placement: { ...p1, slots: [] },
      sealedPosition: 3n,
      into: { partition: 0, generation: 1, position: 4n },
      slotsEpoch: 5n,
    },
  ],
};
const { retired: _retired, ...forgotten } = { ...merged, epoch: 7n, forgotten: 5n };

let it: FakeLinks;
beforeEach(() => {
  it = new FakeLinks(['a', 'b'], {}, 2);
});
afterEach(async () => {
  await it.directory.close();
});

function outcomeOf<T>(promise: T | Promise<T>): { value?: T; code?: string } {
  const outcome: { value?: T; code?: string } = {};
  Promise.resolve(promise).then(
    (value) => (outcome.value = value),
    (error: unknown) => (outcome.code = error instanceof StateStoreError ? error.code : String(error)),
  );
  return outcome;
}
const propose = (partition: number) => outcomeOf(it.directory.nodeOf().propose(partition, write));
const get = (partition: number, options: ReadOptions) =>
  outcomeOf(it.directory.nodeOf().get(partition, 's', 'k', options));
const byLayout = (slotsEpoch: bigint): ReadOptions => ({ consistency: 'session', slotsEpoch });

test('a command is asked after where it was sent, also after that was merged away', async () => {
  const outcome = propose(1);
  (await it.take('a')).fail('outcome_unknown');
  it.place(merged);
  const again = await it.take('b');
  expect(again.args.slice(0, 2)).toEqual([1, write]);
  again.answer(moved);
  await settle();
  expect(outcome).toEqual({ value: moved });
});

test('a command to a partition that is gone is sent back, unless it may have taken effect', async () => {
  const sure = propose(1);
  (await it.take('a')).fail('moved');
  (await it.take('b')).fail('moved');
  const open = propose(1);
  (await it.take('a', 'b')).fail('outcome_unknown');
  (await it.take('a', 'b')).fail('moved');
  await settle();
  it.place(forgotten);
  await settle();
  expect([sure, open]).toEqual([{ code: 'moved' }, {}]);
  await it.time.advance(11_000);
  expect(open).toEqual({ code: 'outcome_unknown' });
});

test('a read says by which layout it was sent, whatever comes meanwhile', async () => {
  const outcome = get(0, byLayout(0n));
  const first = await it.take('a');
  it.place(merged);
  first.fail('unavailable');
  const second = await it.take('b');
  expect(second.args[3]).toMatchObject({ slotsEpoch: 0n });
  // One that has not seen the merge has all that the reader asked for.
  second.answer(found);
  await settle();
  expect(outcome).toEqual({ value: found });
});

test('a read whose partition has other slots by the topology is sent back at once', async () => {
  const outcome = get(0, byLayout(0n));
  const first = await it.take('a');
  it.place(merged);
  first.fail('moved');
  await settle();
  expect([outcome, it.asking()]).toEqual([{ code: 'moved' }, '']);
});

test('a read of a partition that was merged away is sent back, before and after it is known', async () => {
  const late = get(1, byLayout(0n));
  (await it.take('a')).fail('moved');
  (await it.take('b')).fail('moved');
  it.place(merged);
  await settle();
  const sizes = outcomeOf(it.directory.nodeOf().store(1, 's', 0n));
  (await it.take('a')).fail('moved');
  await settle();
  expect([late, sizes]).toEqual([{ code: 'moved' }, { code: 'moved' }]);
});

test('a read that all replicas refuse waits for the topology, and is then sent back; no replica is avoided for that', async () => {
  const outcome = get(0, byLayout(0n));
  (await it.take('a')).fail('moved');
  (await it.take('b')).fail('moved');
  await settle();
  expect(outcome).toEqual({});
  it.place(merged);
  await settle();
  expect(outcome).toEqual({ code: 'moved' });
  const next = get(0, byLayout(5n));
  (await it.take('a')).answer(found);
  await settle();
  expect(next).toEqual({ value: found });
});

test('sizes of a store are of one layout: it is asked before and after, of the same replica', async () => {
  const outcome = outcomeOf(it.directory.nodeOf().store(0, 's', 0n));
  const before = await it.take('a');
  expect([before.method, before.args[3]]).toEqual(['getMany', { consistency: 'session', slotsEpoch: 0n }]);
  before.answer({ entries: [], position: 7n });
  (await it.take('a')).answer({ store: 's', entries: 3 });
  const after = await it.take('a');
  expect([after.method, after.args[3]]).toMatchObject(['getMany', { slotsEpoch: 0n }]);
  it.place(merged);
  after.fail('moved');
  await settle();
  expect(outcome).toEqual({ code: 'moved' });
});
