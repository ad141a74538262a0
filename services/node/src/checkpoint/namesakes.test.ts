// Two clusters of one name in one repository, as where an old one goes on and was restored beside itself: each looks after
// its own checkpoints, and people are told.
import type { Proven } from '@statestore/checkpoint';
import { listCheckpoints, MemoryRepository } from '@statestore/checkpoint';
import { newRunId, requestCheckpoint } from '@statestore/cluster';
import { afterEach, expect, test } from 'vitest';
import { ConductorWorld } from './conductor.testing.ts';

const patient = { timeout: 20_000, interval: 10 };
const lineages = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222', undefined] as const;
const worlds: ConductorWorld[] = [];
const proven = new Map<ConductorWorld, Proven | undefined>();
afterEach(() => Promise.all(worlds.splice(0).map((world) => world.close())));

async function worldOf(repository: MemoryRepository, lineage: string | undefined): Promise<ConductorWorld> {
  const world = await new ConductorWorld(repository).fill(1, ['n1']);
  worlds.push(world);
  world.conductor(
    'n1',
    { maxCheckpoints: 2 },
    {
      marginMs: 0,
      proofMs: 0,
      afterwards: async (_, now) => void proven.set(world, now),
      ...(lineage === undefined ? {} : { lineage: () => lineage }),
    },
  );
  return world;
}

/** Resolves with its id, when it is looked after. */
async function make(world: ConductorWorld): Promise<string> {
  const nowMs = Date.now();
  const asked = { id: newRunId(nowMs), trigger: 'manual', requestedBy: 'test', nowMs } as const;
  proven.delete(world);
  await expect.poll(async () => (await requestCheckpoint(world.runs, asked)).outcome, patient).toBe('requested');
  await expect.poll(async () => (await world.runs.run())?.document.state, patient).toBe('completed');
  await expect.poll(() => proven.get(world), patient).toBeDefined();
  return (await world.runs.run())!.document.checkpoint!;
}

test('each keeps, trims by, and takes blocks of its own alone; both say that there is another', async () => {
  const repository = new MemoryRepository();
  const [old, restored, unnamed] = await Promise.all(lineages.map((lineage) => worldOf(repository, lineage)));
  const made: string[][] = [[], [], []];
  for (let round = 0; round < 4; round++)
    for (const [at, world] of [old!, restored!, unnamed!].entries()) made[at]!.push(await make(world));
  const listed = await listCheckpoints({ repository });
  const kept = new Set(listed.map(({ id }) => id));
  for (const [at, world] of [old!, restored!, unnamed!].entries()) {
    const own = made[at]!;
    expect(own.map((id) => kept.has(id))).toEqual([false, false, true, true]);
    expect(proven.get(world)!.good.map(({ manifest }) => manifest.id)).toEqual(own.slice(2).toReversed());
    const newest = listed.find(({ id }) => id === own[3]);
    expect(newest).toMatchObject({ lineage: lineages[at] ?? '', previous: own[2] });
    expect((await world.runs.catalog())!.document.namesake?.lineage).not.toBe(lineages[at] ?? '');
    expect(world.notices.join()).toContain('another cluster of this name');
  }
});

test('one that stopped is told of no more after two of its own, and nothing of it goes', async () => {
  const repository = new MemoryRepository();
  const old = await worldOf(repository, lineages[0]);
  const before = [await make(old), await make(old)];
  const restored = await worldOf(repository, lineages[1]);
  const namesake = async () => (await restored.runs.catalog())!.document.namesake;
  await make(restored);
  expect(await namesake()).toBeUndefined();
  before.push(await make(old));
  await make(restored);
  await expect.poll(namesake, patient).toMatchObject({ checkpoint: before[2], lineage: lineages[0] });
  await make(restored);
  await expect.poll(namesake, patient).toBeUndefined();
  await make(restored);
  const kept = (await listCheckpoints({ repository })).map(({ id }) => id);
  expect(kept).toEqual(expect.arrayContaining(before.slice(1)));
});

test('nothing is deleted as long as it is not known which cluster this is', async () => {
  const repository = new MemoryRepository();
  const old = await worldOf(repository, lineages[0]);
  const ids = [await make(old), await make(old)];
  const world = new ConductorWorld(repository);
  worlds.push(world);
  world.conductor('n2', { maxCheckpoints: 1 }, { lineage: () => undefined, upkeepMs: 10 });
  await expect.poll(() => world.notices.join(), patient).toContain('the topology is not known yet');
  expect((await listCheckpoints({ repository })).map(({ id }) => id)).toEqual(ids.toReversed());
});
