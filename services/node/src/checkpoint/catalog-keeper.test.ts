import type { Repository } from '@statestore/checkpoint';
import {
  checkpointsPrefix,
  decodeCheckpointManifest,
  deletedPrefix,
  deleteCheckpoint,
  encodeCheckpointManifest,
  listCheckpoints,
  manifestName,
  MemoryRepository,
  partitionManifestName,
} from '@statestore/checkpoint';
import type { CheckpointCatalog, CheckpointRun } from '@statestore/cluster';
import { newRunId, requestCheckpoint } from '@statestore/cluster';
import { limits, StateStoreError } from '@statestore/core';
import { Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import { CheckpointMetrics } from './checkpoint-metrics.ts';
import type { Conductor } from './conductor.ts';
import { ConductorWorld, CutRuns, SetTime } from './conductor.testing.ts';

const patient = { timeout: 20_000, interval: 10 };
const cluster = 'test';

/** Answers, refuses, or says nothing at all, as it is told. */
class MoodyRepository extends MemoryRepository {
  mood: 'answers' | 'refuses' | 'hangs' = 'answers';
  manifestsRead = 0;

  override async *list(...args: Parameters<MemoryRepository['list']>) {
    await this.#answer();
    yield* super.list(...args);
  }

  override async get(...args: Parameters<MemoryRepository['get']>) {
    await this.#answer();
    if (/^checkpoints\/[^/]+$/.test(args[0])) this.manifestsRead++;
    return super.get(...args);
  }

  override async probe(...args: Parameters<MemoryRepository['probe']>) {
    await this.#answer();
    return super.probe(...args);
  }

  async #answer(): Promise<void> {
    if (this.mood === 'refuses') throw new StateStoreError('unavailable', 'connection refused');
    if (this.mood === 'hangs') await new Promise(() => {});
  }
}

let world: ConductorWorld;
let repository: MoodyRepository;
afterEach(async () => {
  if (repository !== undefined) repository.mood = 'answers';
  await world.close();
});

async function worldOf(nodes = 1): Promise<ConductorWorld> {
  repository = new MoodyRepository();
  world = await new ConductorWorld(repository).fill(nodes, ['n1']);
  return world;
}

async function make(): Promise<CheckpointRun> {
  const before = (await world.runs.run())?.document.id;
  const nowMs = Date.now();
  await expect
    .poll(async () => {
      const asked = { id: newRunId(nowMs), trigger: 'manual', requestedBy: 'test', nowMs } as const;
      return (await requestCheckpoint(world.runs, asked)).outcome;
    }, patient)
    .toBe('requested');
  const state = async () => {
    const { id, state: now } = (await world.runs.run())!.document;
    return id === before ? 'before' : now;
  };
  await expect.poll(state, patient).toBe('completed');
  return (await world.runs.run())!.document;
}

const catalog = async (): Promise<CheckpointCatalog> => (await world.runs.catalog())!.document;
const ids = async (): Promise<string[]> => (await catalog()).checkpoints.map(({ id }) => id);

async function metricsOf(conductor: Conductor): Promise<string> {
  const registry = new Registry();
  new CheckpointMetrics(registry).watch({
    run: () => conductor.run,
    catalog: () => conductor.catalog,
    silentMs: () => conductor.silentMs,
    time: new SetTime(Date.now()),
  });
  return registry.metrics();
}

test('what was deleted by hand goes by itself, without all manifests being read again and again', async () => {
  await worldOf();
  world.conductor('n1');
  const [first, second] = [await make(), await make()];
  await expect.poll(ids, patient).toEqual([second.checkpoint, first.checkpoint]);
  await expect.poll(async () => (await catalog()).clearing, patient).toBeDefined();
  repository.manifestsRead = 0;
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(repository.manifestsRead).toBe(0);
  await deleteCheckpoint({ repository, cluster, id: first.checkpoint!, by: 'test', nowMs: Date.now });
  await expect.poll(ids, patient).toEqual([second.checkpoint]);
});

