// Disks of nodes are lost, one under load and then all of them, with logs that were trimmed: they come back from the
// checkpoint and the log, with everything that was acknowledged.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRepository, showCheckpoint } from '@statestore/checkpoint';
import type { LocalCluster, ManagedProcess } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import { connectNats, jetStreamTopologyStore } from '@statestore/cluster';
import { openJetStreamLog } from '@statestore/node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anyDisk } from '../servers/any-disk.ts';

const patient = { timeout: 120_000, interval: 100 };

let folder: string;
let repositoryPath: string;
let cluster: LocalCluster;
let url: string;
const acknowledged = new Set<string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-wiped-'));
  repositoryPath = join(folder, 'repository');
  cluster = await startLocalCluster({
    folder: join(folder, 'cluster'),
    natsServers: 1,
    partitions: 2,
    diskPercent: anyDisk([]),
    nodeArgs: ['--repository-type', 'folder', '--repository-path', repositoryPath],
  });
  await cluster.ready();
  ({ url } = cluster.gateways[0]!);
});
afterAll(async () => {
  await cluster?.close();
  await rm(folder, { recursive: true, force: true });
});

async function write(name: string, count: number): Promise<void> {
  const keys = Array.from({ length: count }, (_, i) => `${name}-${i}`);
  const response = await fetch(`${url}/v1/stores/s/batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ operations: keys.map((key) => ({ op: 'put', key, value: `of ${key}` })) }),
  });
  if (!response.ok) throw new Error(await response.text());
  await response.json();
  for (const key of keys) acknowledged.add(key);
}

async function expectAll(): Promise<void> {
  const keys = [...acknowledged];
  const missing: string[] = [];
  for (let at = 0; at < keys.length; at += 32) {
    const some = keys.slice(at, at + 32).map(async (key) => {
      const response = await fetch(`${url}/v1/stores/s/keys/${key}`);
      const text = await response.text();
      if (!response.ok || !text.includes(`of ${key}`)) missing.push(key);
    });
    await Promise.all(some);
  }
  expect(missing).toEqual([]);
}

interface Run {
  readonly id: string;
  readonly state: string;
  readonly checkpoint: string;
}

/** The checkpoint's id. */
async function checkpoint(): Promise<string> {
  const ask = async (): Promise<number> => (await fetch(`${url}/v1/checkpoints`, { method: 'POST' })).status;
  await expect.poll(ask, patient).toBe(202);
  const run = async (): Promise<Run> =>
    ((await (await fetch(`${url}/v1/checkpoints`)).json()) as { readonly run: Run }).run;
  await expect.poll(async () => (await run()).state, patient).toBe('completed');
  return (await run()).checkpoint;
}

/** As far as the checkpoint makes it dispensable; what does that by itself waits for a second one, and for ten minutes. */
async function trimBelow(id: string): Promise<void> {
  const repository = await openRepository({ type: 'folder', path: repositoryPath, concurrency: 4 });
  const connection = await connectNats({ servers: [...cluster.natsUrls], name: 'test' });
  try {
    const shown = await showCheckpoint({ repository, id });
    if (shown.state !== 'complete') throw new Error(shown.state);
    const topology = await (await jetStreamTopologyStore(connection, cluster.name, { replicas: 1 })).read();
    for (const { partition, position } of shown.manifest.partitions) {
      const log = topology!.partitions[partition]!.log!;
      const opened = await openJetStreamLog({ connection, cluster: cluster.name, partition, log });
      await opened.trim(position + 1n);
      await opened.close();
    }
  } finally {
    await connection.close();
    await repository.close();
  }
}

async function metric(node: ManagedProcess, name: string): Promise<number> {
  const text = await (await fetch(node.metricsUrl)).text();
  const found = [...text.matchAll(new RegExp(`^${name}\\{[^}]*\\} (\\d+)$`, 'gm'))];
  return found.reduce((sum, [, value]) => sum + Number(value), 0);
}

async function wipe(node: ManagedProcess): Promise<void> {
  await node.kill();
  await rm(node.dataPath!, { recursive: true, force: true });
}

test('a wiped node comes back under load', async () => {
  await write('before', 400);
  const id = await checkpoint();
  await trimBelow(id);
  const enough = new AbortController();
  const load = (async () => {
    for (let i = 0; !enough.signal.aborted; i++) await write(`during-${i}`, 20);
  })();
  load.catch(() => undefined);
  const node = cluster.nodes[2]!;
  await wipe(node);
  await node.start();
  await cluster.ready();
  await expect.poll(() => metric(node, 'state_restores_total').catch(() => 0), patient).toBe(2);
  expect(await metric(node, 'state_replica_rebuilds_total')).toBe(0);
  enough.abort();
  await load;
  await expectAll();
});

test('all nodes are wiped at once, and nothing that was acknowledged is lost', async () => {
  await write('more', 200);
  for (const node of cluster.nodes) await wipe(node);
  await Promise.all(cluster.nodes.map((node) => node.start()));
  await cluster.ready(120_000);
  const restores = async (): Promise<number> => {
    const each = await Promise.all(cluster.nodes.map((node) => metric(node, 'state_restores_total').catch(() => 0)));
    return each.reduce((sum, count) => sum + count, 0);
  };
  await expect.poll(restores, patient).toBeGreaterThanOrEqual(2);
  await expectAll();
  await write('after', 10);
  await expectAll();
});
