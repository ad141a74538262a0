// docs/operations.md names every metric that a process exports, and no other.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { buildGateway } from '../services/gateway/src/index.ts';
import { ClusterMetrics } from '../services/gateway/src/cluster/metrics.ts';
import { FakeNode } from '../services/gateway/src/testing/fake-node.ts';
import { nodeMetricTable } from '../services/node/src/cluster/metric-table.ts';
import { evenTopology } from '../services/core/src/topology.ts';

const text = readFileSync(fileURLToPath(new URL('../docs/operations.md', import.meta.url)), 'utf8');

test('every metric is explained, and nothing else', async () => {
  const registry = new Registry();
  const topology = evenTopology(1, ['a']);
  const gateway = await buildGateway({
    topology,
    node: new FakeNode(1),
    version: '0',
    cursorKey: new Uint8Array(32),
    registry,
  });
  new ClusterMetrics().export(
    registry,
    () => [],
    () => 0,
  );
  const exported = new Set([...Object.keys(nodeMetricTable), ...registry.getMetricsAsArray().map(({ name }) => name)]);
  await gateway.close();
  const explained = new Set(
    [...text.matchAll(/^\| ((?:`state_\w+`(?:, )?)+) \|/gm)].flatMap(([, names]) =>
      [...names!.matchAll(/`(state_\w+)`/g)].map(([, name]) => name!),
    ),
  );
  expect([...explained].toSorted()).toEqual([...exported].filter((name) => name.startsWith('state_')).toSorted());
});