test('a damaged one is named, blocks clearing up, and does not once it is deleted', async () => {
  await worldOf();
  const conductor = world.conductor('n1');
  const first = await make();
  await expect.poll(() => conductor.catalog?.clearing, patient).toMatchObject({ blockedBy: [] });
  expect(await metricsOf(conductor)).toMatch(/^state_checkpoints_damaged 0\n[^]*clearing_blocked 0$/m);
  const name = manifestName(first.checkpoint!);
  const bytes = (await repository.get(name))!;
  await repository.put(name, bytes.subarray(0, bytes.length - 1));
  await make();
  await expect
    .poll(() => conductor.catalog, patient)
    .toMatchObject({
      checkpoints: [{}],
      damaged: [{ id: first.checkpoint, why: expect.stringContaining(name) as string }],
      clearing: { blockedBy: [expect.stringContaining(name) as string], blockedSinceMs: expect.any(Number) as number },
    });
  expect(world.notices.join('\n')).toContain('a checkpoint is damaged');
  const text = await metricsOf(conductor);
  expect(text).toMatch(/^state_checkpoints_damaged 1$/m);
  expect(text).toMatch(/^state_checkpoint_clearing_blocked 1$/m);
  await deleteCheckpoint({ repository, cluster, id: first.checkpoint!, by: 'test', nowMs: Date.now });
  await expect.poll(async () => (await catalog()).damaged, patient).toEqual([]);
});

test('those of another cluster in the same repository are neither damage nor its own', async () => {
  await worldOf();
  world.conductor('n1');
  const first = await make();
  const id = first.checkpoint!.replace(/^./, '1');
  const manifest = decodeCheckpointManifest(
    first.checkpoint!,
    (await repository.get(manifestName(first.checkpoint!)))!,
  );
  const foreign = encodeCheckpointManifest({
    ...manifest,
    id,
    cluster: 'other',
    partitions: manifest.partitions.map((each) => ({ ...each, manifest: partitionManifestName(id, each.partition) })),
  });
  expect(await repository.create(manifestName(id), foreign)).toBe('created');
  expect(await listCheckpoints({ repository })).toHaveLength(2);
  const second = await make();
  await expect.poll(ids, patient).toEqual([second.checkpoint, first.checkpoint]);
  expect((await catalog()).damaged).toEqual([]);
});

test('a repository that does not answer is known from the start of the process on, and when it is back', async () => {
  await worldOf();
  repository.mood = 'refuses';
  const conductor = world.conductor('n1', {}, { lookMs: 200 });
  await expect.poll(() => conductor.silence, patient).toMatchObject({ why: 'connection refused' });
  const early = conductor.silentMs;
  await expect.poll(() => conductor.silentMs, patient).toBeGreaterThan(early + 50);
  // Nothing was ever complete, as far as is known: no age, and one metric that says why.
  const text = await metricsOf(conductor);
  expect(text).not.toMatch(/^state_checkpoint_age_seconds \d/m);
  expect(text).toMatch(/^state_repository_answer_age_seconds 0\.\d/m);
  repository.mood = 'answers';
  await expect.poll(() => conductor.silence, patient).toBeUndefined();
  expect(conductor.silentMs).toBeLessThan(200);
  await make();
  await expect.poll(() => metricsOf(conductor), patient).toMatch(/^state_checkpoint_age_seconds [\d.]+$/m);
  const answers = world.notices.filter((each) => each.includes('answer'));
  expect(answers.map((each) => each.includes('again'))).toEqual([false, true]);
});

test('one that says nothing at all is found out, too; the age of the last checkpoint goes on', async () => {
  await worldOf();
  const conductor = world.conductor('n1');
  const run = await make();
  await expect.poll(() => conductor.catalog?.clearing, patient).toBeDefined();
  repository.mood = 'hangs';
  await expect.poll(() => conductor.silence, patient).toMatchObject({ why: 'it has not answered since' });
  expect(conductor.silentMs).toBeGreaterThanOrEqual(limits.checkpointSilentLooks * 50);
  // Another process over the same runs knows it without the repository.
  const restarted = world.conductor('n2');
  await restarted.announced;
  expect(restarted.catalog?.statistics.lastSuccessAtMs).toBeLessThanOrEqual(run.finishedAtMs!);
  expect(await metricsOf(restarted)).toMatch(/^state_checkpoint_age_seconds [\d.]+$/m);
});

