// Another number of partitions is asked for, and nodes that nobody coordinates make it so, while they are written to.
import { changeTopology, withPartitions } from '@statestore/cluster';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';
import { ReshapeScene } from './reshape-scene.ts';

const names = ['a', 'b', 'c'];
let cluster: NodeCluster;
let scene: ReshapeScene;

beforeEach(async () => {
  cluster = await NodeCluster.open(new MemoryBackend());
  await cluster.create(1, names);
  for (const name of names) await cluster.start(name);
  await cluster.running(names);
  scene = new ReshapeScene(cluster, names);
});
afterEach(async () => {
  await scene.close();
  await cluster.close();
});

async function resizeTo(count: number): Promise<void> {
  await changeTopology(cluster.topologyStore, (topology) => withPartitions(topology, count));
  await cluster.until(
    `there are ${count} partitions`,
    async () => {
      const { partitions, spec, reshapes = [] } = await cluster.topology();
      return partitions.length === count && reshapes.length === 0 && spec?.partitions === undefined;
    },
    60_000,
  );
}

test('from one to four, to six, to two', { timeout: 120_000 }, async () => {
  const before = await scene.fill(300);
  const writes = scene.writer();
  for (const count of [4, 6, 2]) await resizeTo(count);
  const acknowledged = await writes.stop();
  await scene.expectAll(new Map([...before, ...acknowledged]));
  expect(writes.longestMs).toBeLessThan(5000);
  const driven = cluster.notices.filter(({ notice }) => notice.includes('failed'));
  expect(driven).toEqual([]);
});
