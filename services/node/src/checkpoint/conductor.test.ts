import type { CompleteCheckpoint } from '@statestore/checkpoint';
import { listCheckpoints, manifestName } from '@statestore/checkpoint';
import type { CheckpointRun, RequestOutcome } from '@statestore/cluster';
import { newRunId, requestCheckpoint } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import { afterEach, expect, test } from 'vitest';
import { ConductorWorld, CutRuns, SetTime } from './conductor.testing.ts';

let world: ConductorWorld;
afterEach(() => world.close());

const patient = { timeout: 20_000, interval: 10 };

async function ask(at: ConductorWorld = world): Promise<RequestOutcome> {
  const nowMs = Date.now();
  return requestCheckpoint(at.runs, { id: newRunId(nowMs), trigger: 'manual', requestedBy: 'test', nowMs });
}

async function over(): Promise<CheckpointRun> {
  await expect
    .poll(async () => ['completed', 'failed'].includes((await world.runs.run())?.document.state ?? ''), patient)
    .toBe(true);
  return (await world.runs.run())!.document;
}

test('a run that is asked for is conducted, over all partitions, and told of', async () => {
  world = await new ConductorWorld().fill(3, ['n1', 'n2']);
  world.conductor('n1');
  const { run } = await ask();
  const done = await over();
  expect(done).toMatchObject({ id: run.id, state: 'completed', conductor: { node: 'n1' }, attempt: 1 });
  expect(done.partitions.map(({ state, part, partition }) => [partition, state, part])).toEqual([
    [0, 'written', 1],
    [1, 'written', 1],
    [2, 'written', 1],
  ]);
  const [listed] = await listCheckpoints({ repository: world.repository, cluster: 'test' });
  expect(listed).toMatchObject({ state: 'complete', id: done.checkpoint, partitions: 3, totals: { entries: 15n } });
  await expect
    .poll(() => world.runs.catalog(), patient)
    .toMatchObject({
      document: {
        repository: 'memory',
        checkpoints: [{ id: done.checkpoint, trigger: 'manual', entries: 15 }],
        runs: [{ id: run.id }],
        statistics: { created: 1, failed: 0, lastSuccessAtMs: (listed as CompleteCheckpoint).completedAtMs },
        damaged: [],
      },
    });
  // Work was spread over the nodes that have replicas.
  expect(new Set(done.partitions.map(({ node }) => node)).size).toBe(2);
});

test('who looks first tells what the repository has, and how old it is', async () => {
  world = await new ConductorWorld().fill(1, ['n1']);
  const first = world.conductor('n1');
  await ask();
  const { finishedAtMs, checkpoint } = await over();
  await first.close();
  const restarted = new ConductorWorld(world.repository);
  const second = restarted.conductor('n1');
  await second.announced;
  expect((await restarted.runs.catalog())!.document).toMatchObject({
    checkpoints: [{ id: checkpoint }],
    statistics: { created: 0, lastStoredBytes: expect.any(Number) as number },
  });
  expect(second.catalog!.statistics.lastSuccessAtMs).toBeLessThanOrEqual(finishedAtMs!);
  await restarted.close();
});

test('of several nodes one conducts; the second checkpoint uploads next to nothing', async () => {
  world = await new ConductorWorld().fill(2, ['n1']);
  for (const node of ['n1', 'n2', 'n3']) world.conductor(node);
  for (let round = 1; round <= 3; round++) {
    await ask();
    await expect.poll(() => world.ended.length, patient).toBe(round);
    expect(world.ended.at(-1)!.state).toBe('completed');
  }
  expect(await listCheckpoints({ repository: world.repository, cluster: 'test' })).toHaveLength(3);
  expect(world.ended.at(-1)!.partitions.every(({ uploadedBytes }) => uploadedBytes === 0)).toBe(true);
});

test('one asked for meanwhile is told of the one that runs', async () => {
  world = await new ConductorWorld().fill(1, ['n1']);
  const gate = Promise.withResolvers<void>();
  world.replicas[0]!.onAsked = () => gate.promise;
  world.conductor('n1');
  const { run } = await ask();
  await expect.poll(async () => (await world.runs.run())!.document.state, patient).toBe('running');
  expect(await ask()).toMatchObject({ outcome: 'running', run: { id: run.id } });
  gate.resolve();
  expect(await over()).toMatchObject({ id: run.id, state: 'completed' });
});

