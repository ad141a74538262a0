// SIGSTOP of the node that conducts a checkpoint, for so long that another one takes the run over: thawed again it
// completes, undoes and deletes nothing.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listCheckpoints, verifyCheckpoint } from '@statestore/checkpoint';
import type { ManagedProcess } from '@statestore/cli';
import { openScratchEngine } from '@statestore/node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CheckpointRun } from './cluster-with-repository.ts';
import { ClusterWithRepository, patient } from './cluster-with-repository.ts';

const partitions = 8;
const entries = 4000;

let world: ClusterWithRepository;
let files: string;
beforeAll(async () => {
  world = await ClusterWithRepository.start({
    partitions,
  });
  files = join(world.folder, 'repository');
  await world.put(Array.from({ length: entries }, (_, i) => [`k${i}`, `${i} `.repeat(100)]));
});
afterAll(async () => {
  for (const node of world?.cluster.nodes ?? []) node.resume();
  await world?.close();
});

async function names(...path: readonly string[]): Promise<string[]> {
  return readdir(join(files, ...path)).catch(() => []);
}

const idsListed = async (): Promise<string[]> =>
  (await listCheckpoints({ repository: world.repository, cluster: world.cluster.name })).map(({ id }) => id);

async function expectWhole(id: string): Promise<void> {
  const { repository, cluster, folder } = world;
  const drill = (partition: number) => openScratchEngine(join(folder, 'scratch', id, String(partition)));
  const verified = await verifyCheckpoint({ repository, cluster: cluster.name, id, drill });
  expect(verified).toMatchObject({ state: 'good', findings: [] });
  expect(verified.restored.reduce((sum, each) => sum + each.entries, 0)).toBe(entries);
}

interface Frozen {
  readonly run: CheckpointRun;
  readonly node: ManagedProcess;
  readonly checkpoint: string;
}

/** A checkpoint whose conductor is frozen before it is complete, when so many partitions are written. */
async function frozenWith(written: number): Promise<Frozen> {
  for (;;) {
    // Something has to be written, else there is no time in which to freeze.
    await world.put(Array.from({ length: entries }, (_, i) => [`k${i}`, `${Math.random()} `.repeat(20)]));
    const id = await world.askForCheckpoint();
    const before = new Set(await names('checkpoints'));
    let run = await world.run(id);
    while (run.state === 'requested' || (run.state === 'running' && run.checkpoint === undefined)) {
      await sleep(2);
      run = await world.run(id);
    }
    const checkpoint = run.checkpoint!;
    const node = world.node(run.conductor);
    while ((await names('checkpoints', `${checkpoint}.partitions`)).filter(isWhole).length < written) {
      if ((await names('checkpoints')).includes(checkpoint)) break;
    }
    node.pause();
    const isIn = !(await names('checkpoints')).includes(checkpoint) && !before.has(checkpoint);
    if (isIn) return { run, node, checkpoint };
    // It was quicker.
    node.resume();
    await world.ended(id);
  }
}

/** No draft of the folder. */
function isWhole(name: string): boolean {
  return !name.includes('~');
}

test.each([
  ['while partitions are written', 1],
  ['right before it would be complete', partitions],
])('frozen %s', async (_moment, written) => {
  const before = await idsListed();
  const { run, node, checkpoint } = await frozenWith(written);
  const ended = await world.ended(run.id);
  expect(ended).toMatchObject({ state: 'failed', checkpoint, error: { retryable: true } });
  expect(ended.conductor).not.toBe(node.name);
  expect(ended.error!.message).toContain(node.name);
  // The others go on without it.
  const next = await world.checkpoint();
  expect(next.conductor).not.toBe(node.name);
  const listed = await idsListed();
  expect(listed[0]).toBe(next.checkpoint);
  expect(listed).not.toContain(checkpoint);
  const objects = await names('blocks', next.checkpoint);
  const lastRun = await world.run(next.id);
  node.resume();
  // It finds out by its next sign of life, and looks at what the others made.
  await expect.poll(() => world.metric(node, 'state_checkpoint_running'), patient).toBe(0);
  await sleep(3000);
  expect([await world.run(run.id), await world.run(next.id)]).toEqual([ended, lastRun]);
  expect(await idsListed()).toEqual(listed);
  expect(listed.filter((id) => before.includes(id))).toEqual(before.filter((id) => listed.includes(id)));
  expect(await names('blocks', next.checkpoint)).toEqual(objects);
  await expectWhole(next.checkpoint);
  const catalogue = await world.json<{ readonly checkpoints: readonly { readonly id: string }[] }>('/v1/checkpoints');
  expect(catalogue.checkpoints.map(({ id }) => id)).toEqual(listed);
});
