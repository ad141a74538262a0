// Restarts that a cluster is told of: each kind of process, everything, and a rolling restart under load. And a clock
// that is an hour off, which nothing depends on (I10, I21).
import { afterAll, beforeAll, expect, test } from 'vitest';
import { restart, rollingRestart } from '../torture/deeds.ts';
import { problemsOf, SharedCluster } from './shared-cluster.ts';

const hourMs = 3_600_000;
let shared: SharedCluster;
beforeAll(async () => {
  const shifts: Readonly<Record<string, number>> = { 'node-1': hourMs, 'node-2': -hourMs };
  shared = await SharedCluster.start({ clockShiftMs: (name) => shifts[name] });
});
afterAll(() => shared?.close());

test('clocks an hour ahead and an hour behind change nothing', async () => {
  const report = await shared.under('shifted clocks', (scene) => scene.sleep(4000));
  expect(problemsOf(report)).toEqual([]);
});

test('a rolling restart of nodes, NATS servers and gateways: clients see no error', async () => {
  const report = await shared.under('rolling restart', (scene) => rollingRestart(scene, shared.cluster.processes));
  expect(problemsOf(report)).toEqual([]);
});

test('the leader of a stream', async () => {
  const report = await shared.under('restart a stream leader', async (scene) => {
    const leader = await scene.eye.leaderOf(0);
    await restart(scene, shared.process(leader!));
  });
  expect(problemsOf(report)).toEqual([]);
});

test('all NATS servers at once, and then everything', async () => {
  await shared.under('restart everything', async (scene) => {
    for (const group of [shared.cluster.nats, shared.cluster.processes]) {
      await scene.during('graceful restart', group, async () => {
        await Promise.all(group.map((process) => process.stop()));
        await Promise.all(group.map((process) => process.start()));
      });
      await scene.cluster.ready();
    }
  });
});
