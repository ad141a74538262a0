// What nodes of a cluster do together, whatever they run on: in memory, and on real NATS servers.
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openEngine } from '../../services/node/src/engine/open-engine.ts';
import type { ClusterBackend } from './cluster-node-fixture.ts';
import { NodeCluster } from './cluster-node-fixture.ts';

const three = ['a', 'b', 'c'];

export function clusterNodeContract(name: string, open: () => Promise<ClusterBackend>): void {
  describe(`cluster nodes: ${name}`, () => {
    let cluster: NodeCluster;

    beforeEach(async () => {
      cluster = await NodeCluster.open(await open());
    });
    afterEach(async () => {
      const fatal = [...cluster.fatal];
      await cluster.close();
      expect(fatal).toEqual([]);
    });

    async function startAll(names: readonly string[] = three): Promise<void> {
      for (const node of names) await cluster.start(node);
    }

    async function write(count: number, partition = 0, names: readonly string[] = three): Promise<Map<string, string>> {
      const written = new Map<string, string>();
      for (let i = 0; i < count; i++) {
        const key = `k${partition}-${i}-${written.size}-${Math.random()}`;
        await cluster.put(names[i % names.length]!, key, `${i}`, partition);
        written.set(key, `${i}`);
      }
      return written;
    }

    test('three follow the same logs, whoever proposes, and are equal', async () => {
      await startAll();
      await cluster.create(2, three);
      await cluster.running(three, 0);
      await cluster.running(three, 1);
      const first = await write(60, 0);
      const second = await write(20, 1);
      await cluster.converged(three, 0);
      await cluster.converged(three, 1);
      await cluster.expectAll(three, first, 0);
      await cluster.expectAll(three, second, 1);
      expect(cluster.notices.filter(({ notice }) => notice.includes('hashes'))).toEqual([]);
      await cluster.until('all report what runs', async () => {
        const reports = await cluster.registry.list();
        const states = reports.flatMap(({ replicas }) => replicas.map(({ state }) => state));
        return reports.length === 3 && states.length === 6 && states.every((state) => state === 'running');
      });
    });

    test('one that was away goes on from what it has', async () => {
      await startAll();
      await cluster.create(1, three);
      await cluster.running(three);
      const before = await write(20);
      await cluster.stop('b');
      const meanwhile = await write(20, 0, ['a', 'c']);
      await cluster.start('b');
      await cluster.running(three);
      const after = await write(5);
      await cluster.converged(three);
      await cluster.expectAll(three, new Map([...before, ...meanwhile, ...after]));
      expect(cluster.notices.filter(({ notice }) => notice.includes('copied'))).toEqual([]);
    });

    test('a replica is added while writes go on, serves when it is promoted, and the old one goes', async () => {
      await startAll(['a', 'b', 'c', 'd']);
      await cluster.create(1, three);
      await cluster.running(three);
      const writer = cluster.writer(three);
      await cluster.change(0, (placement) => ({ ...placement, joining: ['d'] }));
      await cluster.running(['d']);
      await expect(cluster.put('d', 'x', 'x')).rejects.toMatchObject({ code: 'moved' });
      expect(cluster.at('d').status().notReady).toBeUndefined();
      await cluster.change(0, (placement) => ({ ...placement, joining: [], replicas: ['a', 'b', 'd'] }));
      await cluster.until('d serves', () =>
        cluster.put('d', 'y', 'y').then(
          () => true,
          () => false,
        ),
      );
      const written = await writer.stop();
      expect(written.size).toBeGreaterThan(10);
      await cluster.converged(['a', 'b', 'd']);
      await cluster.expectAll(['a', 'b', 'd'], written);
      await cluster.until('c closed its replica', () => cluster.report('c') === undefined);
      await expect(cluster.put('c', 'z', 'z')).rejects.toMatchObject({ code: 'moved' });
      // Its data go only when all others are seen to have them.
      await cluster.until('c has removed its data', () => !existsSync(join(cluster.dataPath('c'), 'partitions', '0')));
    });

    test('one whose log was trimmed is copied from another, and so is a new one', async () => {
      await startAll();
      await cluster.create(1, three);
      await cluster.running(three);
      const before = await write(30);
      await cluster.converged(three);
      await cluster.stop('c');
      const meanwhile = await write(30, 0, ['a', 'b']);
      const { log } = await cluster.placement(0);
      const opened = await cluster.openLog(0, log!);
      await opened.trim(56n);
      await opened.close();
      await cluster.start('c');
      await cluster.start('d');
      await cluster.change(0, (placement) => ({ ...placement, joining: ['d'] }));
      const after = await write(10, 0, ['a', 'b']);
      await cluster.running(['c', 'd']);
      await cluster.converged([...three, 'd']);
      await cluster.expectAll(three, new Map([...before, ...meanwhile, ...after]));
      const copied = cluster.notices.filter(({ notice }) => notice === 'a replica was copied').map(({ node }) => node);
      expect(copied.toSorted()).toEqual(['c', 'd']);
      // What it had before was kept until the new data ran, and no longer.
      await cluster.until('nothing is aside', async () => {
        const names = await readdir(join(cluster.dataPath('c'), 'partitions', '0'));
        return names.join() === 'data';
      });
    });

    test('one whose data were changed stops, and is built anew', async () => {
      await startAll();
      await cluster.create(1, three);
      await cluster.running(three);
      const written = await write(20);
      await cluster.put('a', 'victim', 'as it should be');
      await cluster.converged(three);
      await cluster.stop('b');
      const engine = await openEngine('lmdb', join(cluster.dataPath('b'), 'partitions', '0', 'data'));
      for (const { key, value } of engine.range({})) {
        const text = Buffer.from(value).toString('latin1');
        if (!text.includes('as it should be')) continue;
        await engine.put(key, Buffer.from(text.replace('as it should', "as it shan't"), 'latin1'));
      }
      await engine.close();
      await cluster.start('b');
      await cluster.running(three);
      // Only when the entry is taken out of the sum of hashes does the difference show.
      await cluster.put('a', 'victim', 'other');
      await cluster.until('b was found out', () =>
        cluster.notices.some(({ node, details }) => node === 'b' && details['cause'] === 'diverged'),
      );
      await cluster.until('b was copied', () =>
        cluster.notices.some(({ node, notice }) => node === 'b' && notice === 'a replica was copied'),
      );
      await cluster.converged(three);
      await cluster.expectAll(three, new Map([...written, ['victim', 'other']]));
      const halts = cluster.notices.filter(({ notice }) => notice === 'a replica halted');
      expect(halts.map(({ node }) => node)).toEqual(['b']);
      expect(await cluster.at('b').metrics.metrics()).toMatch(/state_replica_rebuilds_total\{partition="0"\} 1/);
    });

    test('a log that is gone is carried on from the best replica, and nothing is lost', async () => {
      await startAll();
      await cluster.create(1, three);
      await cluster.running(three);
      const writer = cluster.writer(three);
      await cluster.until('some are written', () => BigInt(cluster.report('a')?.appliedPosition ?? 0) > 30n);
      await cluster.logStreams.remove(0, 1);
      await cluster.until('the log is another one', async () => (await cluster.placement(0)).log?.generation === 2);
      await cluster.running(three);
      const after = await write(20);
      const written = await writer.stop();
      await cluster.converged(three);
      await cluster.expectAll(three, new Map([...written, ...after]));
      const { log } = await cluster.placement(0);
      expect(log?.continues?.position).toBeGreaterThan(30n);
      expect(cluster.report('a')?.incarnation).toBe(log?.incarnation);
    });

    test('one that was ahead of the recovered log stays halted, and keeps what it has', async () => {
      await startAll();
      await cluster.create(1, three);
      await cluster.running(three);
      await write(10);
      await cluster.converged(three);
      const { chain, appliedPosition } = cluster.report('a')!;
      await cluster.stop('a');
      await cluster.stop('b');
      await cluster.put('c', 'only here', 'acknowledged');
      await cluster.stop('c');
      // Recovered by a person, who did not wait for c.
      const { log } = await cluster.placement(0);
      await cluster.logStreams.remove(0, 1);
      const continues = { incarnation: log!.incarnation, position: BigInt(appliedPosition), chain };
      const first = continues.position + 1n;
      const replicas = cluster.backend.logReplicas;
      const next = await cluster.logStreams.create({ partition: 0, generation: 2, replicas, first, continues });
      await cluster.change(0, (placement) => ({ ...placement, log: next }));
      await startAll();
      await cluster.running(['a', 'b']);
      await cluster.halted('c', 'log_regressed');
      expect(cluster.report('c')?.reason).toContain('ahead of the recovered log');
      expect(cluster.at('c').status().notReady).toContain('halted');
      const after = await write(20, 0, ['a', 'b']);
      await cluster.converged(['a', 'b']);
      await cluster.expectAll(['a', 'b'], after);
      await new Promise((resolve) => setTimeout(resolve, 2500));
      expect(cluster.report('c')?.state).toBe('halted');
      expect(cluster.report('c')?.appliedPosition).toBe(String(continues.position + 1n));
      expect(await readdir(join(cluster.dataPath('c'), 'partitions', '0'))).toEqual(['data']);
    });

    test('nothing is recovered while a replica is silent', async () => {
      await startAll();
      await cluster.create(1, three);
      await cluster.running(three);
      const written = await write(10);
      await cluster.converged(three);
      await cluster.stop('c');
      await cluster.logStreams.remove(0, 1);
      await cluster.halted('a', 'log_regressed');
      await cluster.halted('b', 'log_regressed');
      await cluster.until('c is missed', () =>
        cluster.notices.some(({ details }) => details['why'] === 'node c is silent'),
      );
      expect((await cluster.placement(0)).log?.generation).toBe(1);
      await cluster.start('c');
      await cluster.running(three);
      expect((await cluster.placement(0)).log?.generation).toBe(2);
      await cluster.put('b', 'and', 'on');
      await cluster.converged(three);
      await cluster.expectAll(three, new Map([...written, ['and', 'on']]));
    });

    test('a node that is short of disk refuses what grows, then applies nothing, and comes back', async () => {
      await startAll();
      await cluster.create(1, three);
      await cluster.running(three);
      await cluster.put('a', 'k', 'v');
      cluster.disk.set('a', { freeBytes: 10e9, totalBytes: 100e9 });
      await cluster.until('writes are refused', () =>
        cluster.put('a', 'k', 'w').then(
          () => false,
          (error: { code: string; retryAfterMs: number }) => error.code === 'disk_full' && error.retryAfterMs > 0,
        ),
      );
      expect(cluster.at('a').status().notReady).toBeUndefined();
      await cluster.put('b', 'k2', 'v');
      cluster.disk.set('a', { freeBytes: 4e9, totalBytes: 100e9 });
      await cluster.until('it is not ready', () => cluster.at('a').status().notReady?.includes('disk') === true);
      const held = cluster.report('a')!.appliedPosition;
      for (let i = 0; i < 10; i++) await cluster.put('b', `more${i}`, 'v');
      await cluster.until('it knows that it is behind', () => (cluster.report('a')?.lag ?? 0) >= 10);
      expect(cluster.report('a')!.appliedPosition).toBe(held);
      cluster.disk.set('a', { freeBytes: 60e9, totalBytes: 100e9 });
      await cluster.converged(three);
      await cluster.until('writes are taken', () =>
        cluster.put('a', 'k', 'x').then(
          () => true,
          () => false,
        ),
      );
      expect(cluster.at('a').status().notReady).toBeUndefined();
    });

    test('the last topology is kept, and told where the store has lost it', async () => {
      await startAll(['a']);
      await cluster.create(1, ['a']);
      await cluster.running(['a']);
      const file = join(cluster.dataPath('a'), 'topology.json');
      await cluster.until('it is written', () => existsSync(file));
      expect(await readFile(file, 'utf8')).toContain('"a"');
      expect((await cluster.registry.list())[0]?.lastTopology).toBeUndefined();
    });
  });
}
