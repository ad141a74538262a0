// Cluster nodes while their NATS servers are killed, or come back from an older copy of their disks.
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logStream } from '@statestore/cluster';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NatsCluster } from '../servers/nats-cluster.ts';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import { NodeCluster } from './cluster-node-fixture.ts';
import { NatsBackend } from './cluster-node-nats.ts';

const three = ['a', 'b', 'c'];
let directory = '';
let nats: NatsCluster;
let cluster: NodeCluster;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'statestore-nats-'));
  nats = await startNatsCluster({ directory, servers: 3 });
  cluster = await NodeCluster.open(new NatsBackend(nats, 'faults', 3));
  for (const name of three) await cluster.start(name);
  await cluster.create(1, three);
  await cluster.running(three);
}, 90_000);

afterEach(async () => {
  const fatal = [...cluster.fatal];
  await cluster.close();
  await nats.stop();
  await rm(directory, { recursive: true, force: true });
  expect(fatal).toEqual([]);
});

const halts = (): readonly unknown[] => cluster.notices.filter(({ notice }) => notice === 'a replica halted');

async function writtenTo(position: bigint): Promise<void> {
  await cluster.until(`${position} is written`, () => BigInt(cluster.report('a')?.appliedPosition ?? 0) >= position);
}

describe('nodes whose servers', () => {
  test('lose the leader of a log go on, and nobody halts', async () => {
    const writer = cluster.writer(three);
    await writtenTo(50n);
    const leader = await nats.waitForLeader(logStream('faults', 0, 1));
    await leader.kill();
    const { appliedPosition } = cluster.report('a')!;
    await writtenTo(BigInt(appliedPosition) + 50n);
    await leader.start();
    const written = await writer.stop();
    await cluster.converged(three);
    await cluster.expectAll(three, written);
    expect(halts()).toEqual([]);
  });

  test('are all killed at once go on when they are back, and nobody halts', async () => {
    const writer = cluster.writer(three);
    await writtenTo(50n);
    await Promise.all(nats.servers.map((server) => server.kill()));
    await cluster.until('everybody noticed', () => three.every((name) => !cluster.at(name).status().connected));
    const { appliedPosition } = cluster.report('a')!;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await nats.start();
    await writtenTo(BigInt(appliedPosition) + 50n);
    const written = await writer.stop();
    await cluster.converged(three);
    await cluster.expectAll(three, written);
    expect(halts()).toEqual([]);
    expect(await cluster.at('a').metrics.metrics()).toMatch(/state_nats_reconnects_total [1-9]/);
  });

  test('come back from an older copy of their disks lose nothing that was acknowledged', async () => {
    const writer = cluster.writer(three);
    await writtenTo(30n);
    const first = await writer.stop();
    await cluster.converged(three);
    await nats.stop();
    await cp(directory, `${directory}-copy`, { recursive: true });
    await nats.start();
    const more = cluster.writer(three);
    await writtenTo(BigInt(cluster.report('a')!.appliedPosition) + 30n);
    await Promise.all(nats.servers.map((server) => server.kill()));
    const second = await more.stop();
    await rm(directory, { recursive: true });
    await cp(`${directory}-copy`, directory, { recursive: true });
    await rm(`${directory}-copy`, { recursive: true });
    await nats.start();
    await cluster.until('it is another log', async () => (await cluster.placement(0)).log?.generation === 2, 60_000);
    await cluster.running(three);
    await cluster.put('b', 'after', 'v');
    await cluster.converged(three);
    await cluster.expectAll(three, new Map([...first, ...second, ['after', 'v']]));
  });
});
