// Replicas that come back from checkpoints and the log: with real engines, a repository in a folder, and whatever logs.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { blocksPrefix, openRepository } from '@statestore/checkpoint';
import { StateStoreError } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeTopology } from '../../services/cluster/src/initialise.ts';
import { initialStateOf } from '../../services/node/src/checkpoint/initial-state.ts';
import { openEngine } from '../../services/node/src/engine/open-engine.ts';
import { checkpointFrom } from './cluster-checkpoint.ts';
import { RepositorySwitch } from './repository-switch.ts';
import type { ClusterBackend } from './cluster-node-fixture.ts';
import { NodeCluster } from './cluster-node-fixture.ts';

const three = ['a', 'b', 'c'];
const restored = 'a replica was restored';

/** `open`: another cluster each time. */
export function clusterNodeRestoreContract(name: string, open: () => Promise<ClusterBackend>): void {
  describe(`replicas come back from checkpoints: ${name}`, () => {
    let folder = '';
    let repository: RepositorySwitch;
    let cluster: NodeCluster;

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'statestore-restores-'));
      const settings = { type: 'folder', path: join(folder, 'repository'), concurrency: 4 } as const;
      repository = new RepositorySwitch(await openRepository(settings));
      cluster = await NodeCluster.open(await open(), { repository });
    });
    afterEach(async () => {
      const fatal = [...cluster.fatal];
      repository.heal();
      await cluster.close();
      await repository.close();
      await rm(folder, { recursive: true, force: true });
      expect(fatal).toEqual([]);
    });

    async function begin(partitions = 1): Promise<void> {
      for (const node of three) await cluster.start(node);
      await cluster.create(partitions, three);
      for (let partition = 0; partition < partitions; partition++) await cluster.running(three, partition);
    }

    async function write(count: number, partition = 0): Promise<Map<string, string>> {
      const written = new Map<string, string>();
      for (let i = 0; i < count; i++) {
        const key = `k${partition}-${i}-${Math.random()}`;
        await cluster.put('a', key, `${i}`, partition);
        written.set(key, `${i}`);
      }
      return written;
    }

    const checkpoint = () => checkpointFrom(cluster, 'a', repository);

    async function trim(below: bigint, partition = 0): Promise<void> {
      const opened = await cluster.openLog(partition, (await cluster.placement(partition)).log!);
      await opened.trim(below);
      await opened.close();
    }

    async function wipe(node: string): Promise<void> {
      await cluster.stop(node);
      await rm(cluster.dataPath(node), { recursive: true, force: true });
    }

    const told = (notice: string, node?: string) =>
      cluster.notices.filter((each) => each.notice === notice && (node === undefined || each.node === node));

    test('a wiped node comes back while writes go on, and no other node copies it', async () => {
      await begin();
      const before = await write(40);
      await cluster.converged(three);
      await checkpoint();
      await trim(30n);
      const writer = cluster.writer(['a', 'b']);
      await wipe('c');
      await write(20);
      await cluster.start('c');
      await cluster.running(['c']);
      const during = await writer.stop();
      await cluster.converged(three);
      await cluster.expectAll(three, new Map([...before, ...during]));
      expect(told(restored, 'c')).toHaveLength(1);
      expect(told('a replica was copied')).toEqual([]);
      const metrics = await cluster.at('c').metrics.metrics();
      expect(metrics).toContain('state_restores_total{partition="0"} 1');
      expect(metrics).toMatch(/state_restore_last_seconds\{partition="0"\} 0\.\d+/);
      expect(metrics).not.toContain('state_restore_progress_ratio{');
    });

    test('all nodes are wiped, and everything that was acknowledged is there again', async () => {
      await begin(2);
      const written = [new Map<string, string>(), new Map<string, string>()];
      for (const partition of [0, 1]) for (const [k, v] of await write(30, partition)) written[partition]!.set(k, v);
      await cluster.converged(three, 0);
      await cluster.converged(three, 1);
      await checkpoint();
      for (const partition of [0, 1]) for (const [k, v] of await write(15, partition)) written[partition]!.set(k, v);
      await trim(25n, 0);
      await trim(31n, 1);
      for (const node of three) await wipe(node);
      // Restored into either engine.
      for (const node of three) await cluster.start(node, node === 'c' ? { engine: 'memory' } : {});
      for (const partition of [0, 1]) {
        await cluster.running(three, partition);
        await cluster.converged(three, partition);
        await cluster.expectAll(three, written[partition]!, partition);
        await cluster.put('b', 'and', 'on', partition);
      }
      expect(told(restored).length).toBeGreaterThanOrEqual(2);
    });

    test('where the log lacks what came after the checkpoint nothing older is served, and it is said what is missing', async () => {
      await begin();
      await write(20);
      await cluster.converged(three);
      const { position } = (await checkpoint()).manifest!.partitions[0]!;
      const more = await write(20);
      await trim(position + 5n);
      await cluster.converged(three);
      await cluster.stop('a');
      for (const node of ['b', 'c']) await wipe(node);
      for (const node of ['b', 'c']) await cluster.start(node);
      for (const node of ['b', 'c']) await cluster.halted(node, 'log_trimmed');
      expect(cluster.report('b')!.reason).toContain(`${position + 1n} to ${position + 4n} of log`);
      await expect(cluster.get('b', 'k')).rejects.toMatchObject({ code: 'moved' });
      expect(told(restored)).toEqual([]);
      // Until somebody comes who has it.
      await cluster.start('a');
      await cluster.running(three);
      await cluster.converged(three);
      await cluster.expectAll(three, more);
    }, 90_000);

    test('a damaged checkpoint is passed over for the next older one, which the log still reaches', async () => {
      await begin();
      const before = await write(20);
      await cluster.converged(three);
      const older = await checkpoint();
      const more = await write(20);
      await cluster.converged(three);
      const newest = await checkpoint();
      const path = join(folder, 'repository', blocksPrefix, newest.checkpoint);
      const blocks = (await readdir(path, { recursive: true })).filter((each) => /[0-9a-f]{64}$/.test(each));
      expect(blocks.length).toBeGreaterThan(0);
      for (const block of blocks) {
        const bytes = await readFile(join(path, block));
        bytes[bytes.length >> 1]! ^= 1;
        await writeFile(join(path, block), bytes);
      }
      await trim(15n);
      await wipe('c');
      await cluster.start('c');
      await cluster.running(['c']);
      await cluster.converged(three);
      await cluster.expectAll(three, new Map([...before, ...more]));
      expect(told(restored, 'c')).toMatchObject([{ details: { checkpoint: older.checkpoint } }]);
      expect(told('a damaged checkpoint is passed over', 'c')).toMatchObject([
        { details: { checkpoint: newest.checkpoint } },
      ]);
      expect(await cluster.at('c').metrics.metrics()).toContain('state_restore_passed_over_total{partition="0"} 1');
    });

    test('one that fell behind the trim while it was away restores itself, and keeps nothing', async () => {
      await begin();
      const before = await write(20);
      await cluster.converged(three);
      await cluster.stop('c');
      const more = await write(20);
      await checkpoint();
      await trim(35n);
      await cluster.start('c');
      await cluster.running(['c']);
      await cluster.converged(three);
      await cluster.expectAll(three, new Map([...before, ...more]));
      expect(told(restored, 'c')).toHaveLength(1);
      expect(told('data of a replica were set aside, and are kept')).toEqual([]);
    });

    test('and so does one that finds nobody else, and one whose data are damaged', async () => {
      await begin();
      const before = await write(20);
      await cluster.converged(three);
      await cluster.stop('c');
      const more = await write(20);
      await checkpoint();
      await trim(35n);
      for (const node of ['a', 'b']) await cluster.stop(node);
      await cluster.change(0, (placement) => ({ ...placement, replicas: ['c'] }));
      await cluster.start('c');
      await cluster.running(['c']);
      await cluster.expectAll(['c'], new Map([...before, ...more]));
      await cluster.stop('c');
      await writeFile(join(cluster.dataPath('c'), 'partitions', '0', 'data', 'lmdb', 'current'), 'nonsense\n');
      await cluster.start('c');
      await cluster.running(['c']);
      await cluster.expectAll(['c'], new Map([...before, ...more]));
      expect(told(restored, 'c')).toHaveLength(2);
      // What cannot be read may be all that is left of something.
      expect(told('data of a replica were set aside, and are kept', 'c')).toHaveLength(1);
    });

    test('one that differs from the others is copied from one of those, not from a checkpoint', async () => {
      await begin();
      await write(10);
      await cluster.put('a', 'victim', 'as it should be');
      await cluster.converged(three);
      await checkpoint();
      await cluster.stop('b');
      const engine = await openEngine('lmdb', join(cluster.dataPath('b'), 'partitions', '0', 'data'));
      for (const { key, value } of engine.range({})) {
        const text = Buffer.from(value).toString('latin1');
        if (text.includes('as it should'))
          await engine.put(key, Buffer.from(text.replace('as it should', "as it shan't"), 'latin1'));
      }
      await engine.close();
      await cluster.start('b');
      await cluster.running(['b']);
      await cluster.put('a', 'victim', 'changed');
      await write(20);
      await cluster.until('b was copied', () => told('a replica was copied', 'b').length === 1);
      await cluster.converged(three);
      expect(told(restored)).toEqual([]);
    });

    test('a restore that is stopped in the middle is begun anew, and shows how far it is', async () => {
      await begin();
      const written = await write(30);
      await cluster.converged(three);
      await checkpoint();
      await trim(25n);
      for (const node of three) await wipe(node);
      repository.hold(blocksPrefix);
      await cluster.start('a');
      await cluster.until('a restores', () => cluster.report('a')?.build?.source === 'checkpoint');
      expect(cluster.report('a')).toMatchObject({ state: 'copying', build: { records: 0, bytes: 0 } });
      expect(await readdir(join(cluster.dataPath('a'), 'partitions', '0'))).toContain('building');
      await cluster.stop('a');
      expect(await readdir(join(cluster.dataPath('a'), 'partitions', '0'))).toEqual(['data']);
      repository.heal();
      for (const node of three) await cluster.start(node);
      await cluster.running(three);
      await cluster.expectAll(three, written);
    });

    test('a repository that does not answer is asked again, and a node that runs is asked meanwhile', async () => {
      await begin();
      const written = await write(30);
      await cluster.converged(three);
      await checkpoint();
      await trim(25n);
      repository.fail(new StateStoreError('unavailable', 'the repository is away'));
      await wipe('c');
      await cluster.start('c');
      await cluster.running(['c']);
      expect(told('a replica was copied', 'c')).toHaveLength(1);
      for (const node of three) await wipe(node);
      for (const node of three) await cluster.start(node);
      await cluster.until('a says why it waits', () => cluster.report('a')?.reason.includes('is away') === true);
      expect(cluster.report('a')?.state).toBe('copying');
      repository.heal();
      await cluster.until('all run', () => three.every((node) => cluster.report(node)?.state === 'running'), 60_000);
      await cluster.expectAll(three, written);
    }, 90_000);

    test('a new cluster begins with the checkpoint that its topology names', async () => {
      await begin(2);
      const first = await write(20, 0);
      const second = await write(12, 1);
      await cluster.converged(three, 0);
      await cluster.converged(three, 1);
      const made = await checkpoint();
      const other = await NodeCluster.open(await open(), { repository, cluster: 'other' });
      try {
        for (const node of three) await other.start(node);
        await other.until('all reported', async () => (await other.registry.list()).length === 3);
        const from = initialStateOf(made.manifest!);
        const { logReplicas } = other.backend;
        const outcome = await makeTopology(
          other,
          { partitions: 2, replicationFactor: 3, logReplicas, from },
          await other.registry.list(),
        );
        expect(outcome.kind).toBe('initialised');
        for (const [partition, written] of [first, second].entries()) {
          await other.running(three, partition);
          await other.expectAll(three, written, partition);
          await other.put('c', 'and', 'on', partition);
          await other.converged(three, partition);
        }
      } finally {
        await other.close();
      }
    });
  });
}
