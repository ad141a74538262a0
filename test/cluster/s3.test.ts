// A cluster of real processes with checkpoints and archive in a real S3 server, set up as a user would: one URL, keys in
// the environment. It is asked for checkpoints in the middle of a burst; the server fails in every way that servers
// and networks do; who writes and who conducts is killed; all disks are lost, those of NATS at last.
import { setTimeout as sleep } from 'node:timers/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collectGarbage, listCheckpoints, verifyCheckpoint } from '@statestore/checkpoint';
import type { ManagedProcess } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { everyFault, s3Settings, slowDown } from '../contract/s3-fixture.ts';
import { anyDisk } from '../servers/any-disk.ts';
import type { Fault, Rule } from '../servers/s3-proxy.ts';
import { S3Proxy } from '../servers/s3-proxy.ts';
import { S3Server, s3Keys } from '../servers/s3-server.ts';
import type { CheckpointRun } from './cluster-with-repository.ts';
import { ClusterWithRepository, patient } from './cluster-with-repository.ts';
import { Overwritten } from './overwritten.ts';

const awayMs = 20_000;

let folder: string;
let server: S3Server;
let proxy: S3Proxy;
let shared: ClusterWithRepository;
let written: Overwritten;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-s3-'));
  server = await S3Server.start('versitygw', folder, ['checkpoints']);
  proxy = await S3Proxy.start(server.port);
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) vi.stubEnv(name, undefined);
  vi.stubEnv('AWS_ACCESS_KEY_ID', s3Keys.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', s3Keys.secretAccessKey);
  shared = await ClusterWithRepository.start({
    partitions: 3,
    place: {
      settings: s3Settings(server.url, { repositoryPrefix: 'backups' }),
      args: repositoryAt('backups'),
    },
    nodeArgs: ['--archive-interval', '200ms'],
  });
  written = new Overwritten(shared.url);
});
afterEach(async () => {
  proxy.reset();
  await written.end();
  // None ended by itself.
  expect(shared.cluster.processes.map(({ name, exits }) => [name, exits]).filter(([, exits]) => exits !== 0)).toEqual(
    [],
  );
});
afterAll(async () => {
  await shared?.close();
  await proxy?.close();
  await server?.kill();
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

/** Whoever is told of it reaches the server through the proxy. */
function urlOf(prefix: string): string {
  return `s3://checkpoints/${prefix}?endpoint=${encodeURIComponent(proxy.url)}`;
}

/** Attempts: nearly half of all requests fail for a while, so that some fail often. */
function repositoryAt(prefix: string): string[] {
  const bounds = ['--repository-request-timeout-ms', '3000', '--repository-attempts', '12'];
  return ['--repository', urlOf(prefix), ...bounds];
}

/** So that an upload is under way for long enough to be met. */
const slowUploads: Rule = { method: 'PUT', path: /\/blocks\//, fault: { kind: 'delay', ms: 2500 } };

/** Once it is being uploaded. */
async function uploading(id: string): Promise<CheckpointRun> {
  const isUnderWay = async (): Promise<boolean> => {
    const { checkpoint, partitions } = await shared.run(id);
    const isSent = proxy.seen.some(({ url }) => checkpoint !== undefined && url.includes(`/blocks/${checkpoint}/`));
    return isSent && partitions.some(({ state }) => state === 'writing');
  };
  await expect.poll(isUnderWay, patient).toBe(true);
  return shared.run(id);
}

async function listed(): Promise<string[]> {
  const checkpoints = await listCheckpoints({ repository: shared.repository, cluster: 'demo' });
  expect(checkpoints.filter(({ state }) => state !== 'complete')).toEqual([]);
  return checkpoints.map(({ id }) => id);
}

async function expectGood(id: string): Promise<void> {
  const { repository } = shared;
  expect(await verifyCheckpoint({ repository, cluster: 'demo', id })).toMatchObject({ state: 'good', findings: [] });
}

async function objectsOf(prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of shared.repository.list(prefix)) names.push(name);
  return names;
}

/** What clients write from now on is answered, too. */
async function expectServed(): Promise<void> {
  const before = written.written;
  await expect.poll(() => written.written - before, { timeout: 15_000 }).toBeGreaterThan(200);
  expect(written.failures).toEqual([]);
}

/** Replicas of that node that serve. */
async function runningOf(node: ManagedProcess): Promise<number> {
  const states = [0, 1, 2].map((n) => shared.metric(node, `state_replica_state{partition="${n}",state="running"}`));
  return (await Promise.all(states)).reduce((sum, each) => sum + each, 0);
}

test('asked for in the middle of a burst: whole, and restored entry for entry, in other partitions', async () => {
  written.begin(5);
  await expect.poll(() => written.written, patient).toBeGreaterThan(2000);
  const { checkpoint, partitions } = await shared.checkpoint();
  const atEnd = written.written;
  await expect.poll(() => written.written, patient).toBeGreaterThan(atEnd);
  await written.end();
  expect(written.failures).toEqual([]);
  expect(partitions.map(({ partition, state }) => [partition, state])).toEqual([0, 1, 2].map((n) => [n, 'written']));
  const gatewaysList = async (): Promise<unknown> =>
    (await shared.json<{ checkpoints: unknown }>('/v1/checkpoints')).checkpoints;
  await expect.poll(gatewaysList, patient).toMatchObject([{ id: checkpoint, partitions: 3 }]);
  expect(await listed()).toEqual([checkpoint]);
  const verified = await shared.statestoreCheckpoint('verify', 'latest', '--drill');
  expect([verified.code, verified.stderr]).toEqual([0, '']);
  expect(verified.stdout).toMatch(new RegExp(`${checkpoint} is good: 3 .*\nrestored and proved: 3 of 3 partitions`));
  const manifest = await shared.manifest(checkpoint);
  expect(manifest.partitions.map(({ partition }) => partition)).toEqual([0, 1, 2]);

  const copy = await startLocalCluster({
    folder: join(folder, 'copy'),
    name: 'copy',
    natsServers: 0,
    natsUrls: shared.cluster.natsUrls,
    nodes: 1,
    init: false,
    diskPercent: anyDisk([]),
    nodeArgs: repositoryAt('copies'),
  });
  try {
    const args = ['--into', urlOf('copies'), '--checkpoint', checkpoint, '--partitions', '2', '--replicas', '1'];
    const made = await copy.statestore(['restore', ...shared.repositoryArgs, ...args]);
    expect([made.code, made.stderr]).toEqual([0, '']);
    await copy.ready();
    expect(await written.differences(copy.gateways[0]!.url, manifest)).toEqual([]);
    // It was in the middle: what was written after it is not there.
    expect(await written.differences(copy.gateways[0]!.url)).not.toEqual([]);
  } finally {
    await copy.close();
  }
  expect(await written.differences(shared.url)).toEqual([]);
});

test('a server in trouble, and who writes is killed and its disk lost: the checkpoint is made, the node comes back', async () => {
  await shared.trimBelow((await listed())[0]!);
  written.begin(2, 20);
  const faults: Fault[] = [
    { kind: 'hang' },
    { kind: 'answer', status: 500 },
    { kind: 'flip answer', at: 50 },
    { kind: 'truncate', afterBytes: 100, asIfComplete: true },
    { kind: 'truncate', afterBytes: 100 },
    { kind: 'slow', bytesPerSecond: 50_000 },
  ];
  proxy.add(
    ...faults.map((fault) => ({ method: 'GET', path: /\/blocks\//, times: 1, fault })),
    { method: 'PUT', path: /\/blocks\//, times: 2, fault: { kind: 'answer', status: 503, body: slowDown() } },
    { ...slowUploads, times: 6 },
    { method: 'PUT', path: /\/backups\/checkpoints\/[0-9a-f-]{36}\?/, times: 1, fault: { kind: 'lose answer' } },
    ...everyFault(),
  );
  const id = await shared.askForCheckpoint();
  const { conductor, partitions } = await uploading(id);
  const writer = partitions.find(({ state, node }) => state === 'writing' && node !== conductor);
  const killed = shared.node(writer?.node);
  await shared.wipe(killed);
  await killed.start();
  const { checkpoint } = await shared.completed(id);
  await expect.poll(() => runningOf(killed), patient).toBe(3);
  // What could not be read soon enough was copied from another node.
  const [restored, copied, passedOver] = await Promise.all(
    ['restores_total', 'replica_rebuilds_total', 'restore_passed_over_total'].map((name) =>
      shared.metric(killed, `state_${name}`),
    ),
  );
  expect([restored! + copied!, passedOver]).toEqual([3, 0]);
  expect(restored).toBeGreaterThan(0);
  await expectServed();
  const met = proxy.seen.flatMap(({ fault }) => fault ?? []);
  for (const { kind } of [...faults, ...everyFault().map(({ fault }) => fault)]) expect(met).toContain(kind);
  proxy.reset();
  await expectGood(checkpoint);
  await written.end();
  expect(await written.differences(shared.url)).toEqual([]);
});

test('who conducts is killed in the middle, and the server is away: nodes serve, and the next checkpoint is made', async () => {
  const before = await listed();
  written.begin(2, 20);
  proxy.add({ ...slowUploads, skip: 1 });
  const id = await shared.askForCheckpoint();
  const { conductor, checkpoint: dead } = await uploading(id);
  // It leaves something.
  await expect.poll(() => objectsOf(`blocks/${dead}/`), patient).not.toEqual([]);
  const killed = shared.node(conductor);
  await killed.kill();
  expect((await shared.run(id)).state).toBe('running');
  const backMs = performance.now() + awayMs;
  proxy.reset();
  // First it says nothing any more, then it is gone.
  server.pause();
  await killed.start();
  await expect.poll(() => runningOf(killed), patient).toBe(3);
  expect(performance.now()).toBeLessThan(backMs);
  await expectServed();
  // Nor is anybody's stop held up.
  const wiped = shared.cluster.nodes.find(({ name }) => name !== killed.name)!;
  const beganMs = performance.now();
  await wiped.stop();
  expect(performance.now() - beganMs).toBeLessThan(10_000);
  await server.kill();
  await shared.wipe(wiped);
  await wiped.start();
  await sleep(backMs - performance.now());
  await expectServed();
  await server.start();

  const { state, error } = await shared.ended(id);
  expect([state, error?.code]).toEqual(['failed', 'unavailable']);
  expect(await listed()).toEqual(before);
  const { checkpoint: next } = await shared.checkpoint();
  expect(await listed()).toEqual([next, ...before]);
  // What follows the checkpoint clears up; this makes sure that it has ended.
  expect(await collectGarbage({ repository: shared.repository })).toMatchObject({ outcome: 'collected' });
  expect(await objectsOf(`blocks/${dead}/`)).toEqual([]);
  expect(await objectsOf(`checkpoints/${dead}.partitions/`)).toEqual([]);
  await expectGood(next);
  await expectGood(before[0]!);
  await expect.poll(() => runningOf(wiped), patient).toBe(3);
  await written.end();
  expect(await written.differences(shared.url)).toEqual([]);
});

test('all disks of nodes are lost, and nothing that was acknowledged', async () => {
  const { cluster } = shared;
  written.begin(2, 20);
  await shared.trimBelow((await shared.checkpoint()).checkpoint);
  await expectServed();
  await written.end();
  for (const node of cluster.nodes) await shared.wipe(node);
  await Promise.all(cluster.nodes.map((node) => node.start()));
  await cluster.ready();
  expect(await written.differences(shared.url)).toEqual([]);
});

test('the disks of NATS are lost as well: what was archived is restored, and that is all until a moment ago', async () => {
  const { cluster } = shared;
  written.begin(2, 20);
  await expectServed();
  const manifest = await shared.manifest((await listed())[0]!);
  const told = written.told(manifest);
  const applied = await Promise.all([0, 1, 2].map((partition) => appliedOf(partition)));
  for (const [partition, position] of applied.entries()) {
    await expect.poll(() => shared.archivedTo(partition), patient).toBeGreaterThanOrEqual(position);
  }
  await Promise.all([...cluster.nodes, ...cluster.nats].map((one) => shared.wipe(one)));
  await written.end();
  for (const nats of cluster.nats) await nats.start();
  proxy.add(
    { every: 23, fault: { kind: 'answer', status: 500 } },
    { every: 29, fault: { kind: 'lose answer' } },
    { method: 'GET', path: /\/archive\//, every: 19, fault: { kind: 'flip answer', at: 30 } },
    { method: 'GET', path: /\/blocks\//, every: 7, fault: { kind: 'truncate', afterBytes: 100, asIfComplete: true } },
  );
  await Promise.all(cluster.nodes.map((node) => node.start()));
  const made = await cluster.statestore(['restore', ...shared.repositoryArgs]);
  expect([made.code, made.stderr]).toEqual([0, '']);
  await cluster.ready();
  const restored = await shared.manifest((await listed())[0]!);
  for (const { partition, revision } of restored.partitions) {
    expect(revision).toBeGreaterThanOrEqual(told.get(partition)!);
  }
  expect(await written.differences(shared.url, restored, true)).toEqual([]);
});

async function appliedOf(partition: number): Promise<number> {
  return Math.max(...(await shared.values(`state_replica_applied_position{partition="${partition}"}`)));
}
