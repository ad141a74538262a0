// Checkpoints of a cluster of real processes: asked for at a gateway while clients write, conducted by one of the nodes,
// written by replicas that do not take the writes, whole; and while a node is gone.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Repository } from '@statestore/checkpoint';
import { listCheckpoints, openRepository, verifyCheckpoint } from '@statestore/checkpoint';
import type { LocalCluster } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import { openScratchEngine } from '@statestore/node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anyDisk } from '../servers/any-disk.ts';

const patient = { timeout: 120_000, interval: 100 };

let folder: string;
let cluster: LocalCluster;
let repository: Repository;
let url: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-checkpoints-'));
  const path = join(folder, 'repository');
  repository = await openRepository({ type: 'folder', path, concurrency: 8 });
  cluster = await startLocalCluster({
    folder: join(folder, 'cluster'),
    natsServers: 1,
    diskPercent: anyDisk([]),
    nodeArgs: ['--repository-type', 'folder', '--repository-path', path, '--checkpoints-max', '2'],
  });
  await cluster.ready();
  ({ url } = cluster.gateways[0]!);
});
afterAll(async () => {
  await repository?.close();
  await cluster?.close();
  await rm(folder, { recursive: true, force: true });
});

interface Run {
  readonly id: string;
  readonly state: string;
  readonly conductor: string;
  readonly checkpoint: string;
  readonly partitions: readonly { readonly partition: number; readonly node: string; readonly uploadedBytes: number }[];
}

async function write(from: number, to: number): Promise<void> {
  const operations = Array.from({ length: to - from }, (_, i) => ({
    op: 'put',
    key: `k${from + i}`,
    value: 'x'.repeat(300),
  }));
  const response = await fetch(`${url}/v1/stores/s/batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ operations }),
  });
  expect([response.status, response.ok ? '' : await response.text()]).toEqual([200, '']);
}

async function json<T>(path: string): Promise<T> {
  return (await (await fetch(`${url}${path}`)).json()) as T;
}

/** The run, when it is over. */
async function made(): Promise<Run> {
  const ask = async (): Promise<number> => (await fetch(`${url}/v1/checkpoints`, { method: 'POST' })).status;
  await expect.poll(ask, patient).toBe(202);
  const { run } = await json<{ readonly run: Run }>('/v1/checkpoints');
  const now = async (): Promise<Run> => (await json<{ readonly run: Run }>(`/v1/checkpoints/${run.id}`)).run;
  await expect.poll(async () => ['completed', 'failed'].includes((await now()).state), patient).toBe(true);
  return now();
}

async function expectWhole(id: string, entries: number): Promise<void> {
  const scratch = await mkdtemp(join(folder, 'scratch-'));
  const drill = (partition: number) => openScratchEngine(join(scratch, String(partition)));
  const verified = await verifyCheckpoint({ repository, cluster: cluster.name, id, drill });
  expect(verified).toMatchObject({ state: 'good', findings: [] });
  expect(verified.restored.reduce((sum, each) => sum + each.entries, 0)).toBe(entries);
}

test('asked for at a gateway, one at a time, whole, written away from where the writes go', async () => {
  await write(0, 500);
  const run = await made();
  expect(run).toMatchObject({ state: 'completed', conductor: expect.stringMatching(/^node-\d$/) as string });
  await expectWhole(run.checkpoint, 500);
  const topology = await json<{ partitions: { partition: number; replicas: string[] }[] }>('/v1/topology');
  const preferred = new Map(topology.partitions.map(({ partition, replicas }) => [partition, replicas[0]]));
  for (const { partition, node } of run.partitions) expect(node).not.toBe(preferred.get(partition));
  // Two at the same time are one.
  const both = await Promise.all([1, 2].map(() => fetch(`${url}/v1/checkpoints`, { method: 'POST' })));
  expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([202, 409]);
});

test('also while a node is gone; what is too many goes', async () => {
  await write(500, 700);
  const gone = cluster.nodes[0]!;
  await gone.stop();
  const first = await made();
  expect(first).toMatchObject({ state: 'completed' });
  expect(first.partitions.map(({ node }) => node)).not.toContain(gone.name);
  await expectWhole(first.checkpoint, 700);
  await gone.start();
  await cluster.ready();
  const second = await made();
  expect(second.state).toBe('completed');
  expect(second.partitions.reduce((sum, { uploadedBytes }) => sum + uploadedBytes, 0)).toBe(0);
  await expect
    .poll(async () => (await listCheckpoints({ repository, cluster: cluster.name })).map(({ id }) => id), patient)
    .toEqual([second.checkpoint, first.checkpoint]);
  // One that was started again may not listen there yet.
  const metrics = async (): Promise<string> => {
    const texts = cluster.nodes.map(async ({ metricsUrl }) => (await fetch(metricsUrl)).text());
    return (await Promise.allSettled(texts)).map((end) => (end.status === 'fulfilled' ? end.value : '')).join('\n');
  };
  await expect.poll(metrics, patient).toMatch(/^state_checkpoints_total\{outcome="created"\} [1-9]/m);
  await expect.poll(metrics, patient).toMatch(/^state_checkpoint_age_seconds \d/m);
});
