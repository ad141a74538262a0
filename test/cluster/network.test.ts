// Cuts of the network between processes that are all alive, each in a namespace of its own (Linux and root; I21).
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Cut } from '../torture/deeds.ts';
import { cutOff } from '../torture/deeds.ts';
import { problemsOf, SharedCluster } from './shared-cluster.ts';

let shared: SharedCluster;
beforeAll(async () => {
  shared = await SharedCluster.start({ network: 'namespaces' });
});
afterAll(() => shared?.close());

/** `from` is cut off from each of `to`. */
function cuts(from: string, to: readonly string[], direction: Cut['direction']): Cut[] {
  return to.map((name) => ({ from: shared.process(from), to: shared.process(name), direction }));
}

const nats = ['nats-1', 'nats-2', 'nats-3'];
const nodes = ['node-1', 'node-2', 'node-3'];
const gateways = ['gateway-1', 'gateway-2'];

test('a node from everybody', async () => {
  const report = await shared.under('node from everybody', (scene) =>
    cutOff(scene, cuts('node-1', [...nats, 'node-2', 'node-3', ...gateways], 'both'), 7000),
  );
  expect(problemsOf(report)).toEqual([]);
});

test('a node from NATS only: gateways still reach it, and go elsewhere', async () => {
  const report = await shared.under('node from nats', (scene) => cutOff(scene, cuts('node-2', nats, 'both'), 7000));
  expect(problemsOf(report)).toEqual([]);
});

test('a gateway from one node only', async () => {
  const report = await shared.under('gateway from a node', (scene) =>
    cutOff(scene, cuts('gateway-1', ['node-3'], 'both'), 5000),
  );
  expect(problemsOf(report)).toEqual([]);
});

test('one way: what a node says reaches nobody, what it is told it hears', async () => {
  const report = await shared.under('node one way', (scene) =>
    cutOff(scene, cuts('node-1', [...nats, ...gateways], 'one-way'), 7000),
  );
  expect(problemsOf(report)).toEqual([]);
});

test('one way: what gateways ask does not reach a node, which hears NATS', async () => {
  const report = await shared.under('gateways one way', (scene) =>
    cutOff(
      scene,
      gateways.flatMap((gateway) => cuts(gateway, ['node-2'], 'one-way')),
      5000,
    ),
  );
  expect(problemsOf(report)).toEqual([]);
});

test('a NATS server from the others, both ways and one way', async () => {
  await shared.under('nats from nats', async (scene) => {
    await cutOff(scene, cuts('nats-1', ['nats-2', 'nats-3'], 'both'), 4000);
    await scene.cluster.ready();
    await cutOff(scene, cuts('nats-2', ['nats-1', 'nats-3'], 'one-way'), 4000);
  });
});

test('all NATS servers from each other: writes wait for a quorum', async () => {
  await shared.under('no quorum', (scene) =>
    cutOff(scene, [...cuts('nats-1', ['nats-2', 'nats-3'], 'both'), ...cuts('nats-2', ['nats-3'], 'both')], 4000),
  );
});
test('nodes from each other: no write needs that', async () => {
  const report = await shared.under('nodes from nodes', (scene) =>
    cutOff(scene, [...cuts('node-1', nodes.slice(1), 'both'), ...cuts('node-2', ['node-3'], 'both')], 4000),
  );
  expect(problemsOf(report)).toEqual([]);
});
