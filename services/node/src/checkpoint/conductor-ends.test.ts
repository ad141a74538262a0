// How a run ends that does not come to its end by itself; what a stop makes of it; and when the schedule goes on.
import type { Repository } from '@statestore/checkpoint';
import { listCheckpoints, MemoryRepository } from '@statestore/checkpoint';
import type { CheckpointRun } from '@statestore/cluster';
import { MemoryCheckpointRuns, newRunId, requestCheckpoint } from '@statestore/cluster';
import { afterEach, expect, test } from 'vitest';
import { ConductorWorld, SetTime } from './conductor.testing.ts';

const patient = { timeout: 20_000, interval: 10 };
const cluster = 'test';

/** As a disk of another machine that is gone: calls neither end nor heed that they are given up. */
class HangingRepository extends MemoryRepository {
  hangs = false;
  released = Promise.withResolvers<void>();

  override async create(...args: Parameters<Repository['create']>) {
    if (this.hangs) await this.released.promise;
    return super.create(...args);
  }
}

let world: ConductorWorld;
let repository: HangingRepository;
afterEach(async () => {
  repository?.released.resolve();
  await world.close();
});

async function ask(): Promise<CheckpointRun> {
  const nowMs = Date.now();
  const asked = { id: newRunId(nowMs), trigger: 'manual', requestedBy: 'test', nowMs } as const;
  await expect.poll(async () => (await requestCheckpoint(world.runs, asked)).outcome, patient).toBe('requested');
  return (await world.runs.run())!.document;
}

async function over(id?: string): Promise<CheckpointRun> {
  const run = async () => (await world.runs.run())?.document;
  const isOver = async () => {
    const now = await run();
    return (id === undefined || now?.id === id) && ['completed', 'failed'].includes(now?.state ?? '');
  };
  await expect.poll(isOver, patient).toBe(true);
  return (await run())!;
}

test('a writer that hangs does not keep its run going, nor later ones from being made; what it does later harms none', async () => {
  repository = new HangingRepository();
  world = await new ConductorWorld(repository).fill(1, ['n1']);
  await world.conductor('n1', { deadlineMs: 2000 }, { hungMs: 100 }).announced;
  repository.hangs = true;
  const { id } = await ask();
  const run = await over(id);
  expect(run).toMatchObject({ state: 'failed', error: { code: 'unavailable', retryable: true } });
  expect(run.error?.message).toContain('2000 ms');
  expect(run.finishedAtMs! - run.startedAtMs!).toBeLessThan(10_000);
  repository.hangs = false;
  const next = await over((await ask()).id);
  expect(next.state).toBe('completed');
  repository.released.resolve();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect((await listCheckpoints({ repository, cluster })).map((each) => [each.state, each.id])).toEqual([
    ['complete', next.checkpoint],
  ]);
});

test('nodes that stop at once make one final checkpoint, and none goes before it is there', async () => {
  world = await new ConductorWorld().fill(2, ['n1', 'n2', 'n3']);
  for (const replica of world.replicas) replica.onAsked = () => new Promise((resolve) => setTimeout(resolve, 300));
  const conductors = ['n1', 'n2', 'n3'].map((node) => world.conductor(node, { shutdownMs: 10_000 }));
  await Promise.all(conductors.map(({ announced }) => announced));
  const states = await Promise.all(
    conductors.map(async (conductor) => {
      await conductor.close();
      return (await world.runs.run())?.document.state;
    }),
  );
  expect(states).toEqual(['completed', 'completed', 'completed']);
  const listed = await listCheckpoints({ repository: world.repository, cluster });
  expect(listed.map(({ state }) => state)).toEqual(['complete']);
  expect(world.notices.join()).not.toContain('no final');
});

test('one that is under way when the node is asked to stop is no final one: that is made after it', async () => {
  world = await new ConductorWorld().fill(1, ['n1']);
  const own = world.conductor('n1', { shutdownMs: 10_000 });
  let slow = true;
  world.replicas[0]!.onAsked = () => (slow ? new Promise((resolve) => setTimeout(resolve, 300)) : undefined);
  await ask();
  await expect.poll(async () => (await world.runs.run())!.document.state, patient).toBe('running');
  slow = false;
  await own.close();
  expect(world.ended.map(({ trigger, state }) => `${trigger} ${state}`)).toEqual([
    'manual completed',
    'shutdown completed',
  ]);
  // Of another node the same.
  slow = true;
  world.conductor('n2');
  const last = world.conductor('n3', { shutdownMs: 10_000 }, { pollMs: 500 });
  await last.announced;
  await ask();
  await expect.poll(async () => (await world.runs.run())!.document.state, patient).toBe('running');
  slow = false;
  await last.close();
  expect(world.ended.slice(2).map(({ trigger, state }) => `${trigger} ${state}`)).toEqual([
    'manual completed',
    'shutdown completed',
  ]);
});

test('a moment that comes while one is made is made up for afterwards, once, with the pause that is asked for', async () => {
  world = await new ConductorWorld().fill(1, ['n1']);
  const time = new SetTime(Date.parse('2026-01-10T12:59:59Z'));
  const schedule = { cron: '*/5 * * * *', timeZone: 'Europe/Berlin', minIntervalMs: 400_000, suspend: false };
  const gate = Promise.withResolvers<void>();
  world.replicas[0]!.onAsked = () => gate.promise;
  world.conductor('n1', { schedule }, { time });
  time.ms += 2000;
  await expect.poll(async () => (await world.runs.run())?.document.state, patient).toBe('running');
  // Three moments pass.
  time.ms = Date.parse('2026-01-10T13:06:00Z');
  await new Promise((resolve) => setTimeout(resolve, 100));
  gate.resolve();
  await expect.poll(() => world.ended.length, patient).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(world.ended).toHaveLength(1);
  time.ms = Date.parse('2026-01-10T13:06:42Z');
  await expect.poll(() => world.ended.length, patient).toBe(2);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(world.ended.map(({ state, trigger }) => `${trigger} ${state}`)).toEqual(Array(2).fill('schedule completed'));
});

test('schedule and least pause outlive a process that keeps its runs in itself', async () => {
  world = await new ConductorWorld().fill(1, ['n1']);
  const time = new SetTime(Date.parse('2026-01-10T12:59:50Z'));
  const schedule = { intervalMs: 60_000, minIntervalMs: 600_000, suspend: false };
  const first = world.conductor('n1', { schedule }, { time });
  await first.announced;
  const { id } = await ask();
  await over(id);
  await first.close();
  // Each process begins with no runs, and with what the repository has.
  const restarted = async (): Promise<ConductorWorld> => {
    const next = new ConductorWorld(world.repository, new MemoryCheckpointRuns());
    next.replicas.push(...world.replicas);
    next.tasks.push(...world.tasks);
    await next.conductor('n1', { schedule }, { time }).announced;
    return next;
  };
  time.ms += 60_000;
  const second = await restarted();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(second.ended).toEqual([]);
  await Promise.all(second.conductors.map((conductor) => conductor.close()));
  // What was missed while nothing ran is made at once.
  time.ms += 600_000;
  const third = await restarted();
  await expect.poll(() => third.ended.map(({ trigger }) => trigger), patient).toEqual(['schedule']);
  await Promise.all(third.conductors.map((conductor) => conductor.close()));
});
