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

test('10 s of everything', async () => {
  await shared.under('pause everything', (scene) => freeze(scene, shared.cluster.processes, 10_000));
});

test('60 s of a node, a NATS server that leads a log, and a gateway at once: the others go on', async () => {
  let frozenMs = 0;
  const report = await shared.under('pause one of each', async (scene) => {
    const leader = await scene.eye.leaderOf(2);
    const targets = ['node-3', leader!, 'gateway-2'].map((name) => shared.process(name));
    frozenMs = performance.now();
    await freeze(scene, targets, 60_000);
  });
  // By then another server leads, and nobody asks the gateway any more.
  const [fromMs, toMs] = [frozenMs + 30_000, frozenMs + 60_000];
  const written = report.history.events.filter(
    ({ operation, outcome, invokedMs, returnedMs }) =>
      operation.kind === 'write' && outcome === 'ok' && invokedMs > fromMs && returnedMs < toMs,
  );
  expect(written.length).toBeGreaterThan(100);
});

test('a slow replica holds nobody up for long, and catches up', async () => {
  const report = await shared.under('slow replica', (scene) => slowDown(scene, shared.process('node-1'), 5000));
  expect(problemsOf(report)).toEqual([]);
});
