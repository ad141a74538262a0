// SIGSTOP of the process that conducts a checkpoint, at every stage at which it is about to decide something, until
// another one took the run over and made the next checkpoint; then SIGCONT: it completes, undoes and deletes nothing. Of a
// whole cluster: test/cluster/conductor.test.ts.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Repository } from '@statestore/checkpoint';
import { listCheckpoints, openRepository, verifyCheckpoint } from '@statestore/checkpoint';
import type { CheckpointRun, CheckpointRuns, NatsConnection } from '@statestore/cluster';
import { connectNats, jetStreamCheckpointRuns, newRunId, requestCheckpoint } from '@statestore/cluster';
import type { Checkpoints, EmbeddedNode } from '@statestore/node';
import { openCheckpoints, openEmbeddedNode, ownReplicas } from '@statestore/node';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { NatsCluster } from '../servers/nats-cluster.ts';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import type { Stage } from './checkpoint/stages.ts';
import { cluster, fill, paces } from './checkpoint/stages.ts';

const child = fileURLToPath(new URL('checkpoint/killed-conductor.ts', import.meta.url));
const patient = { timeout: 60_000, interval: 50 };

let folder: string;
let nats: NatsCluster;
let connection: NatsConnection;
let node: EmbeddedNode;
let repositoryPath: string;
let repository: Repository;
let runs: CheckpointRuns;
let next: Checkpoints | undefined;
let frozen: ChildProcess | undefined;
let rounds = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-checkpoint-frozen-'));
  nats = await startNatsCluster({ directory: join(folder, 'nats'), servers: 1 });
  connection = await connectNats({ servers: nats.urls, name: 'checkpoint frozen' });
  const onHalted = (reason: Error): never => {
    throw reason;
  };
  const dataPath = join(folder, 'data');
  node = await openEmbeddedNode({ dataPath, partitions: 3, engine: 'memory', version: '0', onHalted });
  await fill(node.node, 3);
  runs = jetStreamCheckpointRuns(connection, cluster, { replicas: 1 });
});
afterAll(async () => {
  await node?.close();
  await connection?.close();
  await nats?.stop();
  await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  frozen?.kill('SIGKILL');
  await next?.close();
  next = undefined;
  await repository.close();
});

async function ask(): Promise<CheckpointRun> {
  const nowMs = Date.now();
  const request = { id: newRunId(nowMs), trigger: 'manual', requestedBy: 'test', nowMs } as const;
  await expect.poll(async () => (await requestCheckpoint(runs, request)).outcome, patient).toBe('requested');
  return (await runs.run())!.document;
}

async function over(id: string): Promise<CheckpointRun> {
  const state = async () => {
    const run = (await runs.run())?.document;
    return run?.id === id ? run.state : 'another';
  };
  await expect.poll(state, patient).toMatch(/^(completed|failed)$/);
  return (await runs.run())!.document;
}

async function openNext(): Promise<void> {
  next = await openCheckpoints({
    ...paces,
    cluster,
    name: 'next',
    version: '0',
    node: node.node,
    repository: await openRepository({ type: 'folder', path: repositoryPath, concurrency: 4 }),
    runs,
    replicas: ownReplicas('next', node.topology, node.node),
    settings: { schedule: { minIntervalMs: 0, suspend: false }, level: 1, deadlineMs: 60_000, maxCheckpoints: 2 },
  });
}

async function made(): Promise<CheckpointRun> {
  const run = await over((await ask()).id);
  expect(run.state).toBe('completed');
  return run;
}

const idsListed = async (): Promise<string[]> => (await listCheckpoints({ repository, cluster })).map(({ id }) => id);

/** What is kept may change while it is read. */
async function expectAllWhole(): Promise<void> {
  for (const id of await idsListed()) {
    const { state, findings } = await verifyCheckpoint({ repository, cluster, id });
    if (state !== 'deleted') expect([state, findings]).toEqual(['good', []]);
  }
}

test.each<[stage: Stage, becomes: CheckpointRun['state']]>([
  ['between partitions', 'failed'],
  ['before the manifest', 'failed'],
  ['after the manifest', 'completed'],
  ['before completed', 'completed'],
  ['before it deletes', 'completed'],
])('frozen: %s', async (stage, becomes) => {
  repositoryPath = join(folder, `repository ${rounds++}`);
  repository = await openRepository({ type: 'folder', path: repositoryPath, concurrency: 4 });
  await openNext();
  await made();
  await made();
  await next!.close();
  frozen = spawn(process.execPath, [child, stage, nats.urls[0]!, repositoryPath, 'SIGSTOP'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  frozen.stdout!.on('data', (chunk) => (out += String(chunk)));
  await expect.poll(() => out, patient).toContain('ready');
  const { id } = await ask();
  await expect.poll(() => out, patient).toContain('frozen');
  await openNext();
  const run = await over(id);
  expect([run.state, run.conductor?.node]).toEqual([becomes, stage === 'before it deletes' ? 'killed' : 'next']);
  const last = await made();
  expect(last.conductor?.node).toBe('next');
  // What it retires is what the other one has retired.
  const cleared = async () => (await runs.catalog())?.document.clearing?.atMs ?? 0;
  await expect.poll(cleared, patient).toBeGreaterThan(last.finishedAtMs!);
  const listed = await idsListed();
  expect(listed).toHaveLength(2);
  expect(listed[0]).toBe(last.checkpoint);
  const files = await readdir(join(repositoryPath, 'blocks'), { recursive: true });
  frozen.kill('SIGCONT');
  await sleep(1000);
  expect(await idsListed()).toEqual(listed);
  expect((await runs.run())!.document).toEqual(last);
  expect(await readdir(join(repositoryPath, 'blocks'), { recursive: true })).toEqual(expect.arrayContaining(files));
  await expectAllWhole();
  // Whoever takes it, it is made.
  await made();
  await expectAllWhole();
});
