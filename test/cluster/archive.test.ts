// The archive of a cluster of real processes: whoever is killed, what clients wrote is in it soon, and any moment can be
// made a checkpoint of.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { coverageOf, listArchive, listCheckpoints, openRepository } from '@statestore/checkpoint';
import { connectNats, jetStreamLogStreams, jetStreamTopologyStore } from '@statestore/cluster';
import { startLocalCluster } from '@statestore/cli';
import type { RestoreMoment } from '@statestore/node';
import { prepareRestore } from '@statestore/node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anyDisk } from '../servers/any-disk.ts';
import { ClusterWithRepository, patient } from './cluster-with-repository.ts';

let shared: ClusterWithRepository;

beforeAll(async () => {
  shared = await ClusterWithRepository.start({ nodeArgs: ['--archive-interval', '200ms'] });
});
afterAll(() => shared?.close());

async function write(from: number, to: number): Promise<void> {
  const entries = Array.from({ length: to - from }, (_, i) => [`k${from + i}`, `v${from + i}`] as const);
  const put = (): Promise<boolean> =>
    shared.put(entries).then(
      () => true,
      () => false,
    );
  await expect.poll(put, patient).toBe(true);
}

/** Entries of all partitions at that moment. */
async function entriesAt(moment: RestoreMoment, partitions?: number, of = shared.cluster.name): Promise<number> {
  const { folder, repository } = shared;
  const into = await openRepository({
    type: 'folder',
    path: join(folder, `into-${randomBytes(4).toString('hex')}`),
    concurrency: 4,
  });
  try {
    const { manifest } = await prepareRestore({
      source: repository,
      into,
      sourceCluster: of,
      moment,
      partitions,
      cluster: 'restored',
      scratchPath: folder,
      conductor: 'test',
      version: '1',
      random: (bytes) => randomBytes(bytes),
      signal: new AbortController().signal,
    });
    return manifest.partitions.reduce((sum, { entries }) => sum + Number(entries), 0);
  } finally {
    await into.close();
  }
}

const nanosNow = (): bigint => BigInt(Date.now()) * 1_000_000n;

test('what was written before and after a node was killed is archived; any moment can be restored', async () => {
  const { cluster, repository } = shared;
  await write(0, 300);
  await shared.checkpoint();
  await write(300, 500);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const between = nanosNow();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const killed = cluster.nodes[0]!;
  await killed.kill();
  await write(500, 700);
  await expect.poll(() => entriesAt({ kind: 'newest' }), patient).toBe(700);
  expect(await entriesAt({ kind: 'time', nanos: between })).toBe(500);
  expect(await entriesAt({ kind: 'time', nanos: between }, 3)).toBe(500);
  expect(await entriesAt({ kind: 'checkpoint', id: undefined })).toBe(300);
  const { logs, damaged } = await listArchive({ repository });
  expect(damaged).toEqual([]);
  for (const { segments } of logs) expect(coverageOf(segments)).toMatchObject({ gaps: [] });
  expect(await shared.values('state_archive_age_seconds')).toHaveLength(logs.length);
  await killed.start();
});

test('a new cluster begins with the moment that is wanted, in other partitions', async () => {
  const { cluster, folder, repository } = shared;
  const path = repository.location;
  const restored = await startLocalCluster({
    folder: join(folder, 'restored'),
    name: 'demo2',
    natsServers: 0,
    natsUrls: cluster.natsUrls,
    init: false,
    diskPercent: anyDisk([]),
    nodeArgs: ['--repository-type', 'folder', '--repository-path', path],
  });
  const connection = await connectNats({ servers: [...cluster.natsUrls], name: 'test' });
  try {
    const args = ['restore', '--repository', `file://${path}`, '--from-cluster', cluster.name, '--partitions', '3'];
    const made = await restored.statestore([...args, '--nats', cluster.natsUrls.join(','), '--cluster', 'demo2']);
    expect([made.code, made.stderr]).toEqual([0, '']);
    expect(made.stdout).toMatch(/Begins from checkpoint .* of demo[^]*Made 3 partitions of 3 replicas/);
    const store = await jetStreamTopologyStore(connection, 'demo2', { replicas: 1 });
    const topology = (await store.read())!;
    const newest = (await listCheckpoints({ repository, cluster: 'demo2' }))[0];
    expect(newest).toMatchObject({
      state: 'complete',
      id: topology.restoredFrom!.checkpoint,
      totals: { entries: 700n },
    });
    const streams = jetStreamLogStreams(connection, 'demo2');
    for (const { partition, log } of topology.partitions) {
      const { position } = log!.continues!;
      expect(await streams.describe(partition, log!.generation)).toMatchObject({ log, first: position + 1n });
    }
    expect(made.stdout).toMatch(/Partition 0 is at position \d+, of 20/);
    // Its logs are known at once: what the other one writes is none of it, though nothing is archived of its own.
    const restoredFrom = topology.restoredFrom!.checkpoint;
    const { logs } = await listArchive({ repository });
    for (const { partition, log } of topology.partitions) {
      const described = logs.find((each) => each.log.incarnation === log!.incarnation)?.log;
      expect(described).toMatchObject({ ...log, cluster: 'demo2', partition, restoredFrom });
    }
    await write(700, 720);
    await expect.poll(() => entriesAt({ kind: 'newest' }), patient).toBe(720);
    // Sessions of the other one, which has gone on since, have nothing to wait for here.
    const key = '/v1/stores/s/keys/k1';
    const put = await fetch(`${shared.url}${key}`, { method: 'PUT', body: 'later' });
    const headers = { 'StateStore-Session': put.headers.get('StateStore-Session')! };
    const read = async (): Promise<number> => {
      const signal = AbortSignal.timeout(5000);
      return (await fetch(`${restored.gateways[0]!.url}${key}?consistency=session`, { headers, signal })).status;
    };
    await restored.ready();
    expect(await read()).toBe(200);
    expect(new Set(topology.partitions.map(({ log }) => log!.generation))).toEqual(new Set([5]));
    expect(newest).toMatchObject({ lineage: topology.lineage });
    expect(await entriesAt({ kind: 'newest' }, undefined, 'demo2')).toBe(700);
    expect(await entriesAt({ kind: 'time', nanos: nanosNow() }, undefined, 'demo2')).toBe(700);
  } finally {
    await connection.close();
    await restored.close();
  }
});

test('only a new cluster can be restored', async () => {
  const { cluster, repository } = shared;
  const args = ['restore', '--to', 'newest', '--repository', `file://${repository.location}`];
  expect(await cluster.statestore(args)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('only a new cluster can be restored') as string,
  });
});