test('a run whose conductor was gone before it told the catalogue is counted', async () => {
  await worldOf();
  const cut = new CutRuns(world.runs);
  const first = world.conductor('n1', {}, { runs: cut });
  await first.announced;
  // Complete, and nothing said of it.
  cut.replaceCatalog = () => Promise.reject(new StateStoreError('unavailable', 'gone'));
  const run = await make();
  await first.close();
  expect(await catalog()).toMatchObject({ runs: [], statistics: { created: 0 } });
  world.conductor('n2');
  await expect
    .poll(() => world.runs.catalog(), patient)
    .toMatchObject({ document: { runs: [{ id: run.id }], statistics: { created: 1 } } });
});

test('whoever freezes between looking and writing overwrites nothing that is newer', async () => {
  await worldOf();
  world.conductor('n1');
  const first = await make();
  await expect.poll(ids, patient).toEqual([first.checkpoint]);
  const gate = Promise.withResolvers<void>();
  const looked = Promise.withResolvers<void>();
  let step: 'none' | 'manifests' | 'all' = 'none';
  /** Once it has seen which manifests there are, and which of them are deleted. */
  async function* list(...args: Parameters<Repository['list']>) {
    yield* repository.list(...args);
    if (args[0] === checkpointsPrefix && step === 'none') step = 'manifests';
    if (args[0] !== deletedPrefix || step !== 'manifests') return;
    step = 'all';
    looked.resolve();
    await gate.promise;
  }
  const { kind, location } = repository;
  const frozen: Repository = {
    kind,
    location,
    list,
    probe: (call) => repository.probe(call),
    get: (name, call) => repository.get(name, call),
    head: (name, call) => repository.head(name, call),
    put: (name, bytes, call) => repository.put(name, bytes, call),
    create: (name, bytes, call) => repository.create(name, bytes, call),
    remove: (names, call) => repository.remove(names, call),
    close: () => repository.close(),
  };
  // To it any catalogue is old, once.
  world.conductor('n2', {}, { repository: frozen, refreshMs: 0, lookMs: 60_000 });
  await looked.promise;
  const second = await make();
  await expect.poll(ids, patient).toEqual([second.checkpoint, first.checkpoint]);
  gate.resolve();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(await ids()).toEqual([second.checkpoint, first.checkpoint]);
});

test('where another repository is set, ages and sizes are of that one', async () => {
  await worldOf();
  const before = world.conductor('n1');
  await make();
  await expect.poll(() => before.catalog?.clearing, patient).toBeDefined();
  await before.close();
  const empty = Object.defineProperty(new MemoryRepository(), 'location', { value: 'elsewhere' });
  const after = world.conductor('n2', {}, { repository: empty });
  await after.announced;
  expect(after.catalog).toMatchObject({ repository: 'elsewhere', checkpoints: [] });
  expect(after.catalog?.statistics).toEqual({ created: 1, failed: 0 });
  expect(await listCheckpoints({ repository: empty })).toEqual([]);
});

test('one that fails is counted, and changes nothing of the last that was created', async () => {
  await worldOf();
  const conductor = world.conductor('n1', { deadlineMs: 2000 });
  await make();
  await expect.poll(() => conductor.catalog?.statistics.created, patient).toBe(1);
  const { lastSuccessAtMs } = conductor.catalog!.statistics;
  world.replicas[0]!.onAsked = () => new Promise((resolve) => setTimeout(resolve, 2500));
  const nowMs = Date.now();
  await requestCheckpoint(world.runs, { id: newRunId(nowMs), trigger: 'manual', requestedBy: 'test', nowMs });
  await expect.poll(() => conductor.catalog?.statistics.failed, patient).toBe(1);
  expect(conductor.catalog).toMatchObject({
    statistics: { created: 1, lastSuccessAtMs },
    runs: [{ state: 'failed', error: { message: expect.stringContaining('2000 ms') as string } }, {}],
  });
});
