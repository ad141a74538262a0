// Splits and merges in which something is slow, has no room, or is not there: service goes on, it says what it waits for,
// and comes to an end when it can, or is given up.
import { StateStoreError } from '@statestore/core';
import { afterEach, expect, test } from 'vitest';
import { openMergeWork } from '../../services/node/src/reshape/merge-work.ts';
import type { ReshapeContext } from '../../services/node/src/reshape/reshape-context.ts';
import { openSplitWork } from '../../services/node/src/reshape/split-work.ts';
import type { ClusterNodeOptions } from '../../services/node/src/cluster/node-options.ts';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';
import { ReshapeScene } from './reshape-scene.ts';

const names = ['a', 'b', 'c'];
let backend: MemoryBackend;
let cluster: NodeCluster;
let scene: ReshapeScene;

async function open(
  partitions: number,
  own: Readonly<Record<string, Partial<ClusterNodeOptions>>> = {},
): Promise<void> {
  backend = new MemoryBackend();
  cluster = await NodeCluster.open(backend, { openCoordinator: null });
  await cluster.create(partitions, names);
  for (const name of names) await cluster.start(name, own[name]);
  for (let partition = 0; partition < partitions; partition++) await cluster.running(names, partition);
  scene = new ReshapeScene(cluster, names);
  // Whoever is heard of only later is not waited for by those who are first.
  await cluster.until('all say that they run', async () => {
    const reports = await cluster.registry.list();
    return names.every((name) => {
      const replicas = reports.find((report) => report.name === name)?.replicas ?? [];
      return replicas.length === partitions && replicas.every(({ state }) => state === 'running');
    });
  });
}

afterEach(async () => {
  await scene.close();
  await cluster.close();
});

type Works = ReshapeContext['works'];

/** As they are, but for this before each finish. */
function worksWith(beforeFinish: (count: number) => Promise<void>): Works {
  let count = 0;
  return {
    openSplitWork: async (options) => {
      const work = await openSplitWork(options);
      return {
        round: (...args) => work.round(...args),
        finish: async (...args) => {
          await beforeFinish(++count);
          return work.finish(...args);
        },
        close: () => work.close(),
      };
    },
    openMergeWork: (options) => {
      const work = openMergeWork(options);
      return {
        unprepared: () => work.unprepared(),
        round: (...args) => work.round(...args),
        finish: async (...args) => {
          await beforeFinish(++count);
          return work.finish(...args);
        },
        close: () => work.close(),
      };
    },
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function steps(name: string, step: string): number {
  return cluster.notices.filter(({ node, details }) => node === name && details['step'] === step).length;
}

const kinds = ['split', 'merge'] as const;

test.each(kinds)(
  'a %s that another node is slow to finish does not wait for it, and the node comes after',
  async (kind) => {
    await open(kind === 'split' ? 1 : 2, { b: { reshapeWorks: worksWith(() => sleep(1500)) } });
    const before = await scene.fill(200);
    const writes = scene.writer();
    const { id } = await (kind === 'split' ? scene.begin('split', 0, 1) : scene.begin('merge', 1, 0));
    await scene.ended(id);
    expect(cluster.notices.filter(({ details }) => details['step'] === 'unfence')).toEqual([]);
    const acknowledged = await writes.stop();
    await scene.expectAll(new Map([...before, ...acknowledged]));
    // It had what it needed by itself: nothing was copied.
    expect(cluster.notices.filter(({ notice }) => notice.includes('is copied'))).toEqual([]);
  },
);

test.each(kinds)('a %s whose driver fails behind the fence opens the slots again, and tries again', async (kind) => {
  const fails = worksWith((count) =>
    count === 1 ? Promise.reject(new StateStoreError('unavailable', 'not now')) : Promise.resolve(),
  );
  await open(kind === 'split' ? 1 : 2, { a: { reshapeWorks: fails } });
  const before = await scene.fill(200);
  const writes = scene.writer();
  const { id } = await (kind === 'split' ? scene.begin('split', 0, 1) : scene.begin('merge', 1, 0));
  await scene.ended(id);
  expect(steps('a', 'unfence')).toBe(1);
  expect(steps('a', 'fence')).toBe(2);
  const acknowledged = await writes.stop();
  await scene.expectAll(new Map([...before, ...acknowledged]));
  expect(writes.longestMs).toBeLessThan(1500);
});

test('a split for which one node has no room waits, says so, and can be given up', async () => {
  await open(1);
  cluster.disk.set('c', { freeBytes: 5_000_000_100, totalBytes: 100e9 });
  const before = await scene.fill(200);
  const { id } = await scene.begin('split', 0, 1);
  const why = async (): Promise<string> => {
    const reports = await cluster.registry.list();
    return reports.find(({ name }) => name === 'a')?.reshapes?.[0]?.why ?? '';
  };
  await cluster.until('it says why', async () => (await why()).includes('node c: the disk has'));
  await cluster.put('a', 'k0', 'v0');
  expect(steps('a', 'fence')).toBe(0);
  await scene.change(({ reshapes }) => ({ reshapes: reshapes!.map((each) => ({ ...each, cancelled: true })) }));
  await scene.ended(id);
  expect((await cluster.topology()).partitions).toHaveLength(1);
  expect(await cluster.logStreams.describe(1, 2)).toBeUndefined();
  await scene.expectAll(before);
});

test('a split that the logs were away from goes on when they are back', async () => {
  await open(1);
  const before = await scene.fill(200);
  backend.logs.down = true;
  const { id } = await scene.begin('split', 0, 1);
  await sleep(1500);
  backend.logs.down = false;
  await scene.ended(id);
  await scene.expectAll(before);
});

test('slots that are fenced for nothing are opened again', async () => {
  await open(1);
  const before = await scene.fill(50);
  const slots = [{ start: 0, end: 4096 }];
  const body = { kind: 'fence', reshape: '0123456789abcdef', slots, ownedBefore: slots, slotsEpoch: 9n } as const;
  expect((await cluster.at('b').node.propose(0, { body })).code).toBe('done');
  expect(await cluster.putCode('a', 'k0', 'v0', 0)).toBe('moved');
  await cluster.until('it is open again', async () => (await cluster.putCode('a', 'k0', 'v0', 0)) === 'done');
  await scene.expectAll(before);
});

test('a replica that was away while its slots were merged comes back with all of them', async () => {
  await open(2);
  const before = await scene.fill(200);
  await cluster.stop('c');
  const { id } = await scene.begin('merge', 1, 0);
  await scene.ended(id);
  await cluster.start('c');
  await scene.expectAll(before);
});

test('a replica that was away while its partition was split comes back with both', async () => {
  await open(1);
  const before = await scene.fill(200);
  await cluster.stop('c');
  const { id } = await scene.begin('split', 0, 1);
  await scene.ended(id);
  await cluster.start('c');
  await scene.expectAll(before);
});
