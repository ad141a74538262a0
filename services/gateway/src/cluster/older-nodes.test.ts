// Nodes of an earlier version beside a gateway of this one: their answers name no generation of the log that they are
// of. They are of the one that they were asked for, and not of the first one there was.
import { commandResult, type Command } from '@statestore/core';
import type { ChangeBatch, Place, ReadOptions } from '@statestore/link';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeLinks } from './testing/fake-links.ts';
import { settle } from './testing/manual-time.ts';

const command: Command = {
  stamp: { session: 's'.repeat(16), counter: 1, firstUnanswered: 1, opens: true },
  body: { kind: 'barrier' },
};
const session: ReadOptions = { consistency: 'session' };
const scan = { store: 's', reverse: false, limit: 1, bytesMax: 1, values: true };
let it: FakeLinks;

beforeEach(() => {
  it = new FakeLinks(['a']);
  place(2, 5n);
});
afterEach(async () => {
  await it.directory.close();
  expect(it.time.pending).toBe(0);
});

/** The log of this generation, which carries on after this position. */
function place(generation: number, position: bigint): void {
  const continues = { incarnation: `log ${generation - 1}`, position, chain: '' };
  const log = { generation, incarnation: `log ${generation}`, continues };
  it.place({
    epoch: BigInt(generation + 1),
    partitions: [{ partition: 0, slots: [{ start: 0, end: 4096 }], replicas: ['a'], log }],
  });
}

const node = () => it.directory.nodeOf();

test.each<[string, object, () => Promise<Place>]>([
  ['a write', commandResult('done'), async () => node().propose(0, command)],
  ['a read', { entry: undefined }, async () => node().get(0, 's', 'k', session)],
  ['a read of many', { entries: [] }, async () => node().getMany(0, 's', [], session)],
  ['a scan', { entries: [], more: false }, async () => node().scan(0, scan, session)],
])('the answer to %s is of the log that was asked for', async (_, answer, ask) => {
  const asked = ask();
  (await it.take('a')).answer({ ...answer, position: 7n });
  expect(await asked).toEqual({ ...answer, position: 7n, generation: 2 });
});

test('an answer that was on its way when the log was replaced tells nothing of the next one', async () => {
  const before = node().get(0, 's', 'k', session);
  const asked = await it.take('a');
  place(3, 6n);
  asked.answer({ entry: undefined, position: 100n });
  expect((await before).generation).toBe(2);
  const after = node().get(0, 's', 'k', session);
  const { args, answer } = await it.take('a');
  expect(args.at(-1)).toEqual({ consistency: 'session', generation: 3 });
  answer({ entry: undefined, position: 7n });
  await after;
});

test('the changes that a watch tells of are of the log that is followed', async () => {
  const batch = { position: 6n, timeMs: 0, changes: [] };
  it.link('a').behind = {
    async *watch() {
      yield await Promise.resolve(batch);
    },
  };
  const gone = new AbortController();
  const seen: ChangeBatch[] = [];
  const options = { store: 's', prefix: '', from: 6n, generation: 2, signal: gone.signal };
  for await (const each of node().watch(0, options)) {
    seen.push(each);
    gone.abort();
  }
  expect(seen).toEqual([{ ...batch, generation: 2 }]);
  await settle();
});
