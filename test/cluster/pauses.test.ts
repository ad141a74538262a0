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
  const pauseMs = 60_000;
  let frozenMs = 0;
  const report = await shared.under('pause one of each', async (scene) => {
    const leader = await scene.eye.leaderOf(2);
    const targets = ['node-3', leader!, 'gateway-2'].map((name) => shared.process(name));
    frozenMs = performance.now();
    await freeze(scene, targets, pauseMs);
  });
  // By then another server leads; who asks the frozen gateway waits for a while, and goes on at the other one.
  for (let fromMs = frozenMs + 20_000; fromMs < frozenMs + pauseMs; fromMs += 10_000) {
    const written = report.history.events.filter(
      ({ operation, outcome, returnedMs }) =>
        operation.kind === 'write' && outcome === 'ok' && returnedMs >= fromMs && returnedMs < fromMs + 10_000,
    );
    expect(written.length, `${fromMs - frozenMs} ms after the freeze`).toBeGreaterThan(0);
  }
});

test('a slow replica holds nobody up for long, and catches up', async () => {
  const report = await shared.under('slow replica', (scene) => slowDown(scene, shared.process('node-1'), 5000));
  expect(problemsOf(report)).toEqual([]);
});
