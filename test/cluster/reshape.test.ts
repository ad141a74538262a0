// Partitions that become more and fewer while clients work and processes die: nobody is told of an error, nothing that was
// acknowledged is lost, listings and sessions go on (the history is judged by slots, which stay whole).
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkWatch } from '../history/checker/watches.ts';
import { describeViolations } from '../history/history-checker.ts';
import { crash } from '../torture/deeds.ts';
import { resizedMsMax } from '../torture/faults.ts';
import { Follower } from '../torture/follower.ts';
import type { Scene } from '../torture/scene.ts';
import { problemsOf, SharedCluster } from './shared-cluster.ts';

let shared: SharedCluster;
beforeAll(async () => {
  shared = await SharedCluster.start({ partitions: 1 });
});
afterAll(() => shared?.close());

const resizes = { resizes: true };

async function resized(scene: Scene, partitions: number): Promise<void> {
  await scene.resize(partitions);
  await scene.eye.resized(resizedMsMax);
  expect((await scene.eye.generations()).size).toBe(partitions);
}

test('1 → 4 → 2 under load: clients see no error, a watch is told of every change once', async () => {
  // Before the load begins; of the store that is named so.
  const follower = await Follower.open(
    shared.cluster.gateways.map(({ url }) => url),
    'resize-under-load',
  );
  const report = await shared.under(
    'resize under load',
    async (scene) => {
      await resized(scene, 4);
      await resized(scene, 2);
    },
    resizes,
  );
  const told = await follower.stop();
  expect(problemsOf(report)).toEqual([]);
  expect(told.length).toBeGreaterThan(500);
  expect(describeViolations(checkWatch(report.history.events, told))).toBe('');
});

/** Who dies in the middle of a split, and of a merge. */
test.each([
  ['a node', (cluster: SharedCluster) => [cluster.process('node-1')]],
  ['a gateway', (cluster: SharedCluster) => [cluster.process('gateway-1')]],
  ['all NATS servers', (cluster: SharedCluster) => cluster.cluster.nats],
  ['all nodes', (cluster: SharedCluster) => cluster.cluster.nodes],
] as const)('2 → 3 → 2 while %s dies', async (what, targets) => {
  await shared.under(
    `resize and kill ${what}`,
    async (scene) => {
      for (const partitions of [3, 2]) {
        await scene.resize(partitions);
        for (const pauseMs of [100, 900]) {
          await scene.sleep(pauseMs);
          await crash(scene, targets(shared), 300);
        }
        await scene.eye.resized(resizedMsMax);
      }
    },
    resizes,
  );
});
