// kill -9 in the middle of a restore, at every stage of it: of nodes that restore their replicas, and of `statestore
// restore`. Whoever is started again comes to the same end, serves nothing half on the way, and leaves nothing behind.
import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startLocalCluster } from '@statestore/cli';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anyDisk } from '../servers/any-disk.ts';
import { DevServer } from './dev-server.ts';
import { BackedUpCluster, nodeArgsOf } from './restore/backed-up-cluster.ts';
import { Orders } from './restore/orders.ts';
import type { Stage } from './restore/stages.ts';
import { commandStages, folderStages, replicaStages } from './restore/stages.ts';

let orders: Orders;
let world: BackedUpCluster;

beforeAll(async () => {
  orders = await Orders.open();
  world = await BackedUpCluster.start({ nodeFlags: orders.flags });
  // Of several blocks in each partition.
  await world.write(400, 30_000, 20);
  await world.trimBelow(await world.checkpoint());
  // What is left to replay, each a batch of its own.
  await world.write(120, 30_000);
});
afterAll(async () => {
  await world?.close();
  await orders?.close();
});

const rounds = [0, 3, 6].map((at) => [replicaStages.slice(at, at + 3)] as const);

test.each(rounds)('nodes are killed while they restore: %s', async (stages) => {
  const nodes = stages.map((stage, at) => ({ stage, node: world.cluster.nodes[at]! }));
  const exits = nodes.map(({ node }) => node.exits);
  for (const { node, stage } of nodes) {
    await world.wipe(node);
    await orders.die(node.name, stage);
  }
  const watches = nodes.map(({ node }) => world.watchFor(node));
  await Promise.all(nodes.map(({ node }) => node.start()));
  for (const { node } of nodes) await orders.died(node.name);
  await world.converged(3);
  expect(nodes.map(({ node }, at) => node.exits - exits[at]!)).toEqual(nodes.map(() => 1));
  for (const { node } of nodes) {
    await world.expectNothingLeft(node);
  }
  for (const watch of watches) {
    const { few, answers } = await watch();
    expect(few).toEqual([]);
    expect(answers).toBeGreaterThan(0);
  }
});

const launcher = fileURLToPath(new URL('../../services/cli/statestore', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
}

/** Killed at a stage of it where one is ordered. */
async function statestore(args: readonly string[], stage?: Stage): Promise<Ended> {
  if (stage !== undefined) await orders.die(args[0]!, stage);
  const env = { ...process.env, NODE_FLAGS: orders.flags.join(' ') };
  const child = spawn(launcher, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  let out = '';
  child.stdout.on('data', (chunk) => (out += String(chunk)));
  child.stderr.on('data', (chunk) => (out += String(chunk)));
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.on('close', (...ended) => resolve(ended)),
  );
  return { code, signal, out };
}

const killed = { code: null, signal: 'SIGKILL' };

test('`statestore restore` of a cluster is killed at every stage, and is run again', async () => {
  const scratch = join(world.folder, 'scratch');
  const other = await startLocalCluster({
    folder: join(world.folder, 'other'),
    name: 'demo2',
    natsServers: 0,
    natsUrls: world.cluster.natsUrls,
    init: false,
    diskPercent: anyDisk([]),
    nodeFlags: orders.flags,
    nodeArgs: nodeArgsOf(world.repositoryPath),
  });
  try {
    const at = new Date().toISOString();
    await new Promise((resolve) => setTimeout(resolve, 5));
    const acknowledged = new Map(world.written);
    await world.write(20, 1000);
    await world.archived();
    const place = ['--repository', `file://${world.repositoryPath}`, '--nats', world.cluster.natsUrls.join(',')];
    const restore = ['restore', ...place, '--cluster', 'demo2', '--log-replicas', '1', '--scratch', scratch];
    const toThen = [...restore, '--to', at];
    // A node of the new cluster dies as well, as soon as there is something to download.
    const [node] = other.nodes;
    await orders.die('node-1', 'downloading');
    for (const stage of commandStages) {
      expect(await statestore(toThen, stage), stage).toMatchObject(killed);
      if (stage === 'topology sent') break;
      expect(await world.epoch('demo2'), stage).toBeUndefined();
      if (stage !== 'before the topology') continue;
      // Another moment is another state than the one that its logs carry on.
      const refused = await statestore([...restore, '--to', 'newest', '--from-cluster', 'demo']);
      expect(refused.code, refused.out).toBe(1);
      const [, begun] = /an interrupted restore began with checkpoint ([0-9a-f-]{36})/.exec(refused.out) ?? [];
      expect(refused.out).toContain(`--checkpoint ${begun}, of `);
    }
    await orders.died('node-1');
    const again = await statestore(toThen);
    expect(again.code, again.out).toBe(2);
    expect(again.out).toMatch(/begins with checkpoint [0-9a-f-]{36}.*it is done: statestore status/s);
    await other.ready();
    await world.converged(3, 'demo2');
    await world.expectNothingLeft(node!);
    await world.expectAll(acknowledged, other.gateways[0]!.url);
    expect(await readdir(scratch)).toEqual([]);
  } finally {
    await other.close();
  }
});

test('`statestore restore --data` is killed at every stage: no node starts on a half, and it is run again', async () => {
  const data = join(world.folder, 'alone');
  const restore = [
    'restore',
    '--repository',
    `file://${world.repositoryPath}`,
    '--from-cluster',
    'demo',
    '--data',
    data,
  ];
  await world.archived();
  for (const stage of folderStages) {
    expect(await statestore(restore, stage), stage).toMatchObject(killed);
    if (stage === 'described') break;
    const refused = await statestore(['dev', '--data', data]);
    expect(refused.code, stage).toBe(1);
    expect(refused.out, stage).toMatch(/a restore into .* was not finished\s+run it again/);
  }
  const again = await statestore(restore);
  expect(again.code, again.out).toBe(2);
  expect(again.out).toContain('is complete');
  const server = await DevServer.start({ folder: data, partitions: 2 });
  try {
    expect(await readdir(data)).not.toContain('restoring');
    await world.expectAll(world.written, server.url);
  } finally {
    await server.stop();
  }
});