test('a replica that fails is replaced by another one; one that is busy is waited for', async () => {
  world = await new ConductorWorld().fill(2, ['n1', 'n2', 'n3']);
  let busy = 2;
  for (const replica of world.replicasOf(0))
    replica.onAsked = () => {
      if (replica.node !== 'n3') throw new StateStoreError('partition_halted', `${replica.node} differs`);
    };
  for (const replica of world.replicasOf(1))
    replica.onAsked = () => {
      if (busy-- > 0) throw new StateStoreError('overloaded', 'enough');
    };
  world.conductor('n1');
  await ask();
  const run = await over();
  expect(run).toMatchObject({ state: 'completed', partitions: [{ partition: 0, node: 'n3' }, { partition: 1 }] });
});

test('an answer that was lost after the part was written is found', async () => {
  world = await new ConductorWorld().fill(1, ['n1', 'n2']);
  const [first] = world.replicas;
  const { desk, partition } = first!;
  first!.candidate = () => ({
    node: 'n1',
    writer: {
      async *writeCheckpoint(_number, order) {
        for await (const item of desk.write(partition, order)) if (item.summary === undefined) yield item;
        throw new StateStoreError('unavailable', 'the connection broke');
      },
    },
  });
  // Another position: its part is another one.
  await world.replicas[1]!.put('more', 'content');
  world.conductor('n3');
  await ask();
  expect(await over()).toMatchObject({ state: 'completed', partitions: [{ state: 'written' }] });
  const [listed] = await listCheckpoints({ repository: world.repository, cluster: 'test' });
  expect(listed).toMatchObject({ totals: { entries: 5n } });
});

test('where no replica can, it fails, is told why, and leaves no checkpoint', async () => {
  world = await new ConductorWorld().fill(2, ['n1']);
  world.replicas[1]!.onAsked = () => {
    throw new StateStoreError('partition_halted', 'it differs from its peers');
  };
  world.conductor('n1', { deadlineMs: 3000 });
  await ask();
  const run = await over();
  expect(run.state).toBe('failed');
  expect(run.error?.message).toMatch(/not complete within 3000 ms|differs from its peers/);
  expect(await listCheckpoints({ repository: world.repository, cluster: 'test' })).toEqual([]);
  await expect.poll(() => world.runs.catalog(), patient).toMatchObject({ document: { statistics: { failed: 1 } } });
});

test('its deadline ends it', async () => {
  world = await new ConductorWorld().fill(1, ['n1']);
  world.replicas[0]!.onAsked = () => new Promise((resolve) => setTimeout(resolve, 600));
  world.conductor('n1', { deadlineMs: 200 });
  await ask();
  expect(await over()).toMatchObject({ state: 'failed', error: { code: 'unavailable', retryable: true } });
});

test('a conductor that falls silent is taken over, and can complete nothing any more', async () => {
  world = await new ConductorWorld().fill(1, ['n1']);
  const gate = Promise.withResolvers<void>();
  world.replicas[0]!.onAsked = () => gate.promise;
  const cut = new CutRuns(world.runs);
  world.conductor('n1', {}, { runs: cut });
  const { run } = await ask();
  await expect.poll(async () => (await world.runs.run())!.document.checkpoint, patient).toBeDefined();
  cut.cut = true;
  world.conductor('n2');
  expect(await over()).toMatchObject({
    id: run.id,
    state: 'failed',
    conductor: { node: 'n2' },
    error: { message: expect.stringContaining('n1') as string },
  });
  gate.resolve();
  const { checkpoint } = (await world.runs.run())!.document;
  await expect.poll(() => world.repository.objects.has(manifestName(checkpoint!)), patient).toBe(true);
  expect(await listCheckpoints({ repository: world.repository, cluster: 'test' })).toEqual([]);
  cut.cut = false;
  world.replicas[0]!.onAsked = undefined;
  await expect.poll(async () => (await ask()).outcome, patient).toBe('requested');
  await expect.poll(async () => (await over()).state, patient).toBe('completed');
  expect(await listCheckpoints({ repository: world.repository, cluster: 'test' })).toHaveLength(1);
});

test('one that hears that it was taken over ends what it does, and says nothing of the run', async () => {
  world = await new ConductorWorld().fill(1, ['n1']);
  const signals: AbortSignal[] = [];
  const silent = new Promise<never>(() => {});
  world.replicas[0]!.candidate = () => ({
    node: 'n1',
    writer: {
      // oxlint-disable-next-line require-yield -- it never comes so far
      async *writeCheckpoint(_partition, { signal }) {
        signals.push(signal);
        await Promise.race([silent, new Promise((resolve) => signal.addEventListener('abort', resolve))]);
      },
    },
  });
  const cut = new CutRuns(world.runs);
  world.conductor('n1', {}, { runs: cut });
  await ask();
  await expect.poll(() => signals.length, patient).toBe(1);
  cut.cut = true;
  world.conductor('n2');
  const run = await over();
  expect([run.state, run.conductor?.node, signals[0]!.aborted]).toEqual(['failed', 'n2', false]);
  cut.cut = false;
  await expect.poll(() => signals[0]!.aborted, patient).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect((await world.runs.run())!.document).toEqual(run);
  expect(world.ended).toHaveLength(1);
});

