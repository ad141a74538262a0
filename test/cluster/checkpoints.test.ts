// Checkpoints of a cluster of real processes: asked for at a gateway while clients write, conducted by one of the nodes,
// written by replicas that do not take the writes, whole; and while a node is gone.
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { listCheckpoints, verifyCheckpoint } from '@statestore/checkpoint';
import { openScratchEngine } from '@statestore/node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClusterWithRepository, patient } from './cluster-with-repository.ts';

let shared: ClusterWithRepository;

beforeAll(async () => {
  shared = await ClusterWithRepository.start({ nodeArgs: ['--checkpoints-max', '2'] });
});
afterAll(() => shared?.close());

function write(from: number, to: number): Promise<void> {
  return shared.put(Array.from({ length: to - from }, (_, i) => [`k${from + i}`, 'x'.repeat(300)]));
}

async function expectWhole(id: string, entries: number): Promise<void> {
  const { cluster, folder, repository } = shared;
  const scratch = await mkdtemp(join(folder, 'scratch-'));
  const drill = (partition: number) => openScratchEngine(join(scratch, String(partition)));
  const verified = await verifyCheckpoint({ repository, cluster: cluster.name, id, drill });
  expect(verified).toMatchObject({ state: 'good', findings: [] });
  expect(verified.restored.reduce((sum, each) => sum + each.entries, 0)).toBe(entries);
}

test('asked for at a gateway, one at a time, whole, written away from where the writes go', async () => {
  await write(0, 500);
  const run = await shared.checkpoint();
  expect(run).toMatchObject({ state: 'completed', conductor: expect.stringMatching(/^node-\d$/) as string });
  await expectWhole(run.checkpoint, 500);
  const topology = await shared.json<{ partitions: { partition: number; replicas: string[] }[] }>('/v1/topology');
  const preferred = new Map(topology.partitions.map(({ partition, replicas }) => [partition, replicas[0]]));
  for (const { partition, node } of run.partitions) expect(node).not.toBe(preferred.get(partition));
  // Two at the same time are one.
  const both = await Promise.all([1, 2].map(() => fetch(`${shared.url}/v1/checkpoints`, { method: 'POST' })));
  expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([202, 409]);
});

test('also while a node is gone; what is too many goes', async () => {
  const { cluster, repository } = shared;
  await write(500, 700);
  const gone = cluster.nodes[0]!;
  await gone.stop();
  const first = await shared.checkpoint();
  expect(first).toMatchObject({ state: 'completed' });
  expect(first.partitions.map(({ node }) => node)).not.toContain(gone.name);
  await expectWhole(first.checkpoint, 700);
  await gone.start();
  await cluster.ready();
  const second = await shared.checkpoint();
  expect(second.state).toBe('completed');
  expect(second.partitions.reduce((sum, { uploadedBytes }) => sum + uploadedBytes, 0)).toBe(0);
  const third = await shared.checkpoint();
  // The two newest, and the two that are the first to be old enough for the logs to be trimmed.
  const kept = async () => (await listCheckpoints({ repository, cluster: cluster.name })).map(({ id }) => id);
  await expect.poll(async () => (await kept()).includes(first.checkpoint), patient).toBe(false);
  expect((await kept()).slice(0, 2)).toEqual([third.checkpoint, second.checkpoint]);
  expect(await kept()).toHaveLength(4);
  await expect
    .poll(() => shared.values('state_checkpoints_total{outcome="created"}'), patient)
    .toContainEqual(expect.toSatisfy((count) => count > 0));
  await expect.poll(() => shared.values('state_checkpoint_age_seconds'), patient).not.toEqual([]);
});
