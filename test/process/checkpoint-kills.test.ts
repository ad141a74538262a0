// kill -9 of the process that conducts a checkpoint, at every stage: the next node finds out what became of it, and
// nobody ever sees a checkpoint that is not whole. Real processes, a real nats-server, a real folder.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Repository } from '@statestore/checkpoint';
import { collectGarbage, listCheckpoints, openRepository, verifyCheckpoint } from '@statestore/checkpoint';
import type { CheckpointRun, CheckpointRuns, NatsConnection } from '@statestore/cluster';
import { connectNats, jetStreamCheckpointRuns, newRunId, requestCheckpoint } from '@statestore/cluster';
import type { Checkpoints, EmbeddedNode } from '@statestore/node';
import { openCheckpoints, openEmbeddedNode, openScratchEngine, ownReplicas } from '@statestore/node';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { NatsCluster } from '../servers/nats-cluster.ts';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import type { Stage } from './checkpoint/stages.ts';
import { cluster, fill, paces, stages } from './checkpoint/stages.ts';

const child = fileURLToPath(new URL('checkpoint/killed-conductor.ts', import.meta.url));
const patient = { timeout: 60_000, interval: 50 };

let folder: string;
let nats: NatsCluster;
let connection: NatsConnection;
let node: EmbeddedNode;
let repositoryPath: string;
let repository: Repository;
let runs: CheckpointRuns;
let checkpoints: Checkpoints | undefined;
let rounds = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-checkpoint-kills-'));
  nats = await startNatsCluster({ directory: join(folder, 'nats'), servers: 1 });
  connection = await connectNats({ servers: nats.urls, name: 'checkpoint kills' });
  node = await openEmbeddedNode({
    dataPath: join(folder, 'data'),
    partitions: 3,
    engine: 'memory',
    version: '0',
    onHalted: (reason) => {
      throw reason;
    },
  });
  await fill(node.node, 3);
  runs = jetStreamCheckpointRuns(connection, cluster, { replicas: 1 });
});
afterAll(async () => {
  await node?.close();
  await connection?.close();
  await nats?.stop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  repositoryPath = join(folder, `repository ${rounds++}`);
  repository = await openRepository({ type: 'folder', path: repositoryPath, concurrency: 4 });
});
afterEach(async () => {
  await checkpoints?.close();
  checkpoints = undefined;
  await repository.close();
});

/** Starts the process, asks for a checkpoint, and waits until it has killed itself. */
async function killedAt(stage: Stage, trigger: CheckpointRun['trigger']): Promise<CheckpointRun> {
  const process = spawn(globalThis.process.execPath, [child, stage, nats.urls[0]!, repositoryPath], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = new Promise<NodeJS.Signals | null>((resolve) => process.on('exit', (_, signal) => resolve(signal)));
  await new Promise((resolve) => process.stdout.once('data', resolve));
  const nowMs = Date.now();
  const asked = await requestCheckpoint(runs, { id: newRunId(nowMs), trigger, requestedBy: 'test', nowMs });
  expect(asked.outcome).toBe('requested');
  expect(await gone).toBe('SIGKILL');
  return asked.run;
}

async function nextNode(): Promise<void> {
  checkpoints = await openCheckpoints({
    ...paces,
    cluster,
    name: 'next',
    version: '0',
    node: node.node,
    repository: await openRepository({ type: 'folder', path: repositoryPath, concurrency: 4 }),
    runs,
    replicas: ownReplicas('next', node.topology, node.node),
    settings: { schedule: { minIntervalMs: 0, suspend: false }, level: 1, deadlineMs: 60_000 },
  });
}

async function overWith(id: string): Promise<CheckpointRun> {
  const found = async (): Promise<CheckpointRun | undefined> => {
    const run = (await runs.run())?.document;
    return run?.id === id && (run.state === 'completed' || run.state === 'failed') ? run : undefined;
  };
  await expect.poll(found, patient).toBeDefined();
  return (await found())!;
}

const idsListed = async (): Promise<string[]> => (await listCheckpoints({ repository, cluster })).map(({ id }) => id);

async function expectGood(id: string): Promise<void> {
  const scratch = await mkdtemp(join(folder, 'scratch-'));
  const drill = (partition: number) => openScratchEngine(join(scratch, String(partition)));
  const verified = await verifyCheckpoint({ repository, cluster, id, drill });
  expect(verified).toMatchObject({ state: 'good', findings: [] });
  expect(verified.restored.map(({ entries }) => entries)).toEqual([10, 10, 10]);
}

/** What the run is to become by the next node; whether it has a checkpoint. */
const outcomes: Readonly<Record<(typeof stages)[number], CheckpointRun['state']>> = {
  requested: 'completed',
  'before its checkpoint begins': 'failed',
  'before the first partition': 'failed',
  'between partitions': 'failed',
  'before the manifest': 'failed',
  'after the manifest': 'completed',
  'before completed': 'completed',
};

test.each(stages)('killed: %s', async (stage) => {
  const { id } = await killedAt(stage, 'manual');
  const left = await idsListed();
  await nextNode();
  const run = await overWith(id);
  expect([run.state, run.conductor?.node]).toEqual([outcomes[stage], 'next']);
  const listed = await idsListed();
  expect(listed).toEqual(run.state === 'completed' ? [run.checkpoint] : []);
  // One that was complete when its conductor died stays; none that was not ever becomes it.
  if (left.length > 0) expect(listed).toEqual(left);
  for (const each of listed) await expectGood(each);
  const nowMs = Date.now();
  const again = await requestCheckpoint(runs, { id: newRunId(nowMs), trigger: 'manual', requestedBy: 'test', nowMs });
  const next = await overWith(again.run.id);
  expect(next.state).toBe('completed');
  await expectGood(next.checkpoint!);
  // What the killed one left hinders nobody, and clearing up takes nothing of the rest.
  expect((await collectGarbage({ repository })).outcome).toBe('collected');
  for (const each of await idsListed()) await expectGood(each);
});

test('killed while it made one of the schedule: the next node makes it', async () => {
  const { id } = await killedAt('between partitions', 'schedule');
  await nextNode();
  await expect
    .poll(async () => (await runs.run())?.document, patient)
    .toMatchObject({ trigger: 'schedule', state: 'completed', attempt: 2, conductor: { node: 'next' } });
  const { document } = (await runs.run())!;
  expect(document.id).not.toBe(id);
  await expectGood(document.checkpoint!);
  expect(await idsListed()).toEqual([document.checkpoint]);
});