test('answers of the store that are lost make no run fail', async () => {
  world = await new ConductorWorld().fill(2, ['n1']);
  const lossy = new CutRuns(world.runs);
  let changes = 0;
  const { replaceRun } = lossy;
  lossy.replaceRun = async (run, revision) => {
    const replaced = await replaceRun(run, revision);
    // Every other one was stored, and nobody was told.
    if (replaced.outcome === 'replaced' && changes++ % 2 === 0)
      throw new StateStoreError('outcome_unknown', 'no answer');
    return replaced;
  };
  world.conductor('n1', {}, { runs: lossy });
  const { run } = await ask();
  expect(await over()).toMatchObject({ id: run.id, state: 'completed', conductor: { node: 'n1' } });
  expect(changes).toBeGreaterThan(2);
  expect(await listCheckpoints({ repository: world.repository, cluster: 'test' })).toHaveLength(1);
});

test('one whose conductor lives is not taken over, however long it takes', async () => {
  world = await new ConductorWorld().fill(1, ['n1']);
  world.replicas[0]!.onAsked = () => new Promise((resolve) => setTimeout(resolve, 1500));
  world.conductor('n1');
  await ask();
  await expect.poll(async () => (await world.runs.run())!.document.state, patient).toBe('running');
  world.conductor('n2');
  expect(await over()).toMatchObject({ state: 'completed', conductor: { node: 'n1' } });
});

test('a node that stops gives up what it conducts, at once', async () => {
  world = await new ConductorWorld().fill(1, ['n1']);
  world.replicas[0]!.onAsked = () => new Promise((resolve) => setTimeout(resolve, 300));
  const conductor = world.conductor('n1');
  await ask();
  await expect.poll(async () => (await world.runs.run())!.document.checkpoint, patient).toBeDefined();
  await Promise.all([conductor.close(), conductor.close()]);
  expect((await world.runs.run())!.document).toMatchObject({ state: 'failed', error: { code: 'shutting_down' } });
});

test('a final checkpoint where it is asked for, bounded', async () => {
  world = await new ConductorWorld().fill(2, ['n1']);
  await world.conductor('n1', { shutdownMs: 10_000 }).close();
  expect((await world.runs.run())!.document).toMatchObject({ state: 'completed', trigger: 'shutdown' });
  world.replicas[0]!.onAsked = () => new Promise((resolve) => setTimeout(resolve, 500));
  const began = performance.now();
  await world.conductor('n1', { shutdownMs: 100 }).close();
  expect(performance.now() - began).toBeLessThan(5000);
  expect((await world.runs.run())!.document).toMatchObject({ state: 'failed', trigger: 'shutdown' });
  expect(await listCheckpoints({ repository: world.repository, cluster: 'test' })).toHaveLength(1);
});

test('the schedule asks once for what is due, also after a long absence, and keeps so many', async () => {
  world = await new ConductorWorld().fill(1, ['n1']);
  const time = new SetTime(Date.parse('2026-01-10T12:20:00Z'));
  const schedule = { intervalMs: 3600_000, minIntervalMs: 0, suspend: false };
  for (const node of ['n1', 'n2']) world.conductor(node, { schedule, maxCheckpoints: 3 }, { time });
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(world.ended).toEqual([]);
  for (const [nth, now] of ['13:00', '14:00', '23:30', '23:59'].entries()) {
    time.ms = Date.parse(`2026-01-10T${now}:00Z`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(world.ended).toHaveLength(Math.min(nth + 1, 3));
  }
  time.ms += 3 * 3600_000;
  await expect.poll(() => world.ended.length, patient).toBe(4);
  expect(world.ended.every(({ state, trigger }) => state === 'completed' && trigger === 'schedule')).toBe(true);
  await expect
    .poll(async () => (await listCheckpoints({ repository: world.repository, cluster: 'test' })).length, patient)
    .toBe(3);
});

test('one of the schedule that failed is tried again some times, and no more', async () => {
  world = await new ConductorWorld().fill(1, ['n1']);
  world.replicas[0]!.onAsked = () => new Promise((resolve) => setTimeout(resolve, 200));
  const time = new SetTime(Date.parse('2026-01-10T12:59:59Z'));
  const schedule = { intervalMs: 3600_000, minIntervalMs: 0, suspend: false };
  world.conductor('n1', { schedule, deadlineMs: 50 }, { time });
  time.ms += 2000;
  await expect
    .poll(() => world.ended.map(({ attempt, state }) => `${attempt} ${state}`), patient)
    .toEqual(['1 failed', '2 failed', '3 failed']);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(world.ended).toHaveLength(3);
});
