// SIGSTOP: a process that is alive to its connections and answers nothing, for 1, 10 and 60 seconds (I21).
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freeze, slowDown } from '../torture/deeds.ts';
import { problemsOf, SharedCluster } from './shared-cluster.ts';

let shared: SharedCluster;
beforeAll(async () => {
  shared = await SharedCluster.start();
});
afterAll(() => shared?.close());

test('1 s of each kind of process, one after the other', async () => {
  await shared.under('pause each', async (scene) => {
    for (const name of ['node-1', 'gateway-1', 'nats-1']) await freeze(scene, [shared.process(name)], 1000);
    const leader = await scene.eye.leaderOf(1);
    await freeze(scene, [shared.process(leader!)], 1000);
  });
});

test('10 s of a node: clients see no error', async () => {
  const report = await shared.under('pause a node', (scene) => freeze(scene, [shared.process('node-2')], 10_000));
  expect(problemsOf(report)).toEqual([]);
});

test('10 s of a stream leader', async () => {
  await shared.under('pause a stream leader', async (scene) => {
    const leader = await scene.eye.leaderOf(2);
    await freeze(scene, [shared.process(leader!)], 10_000);
  });
});

test('10 s of everything', async () => {
  await shared.under('pause everything', (scene) => freeze(scene, shared.cluster.processes, 10_000));
});

test('60 s of a node, a NATS server and a gateway at once: the others go on', async () => {
  await shared.under('pause one of each', (scene) => {
    const targets = ['node-3', 'nats-3', 'gateway-2'].map((name) => shared.process(name));
    return freeze(scene, targets, 60_000);
  });
});

test('a slow replica holds nobody up for long, and catches up', async () => {
  const report = await shared.under('slow replica', (scene) => slowDown(scene, shared.process('node-1'), 5000));
  expect(problemsOf(report)).toEqual([]);
});
