// Nodes that come, go, move and fall silent, as the gateway's routing sees them.
import { commandResult, evenTopology, type Command, type Topology } from '@statestore/core';
import type { NodeStatus, Proposed } from '@statestore/link';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeLinks, replicaReport } from './testing/fake-links.ts';
import { settle } from './testing/manual-time.ts';
import { defaultTiming } from './timing.ts';

const barrier: Command = {
  stamp: { session: 's'.repeat(16), counter: 1, firstUnanswered: 1, opens: true },
  body: { kind: 'barrier' },
};
const done: Proposed = { ...commandResult('done'), position: 7n };

let it: FakeLinks;
beforeEach(() => {
  it = new FakeLinks(['a', 'b', 'c']);
});
afterEach(async () => {
  await it.directory.close();
  expect(it.time.pending).toBe(0);
});

const propose = (): Promise<Proposed> => it.directory.nodeOf().propose(0, barrier);
/** Which node a write goes to first. */
async function preferred(): Promise<string> {
  const write = propose();
  await settle();
  // The newest call: others may wait since before.
  const { node, answer } = it.asked.pop()!;
  answer(done);
  expect(await write).toBe(done);
  return node;
}
const on = (epoch: bigint, ...replicas: string[]): Topology => ({
  epoch,
  partitions: [{ partition: 0, slots: [{ start: 0, end: 4096 }], replicas }],
});

describe('the preferred replica is', () => {
  test('the first of the list', async () => {
    expect(await preferred()).toBe('a');
    it.place(on(2n, 'c', 'b'));
    expect(await preferred()).toBe('c');
    // An older topology is not taken over.
    it.place(on(1n, 'a'));
    expect(await preferred()).toBe('c');
  });

  test.each([
    ['connected', () => it.link('a').connect(false), () => it.link('a').connect(true)],
    [
      'not halted, nor copying',
      () => it.observe('a', { replicas: [replicaReport(0, { state: 'halted' })] }),
      () => it.observe('a', { replicas: [replicaReport(0)] }),
    ],
    ['live', () => it.observe('a', {}, false), () => it.observe('a', {})],
    [
      'not far behind',
      () => it.observe('a', { replicas: [replicaReport(0, { lag: 10_000 })] }),
      () => it.observe('a', { replicas: [replicaReport(0, { lag: 3 })] }),
    ],
    ['there at all', () => it.forget('a'), () => it.observe('a', { address: 'a:1', replicas: [replicaReport(0)] })],
  ])('one that is %s', async (_name, spoil, mend) => {
    spoil();
    expect(await preferred()).toBe('b');
    mend();
    expect(await preferred()).toBe('a');
  });

  test('the least bad one where none is good', async () => {
    it.link('a').connect(false);
    it.observe('b', { replicas: [replicaReport(0, { state: 'starting' })] });
    it.observe('c', {}, false);
    expect(await preferred()).toBe('c');
    it.link('c').connect(false);
    expect(await preferred()).toBe('b');
  });

  test('the first one still where the registry calls nobody live: it may be the registry that is away', async () => {
    for (const name of ['a', 'b', 'c']) it.observe(name, {}, false);
    expect(await preferred()).toBe('a');
  });
});

test('a replica that failed is asked again at once where its node tells that it runs, or is another process', async () => {
  const failOnce = async (): Promise<void> => {
    const write = propose();
    (await it.take('a')).fail('unavailable');
    (await it.take('b')).answer(done);
    await write;
    expect(await preferred()).toBe('b');
  };
  await failOnce();
  it.observe('a', { count: 2 });
  expect(await preferred()).toBe('b');
  it.observe('a', { replicas: [replicaReport(0, { state: 'starting' })] });
  it.observe('a', { replicas: [replicaReport(0)] });
  expect(await preferred()).toBe('a');
  await failOnce();
  it.observe('a', { boot: 'another' });
  expect(await preferred()).toBe('a');
});

describe('links', () => {
  test('follow a node to another address; what waits at the old one is asked elsewhere', async () => {
    const old = it.link('a');
    const write = propose();
    await settle();
    it.observe('a', { address: 'a:2' });
    expect(it.links.length).toBe(4);
    await it.time.advance(50);
    (await it.take('b')).answer(done);
    expect(await write).toBe(done);
    expect(await preferred()).toBe('a');
    expect([old.closed, it.link('a').address]).toEqual([false, 'a:2']);
    (await it.take('a')).fail('outcome_unknown');
    await it.time.advance(100);
    expect([old.closed, it.link('a').closed]).toEqual([true, false]);
  });

  test('to nodes that left are closed when they have their answers, or when that takes too long', async () => {
    const [a, b, c] = it.links;
    const write = propose();
    await settle();
    it.place(on(2n, 'b'));
    expect(await preferred()).toBe('b');
    // It lives still, and may be given something: the link stays.
    expect(a!.closed).toBe(false);
    it.observe('a', {}, false);
    it.forget('c');
    await it.time.advance(100);
    expect([a!.closed, b!.closed, c!.closed]).toEqual([false, false, true]);
    (await it.take('a')).answer(done);
    expect(await write).toBe(done);
    await it.time.advance(100);
    expect([a!.closed, it.directory.connections().map(({ name }) => name)]).toEqual([true, ['b']]);
    const late = propose();
    late.catch(() => undefined);
    await settle();
    it.forget('b');
    await it.time.advance(defaultTiming.drainMs + 100);
    expect(b!.closed).toBe(true);
  });

  test('are made to nodes that hold something, or live', () => {
    it.observe('d', {}, false);
    expect(it.links.length).toBe(3);
    it.observe('e', {});
    expect(it.links.length).toBe(4);
    it.place(on(2n, 'd'));
    expect(it.links.length).toBe(5);
  });
});

