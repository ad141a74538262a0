// A split and a merge whose driver stops at each of their steps, and comes back or does not: what was acknowledged is in
// exactly one partition all the same.
import { afterEach, describe, expect, test } from 'vitest';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';
import { ReshapeScene } from './reshape-scene.ts';

const names = ['a', 'b', 'c'];
const splitSteps = ['begin', 'makeLog', 'fence', 'finish', 'handOver', 'change'] as const;
const mergeSteps = ['prepare', 'begin', 'fence', 'finish', 'remember', 'handOver', 'absorb', 'change'] as const;

let cluster: NodeCluster;
let scene: ReshapeScene;

async function open(partitions: number): Promise<void> {
  cluster = await NodeCluster.open(new MemoryBackend(), { openCoordinator: null });
  await cluster.create(partitions, names);
  for (const name of names) await cluster.start(name);
  for (let partition = 0; partition < partitions; partition++) await cluster.running(names, partition);
  scene = new ReshapeScene(cluster, names);
}

afterEach(async () => {
  await scene.close();
  await cluster.close();
});

/** The node stops as soon as it says that it is about to do that. Resolves when it has. */
async function stopAt(name: string, id: string, step: string): Promise<boolean> {
  const isIt = (): boolean =>
    cluster.notices.some(({ node, details }) => node === name && details['id'] === id && details['step'] === step);
  const isOver = async (): Promise<boolean> => !(await cluster.topology()).reshapes?.some((each) => each.id === id);
  const untilMs = performance.now() + 20_000;
  while (!isIt()) {
    if (performance.now() > untilMs || ((await isOver()) && !isIt())) return false;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await cluster.stop(name);
  return true;
}

describe.each(['comes back', 'stays away'] as const)('the driver stops, and %s', (then) => {
  async function stopped(id: string, step: string): Promise<void> {
    const did = await stopAt('a', id, step);
    if (did && then === 'comes back') await cluster.start('a');
    await scene.ended(id);
    if (did && then === 'stays away') await cluster.start('a');
    expect(did, `${step} was seen`).toBe(true);
  }

  test.each(splitSteps)('a split, at %s', async (step) => {
    await open(1);
    const before = await scene.fill(200);
    const writes = scene.writer();
    const { id } = await scene.begin('split', 0, 1);
    await stopped(id, step);
    await cluster.running(names, 1);
    await scene.expectAll(new Map([...before, ...(await writes.stop())]));
  });

  test.each(mergeSteps)('a merge, at %s', async (step) => {
    await open(2);
    const before = await scene.fill(200);
    const writes = scene.writer();
    const { id } = await scene.begin('merge', 1, 0);
    await stopped(id, step);
    await scene.expectAll(new Map([...before, ...(await writes.stop())]));
  });
});
