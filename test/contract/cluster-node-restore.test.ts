// Replicas that come back from checkpoints: with logs in memory; and where the disk is too small for one.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { MemoryRepository, openRepository } from '@statestore/checkpoint';
import { limits, StateStoreError } from '@statestore/core';
import { expect, test } from 'vitest';
import { mountSmallDisk } from '../../services/cli/src/local-cluster/small-disk.ts';
import { checkpointFrom } from './cluster-checkpoint.ts';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';
import { RepositorySwitch } from './repository-switch.ts';
import { clusterNodeRestoreContract } from './cluster-node-restore-contract.ts';

clusterNodeRestoreContract('in memory', () => Promise.resolve(new MemoryBackend()));

test('a log that is long is not replayed by a new replica where a checkpoint saves that, and is where none does', async () => {
  const repository = new RepositorySwitch(new MemoryRepository());
  const cluster = await NodeCluster.open(new MemoryBackend(), { repository });
  try {
    await cluster.start('a');
    await cluster.create(1, ['a', 'b', 'c']);
    await cluster.running(['a']);
    await cluster.put('a', 'first', 'v');
    const put = (i: number): Promise<bigint> => cluster.put('a', `k${i % 100}`, 'v');
    for (let i = 0; i < limits.restoreWorthBatches; i++) await put(i);
    await checkpointFrom(cluster, 'a', repository);
    await cluster.put('a', 'last', 'v');
    await cluster.start('b');
    await cluster.running(['b']);
    await cluster.expectAll(
      ['b'],
      new Map([
        ['first', 'v'],
        ['last', 'v'],
      ]),
    );
    const restored = cluster.notices.filter(({ notice }) => notice === 'a replica was restored');
    expect(restored.map(({ node }) => node)).toEqual(['b']);
    repository.fail(new StateStoreError('unavailable', 'the repository is away'));
    await cluster.start('c');
    await cluster.running(['c']);
    await cluster.converged(['a', 'b', 'c']);
    expect(cluster.notices.filter(({ notice }) => notice === 'a replica was copied')).toEqual([]);
  } finally {
    await cluster.close();
  }
}, 120_000);

const isRoot = process.platform === 'linux' && process.getuid?.() === 0;

test.skipIf(!isRoot)(
  'a disk without room for it: the replica says so, and comes when there is room',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'statestore-restores-'));
    const repository = await openRepository({ type: 'folder', path: join(folder, 'repository'), concurrency: 4 });
    const cluster = await NodeCluster.open(new MemoryBackend(), { repository });
    const path = cluster.dataPath('b');
    await mkdir(path, { recursive: true });
    const disk = await mountSmallDisk(path, 2 * 1024 * 1024);
    try {
      await cluster.start('a');
      await cluster.create(1, ['a', 'b']);
      await cluster.running(['a']);
      const written = new Map<string, string>();
      for (let i = 0; i < 40; i++) written.set(`k${i}`, randomBytes(60_000).toString('base64'));
      for (const [key, value] of written) await cluster.put('a', key, value);
      await checkpointFrom(cluster, 'a', repository);
      const log = await cluster.openLog(0, (await cluster.placement(0)).log!);
      await log.trim(30n);
      await log.close();
      await cluster.stop('a');
      await cluster.start('b');
      await cluster.until('b says that there is no room', () =>
        cluster.report('b')!.reason.includes('from a checkpoint'),
      );
      const failed = cluster.notices.find(
        ({ notice }) => notice === 'a replica could not be restored from a checkpoint',
      );
      expect(failed).toMatchObject({
        node: 'b',
        details: { error: expect.stringContaining('the disk has') as string },
      });
      expect(cluster.report('b')).toMatchObject({ state: 'copying', appliedPosition: '0' });
      expect(await cluster.at('b').metrics.metrics()).toMatch(/state_restore_failures_total\{partition="0"\} [1-9]/);
      await promisify(execFile)('mount', ['-o', 'remount,size=64m', path]);
      await cluster.until('b runs', () => cluster.report('b')?.state === 'running', 60_000);
      await cluster.expectAll(['b'], written);
      const left = async (): Promise<string> => (await readdir(join(path, 'partitions', '0'))).join(' ');
      await cluster.until('nothing is left beside the data', async () => (await left()) === 'data');
    } finally {
      await cluster.stop('b');
      await disk.remove();
      await cluster.close();
      await repository.close();
      await rm(folder, { recursive: true, force: true });
    }
  },
  120_000,
);