describe('the status of nodes', () => {
  const status = (partitions: readonly number[], hits = 0): NodeStatus => ({
    version: '1',
    partitions: partitions.map((partition) => ({ partition, state: 'running' }) as NodeStatus['partitions'][number]),
    counts: { operations: { get: hits }, hits, misses: 0 },
  });
  const ask = () => Promise.all(it.directory.nodes().map((node) => node.status()));

  test('is asked once by those that ask in one turn, and shows what the topology gives to the node', async () => {
    const [first, second] = [ask(), ask()];
    expect(it.asking()).toBe('a b c');
    for (const { answer } of it.asked.splice(0)) answer(status([0, 5], 2));
    for (const each of [...(await first), ...(await second)]) {
      expect(each.partitions.map(({ partition }) => partition)).toEqual([0]);
    }
    await settle();
    void ask();
    expect(it.asking()).toBe('a b c');
    for (const { answer } of it.asked.splice(0)) answer(status([0]));
  });

  test('does not wait for nodes that are away, silent, or do not answer; their counts stay', async () => {
    const before = ask();
    for (const { answer } of it.asked.splice(0)) answer(status([0], 5));
    await before;
    await settle();
    it.link('a').connect(false);
    it.link('b').silentMs = defaultTiming.suspectMs;
    const now = ask();
    expect(it.asking()).toBe('c');
    await it.time.advance(defaultTiming.statusMs);
    expect((await now).map(({ partitions, counts }) => [partitions.length, counts.hits])).toEqual([
      [0, 5],
      [0, 5],
      [0, 5],
    ]);
    await settle();
    const again = it.directory.nodeOf().status();
    (await it.take('c')).fail('unavailable');
    (await it.take('c')).answer(status([0], 6));
    expect((await again).counts.hits).toBe(16);
  });
});

describe('calls for all replicas', () => {
  test('sync: what was written before is on the disk of each that is there', async () => {
    it.link('c').connect(false);
    const synced = it.directory.nodeOf().sync(0);
    for (const name of ['a', 'b']) {
      const barrierRead = await it.take(name);
      expect([barrierRead.method, barrierRead.args[3]]).toEqual(['getMany', { consistency: 'strong' }]);
      barrierRead.answer({ entries: [], position: 7n });
    }
    const last = [await it.take('a'), await it.take('b')];
    expect(last.map(({ method }) => method)).toEqual(['sync', 'sync']);
    last[0]!.answer(undefined);
    // The other one dies meanwhile: it has nothing to sync any more.
    it.link('b').connect(false);
    last[1]!.fail('unavailable');
    await synced;
  });

  test('sync fails where one that is there fails, or nobody is', async () => {
    const synced = it.directory.nodeOf().sync(0);
    synced.catch(() => undefined);
    (await it.take('a')).fail('partition_halted');
    for (const node of ['b', 'c']) {
      (await it.take(node)).answer({ entries: [], position: 7n });
      (await it.take(node)).answer(undefined);
    }
    await expect(synced).rejects.toMatchObject({ code: 'partition_halted' });
    for (const name of ['a', 'b', 'c']) it.link(name).connect(false);
    await expect(it.directory.nodeOf().sync(0)).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('compact: one after the other, sizes of all', async () => {
    const compacted = it.directory.nodeOf().compact(0);
    for (const name of ['a', 'b', 'c']) {
      await settle();
      expect(it.asking()).toBe(name);
      (await it.take(name)).answer({ beforeBytes: 10, afterBytes: 4 });
    }
    expect(await compacted).toEqual({ beforeBytes: 30, afterBytes: 12 });
  });
});

test('what people are told of nodes', () => {
  it.link('b').connect(false);
  it.observe('c', { zone: 'z', draining: true }, false);
  const brief = it.directory
    .describe()
    .map(({ name, zone, live, connected, draining, replicas }) => [
      name,
      zone,
      live,
      connected,
      draining,
      replicas.length,
    ]);
  expect(brief).toEqual([
    ['a', '', true, true, false, 1],
    ['b', '', true, false, false, 1],
    ['c', 'z', false, true, true, 1],
  ]);
});

test('many partitions are routed each by itself', async () => {
  const many = new FakeLinks(['a', 'b', 'c'], {}, 3);
  const { partitions } = evenTopology(3, []);
  many.place({
    epoch: 2n,
    partitions: partitions.map((placement, i) => ({ ...placement, replicas: ['a', 'b', 'c'].slice(i) })),
  });
  for (const { partition } of partitions) {
    const write = many.directory.nodeOf().propose(partition, barrier);
    const { node, args, answer } = await many.take();
    expect([node, args[0]]).toEqual(['abc'[partition], partition]);
    answer(done);
    await write;
  }
  await many.directory.close();
});
