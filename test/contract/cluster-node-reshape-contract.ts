// Splits and merges by nodes of a cluster that are written to: what was acknowledged is in exactly one partition, on
// every replica alike; and what becomes of those that are given up, or in the middle of which nodes stop.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ClusterBackend } from './cluster-node-fixture.ts';
import { NodeCluster } from './cluster-node-fixture.ts';
import { ReshapeScene } from './reshape-scene.ts';

const names = ['a', 'b', 'c'];

export function clusterNodeReshapeContract(
  name: string,
  openBackend: () => Promise<ClusterBackend>,
  engine: 'lmdb' | 'memory' = 'lmdb',
): void {
  describe(`splits and merges on ${name}`, () => {
    let cluster: NodeCluster;
    let scene: ReshapeScene;

    beforeEach(async () => {
      cluster = await NodeCluster.open(await openBackend(), { openCoordinator: null, engine });
      await cluster.create(1, names);
      for (const name of names) await cluster.start(name);
      await cluster.running(names);
      scene = new ReshapeScene(cluster, names);
    });
    afterEach(async () => {
      await scene.close();
      await cluster.close();
    });

    test('a partition is split while it is written to, and nobody is left out or told twice', async () => {
      const before = await scene.fill(500);
      const writes = scene.writer();
      const { id } = await scene.begin('split', 0, 1);
      await scene.ended(id);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const acknowledged = await writes.stop();
      await scene.expectAll(new Map([...before, ...acknowledged]));
      expect(writes.longestMs).toBeLessThan(2000);
    });

    test('and merged again', async () => {
      const before = await scene.fill(300);
      await scene.ended((await scene.begin('split', 0, 1)).id);
      await cluster.running(names, 1);
      const writes = scene.writer();
      const { id } = await scene.begin('merge', 1, 0);
      await scene.ended(id);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const acknowledged = await writes.stop();
      await scene.expectAll(new Map([...before, ...acknowledged]));
      expect(writes.longestMs).toBeLessThan(2000);
      const { partitions, retired } = await cluster.topology();
      expect(partitions).toMatchObject([{ partition: 0, slots: [{ start: 0, end: 4096 }] }]);
      expect(retired).toMatchObject([{ placement: { partition: 1, slots: [] } }]);
      // It stays open for those who follow it.
      expect(cluster.report('b', 1)).toMatchObject({ state: 'running', entries: 0 });
    });

    test('one that is cancelled is given up, and nothing is different', async () => {
      const before = await scene.fill(200);
      await cluster.stop('c');
      const held = await scene.begin('split', 0, 1);
      await new Promise((resolve) => setTimeout(resolve, 200));
      await scene.change(({ reshapes }) => ({ reshapes: reshapes!.map((each) => ({ ...each, cancelled: true })) }));
      await scene.ended(held.id);
      await cluster.start('c');
      const { partitions } = await cluster.topology();
      if (partitions.length === 1) expect(partitions[0]!.slots).toEqual([{ start: 0, end: 4096 }]);
      await scene.expectAll(before);
    });

    test('there and back and there again, with what is left of the time before', async () => {
      const before = await scene.fill(200);
      const writes = scene.writer();
      for (let round = 0; round < 2; round++) {
        await scene.ended((await scene.begin('split', 0, 1)).id);
        await cluster.running(names, 1);
        await scene.ended((await scene.begin('merge', 1, 0)).id);
        await cluster.until('it is not held any more', () => names.every((name) => cluster.report(name)?.lag === 0));
        await scene.change(() => ({ retired: [] }));
      }
      const acknowledged = await writes.stop();
      await scene.expectAll(new Map([...before, ...acknowledged]));
    });
  });
}
