// How far replicas were is not forgotten while all nodes start again: a report takes the place of the one
// before it, and must not know less.
import type { NodeReport } from '@statestore/cluster';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';

const three = ['a', 'b', 'c'];
let cluster: NodeCluster;

beforeEach(async () => {
  cluster = await NodeCluster.open(new MemoryBackend());
});
afterEach(() => cluster.close());

test('every report of nodes that start again says how far any replica was', async () => {
  for (const name of three) await cluster.start(name);
  await cluster.create(1, three);
  await cluster.running(three);
  await cluster.stop('c');
  for (let i = 0; i < 6; i++) await cluster.put('a', `k${i}`, 'v');
  await cluster.converged(['a', 'b']);
  const last = (await cluster.logStreams.describe(0, 1))!.last;
  await cluster.until('all was reported', async () =>
    (await cluster.registry.list()).some(({ replicas }) => replicas[0]?.appliedPosition === String(last)),
  );
  await cluster.stop('a');
  await cluster.stop('b');
  const said: NodeReport[] = [];
  const watch = cluster.registry.watch((nodes) => {
    for (const { report } of nodes.values()) said.push(report);
  });
  await Promise.all(three.map((name) => cluster.start(name)));
  await cluster.running(three);
  await watch.close();
  const boots = new Set(said.filter(({ name }) => name === 'a').map(({ boot }) => boot));
  const after = said.filter(({ name, boot }) => name === 'a' && boot === [...boots].at(-1));
  expect(after.length).toBeGreaterThan(0);
  expect(after.filter(({ replicas }) => BigInt(replicas[0]?.heardPosition ?? 0n) < last)).toEqual([]);
});
