// kill -9 of every kind of process, of all NATS servers, and of everything: clients wait at most, and lose nothing
// (I1, I2, I3, I21).
import { afterAll, beforeAll, expect, test } from 'vitest';
import { crash } from '../torture/deeds.ts';
import { problemsOf, SharedCluster } from './shared-cluster.ts';

let shared: SharedCluster;
beforeAll(async () => {
  shared = await SharedCluster.start();
});
afterAll(() => shared?.close());

test('a node: clients see no error', async () => {
  const report = await shared.under('kill a node', async (scene) => {
    for (const name of ['node-1', 'node-2']) {
      await crash(scene, [shared.process(name)], 1500);
      await scene.cluster.ready();
    }
  });
  expect(problemsOf(report)).toEqual([]);
});

test('two nodes at once: the third goes on', async () => {
  const report = await shared.under('kill two nodes', (scene) =>
    crash(scene, [shared.process('node-2'), shared.process('node-3')], 2000),
  );
  expect(problemsOf(report)).toEqual([]);
});

test('a gateway: its clients go on at the other one, with their sessions', async () => {
  await shared.under('kill a gateway', (scene) => crash(scene, [shared.process('gateway-1')], 2000));
});

test('the leader of a stream: clients see no error', async () => {
  const report = await shared.under('kill a stream leader', async (scene) => {
    const leader = await scene.eye.leaderOf(0);
    await crash(scene, [shared.process(leader!)], 2000);
  });
  expect(problemsOf(report)).toEqual([]);
});

test('all NATS servers at once', async () => {
  await shared.under('kill all nats', (scene) => crash(scene, shared.cluster.nats, 500));
});

test('everything at once', async () => {
  await shared.under('kill everything', (scene) => crash(scene, shared.cluster.processes, 500));
});
