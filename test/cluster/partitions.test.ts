// Partitions that become more and fewer by command, under load: what the commands say, and that nobody notices.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandOutput, LocalCluster } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import { changeTopology, connectNats, jetStreamTopologyStore, resizePaused, withPartitions } from '@statestore/cluster';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anyDisk } from '../servers/any-disk.ts';
import { Load } from './steady-load.ts';

let cluster: LocalCluster;
let load: Load;

interface Status {
  readonly resize?: { readonly wanted?: number; readonly paused: boolean; readonly waits: readonly string[] };
  readonly partitions: readonly { readonly partition: number; readonly slots: number; readonly entries: number }[];
  readonly problems: readonly string[];
}

beforeAll(async () => {
  cluster = await startLocalCluster({ partitions: 2, diskPercent: anyDisk() });
  await cluster.ready();
  load = new Load(cluster.gateways[0]!.url);
});
afterAll(async () => {
  await load?.stop();
  await cluster?.close();
});

async function ran(...args: readonly string[]): Promise<CommandOutput> {
  const output = await cluster.statestore(args, 200_000);
  expect(output, output.stdout + output.stderr).toMatchObject({ code: 0 });
  return output;
}

async function status(): Promise<Status> {
  return JSON.parse((await ran('partitions', 'status', '--json')).stdout) as Status;
}

async function settled(timeoutMs = 120_000): Promise<Status> {
  for (const endMs = performance.now() + timeoutMs; ;) {
    const seen = await status();
    if (seen.resize === undefined) return seen;
    if (performance.now() > endMs) throw new Error(`it is not done: ${JSON.stringify(seen, undefined, 2)}`);
    await sleep(500);
  }
}

test('as they are, they are told with what they hold', async () => {
  await sleep(500);
  const { stdout } = await ran('partitions', 'status');
  expect(stdout).toMatch(/2 partitions; none is split or merged[^]*PARTITION +SLOTS +ENTRIES +BYTES +REPLICAS/);
  const failed = await cluster.statestore(['partitions', 'pause']);
  expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('not being changed') as string });
  expect((await ran('partitions', 'cancel')).stdout).toContain('There is nothing to give up');
  expect(await cluster.statestore(['partitions', 'resize', '4097'])).toMatchObject({ code: 2 });
});

test('a resize stays until it is done, and says what it does', async () => {
  const { stdout } = await ran('partitions', 'resize', '3');
  expect(stdout).toContain('From 2 to 3 partitions.');
  expect(stdout).toMatch(/split 0 → 2 begins: 1024 slots[^]*split 0 → 2 is done[^]*There are 3 partitions after/);
  const { partitions, problems } = await status();
  expect(partitions.map(({ partition, slots }) => [partition, slots])).toEqual([
    [0, 1024],
    [1, 2048],
    [2, 1024],
  ]);
  expect(problems).toEqual([]);
  expect((await ran('partitions', 'resize', '3')).stdout).toContain('There are 3 partitions.');
});

test('the nodes carry a wish out that nobody waits for', async () => {
  await ran('partitions', 'resize', '2', '--detach');
  const { partitions, problems } = await settled();
  expect(partitions.map(({ slots }) => slots)).toEqual([2048, 2048]);
  expect(problems).toEqual([]);
});

/** A wish that is paused at once: by two commands it could be carried out between them. */
async function paused(partitions: number): Promise<void> {
  const connection = await connectNats({ servers: [...cluster.natsUrls], name: 'test' });
  try {
    const store = await jetStreamTopologyStore(connection, cluster.name, { replicas: 3 });
    await changeTopology(store, (topology) => {
      const wish = withPartitions(topology, partitions);
      return { ...wish, ...resizePaused({ ...topology, ...wish }, true) };
    });
  } finally {
    await connection.close();
  }
}

test('it may be paused, resumed, given another number and given up', async () => {
  await paused(24);
  expect((await ran('partitions', 'pause')).stdout).toContain('It is paused already.');
  const asked = await status();
  expect(asked.resize).toMatchObject({ wanted: 24, paused: true });
  expect(asked.resize?.waits.join()).toContain('paused');
  expect((await ran('partitions', 'resume')).stdout).toContain('It goes on.');
  await ran('partitions', 'resize', '5');
  expect((await status()).partitions).toHaveLength(5);
  await paused(2);
  expect((await ran('partitions', 'cancel')).stdout).toContain('Given up');
  const { partitions, problems } = await settled();
  expect(partitions).toHaveLength(5);
  expect(problems).toEqual([]);
});

test('a node is added and filled, and another one emptied and struck out, by a call each', async () => {
  const adding = cluster.statestore(['add', 'node-4'], 200_000);
  await cluster.addNode();
  const added = await adding;
  expect(added, added.stdout + added.stderr).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('Node node-4 has its share') as string,
  });
  const removing = cluster.statestore(['remove', 'node-1'], 200_000);
  await expect.poll(async () => holdsAnything('node-1'), { timeout: 120_000 }).toBe(false);
  await cluster.nodes[0]!.stop();
  const removed = await removing;
  expect(removed, removed.stdout + removed.stderr).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('Node node-1 is gone for good') as string,
  });
});

async function holdsAnything(name: string): Promise<boolean> {
  const { stdout } = await cluster.statestore(['status', '--json']);
  const { nodes } = JSON.parse(stdout) as { readonly nodes: readonly { name: string; replicas: number }[] };
  return nodes.some((node) => node.name === name && node.replicas > 0);
}

test('nobody noticed: no write failed, and each is there', async () => {
  const written = await load.stop();
  expect(load.failures.slice(0, 5)).toEqual([]);
  expect(written.size).toBeGreaterThan(500);
  const stored = await load.stored();
  expect([...written].filter(([key, value]) => stored.get(key) !== value)).toEqual([]);
  const counted = (await status()).partitions.reduce((sum, { entries }) => sum + entries, 0);
  expect(counted).toBe(written.size);
});
