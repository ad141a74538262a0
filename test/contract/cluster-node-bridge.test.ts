// All replicas lost their disks, and the log was trimmed above the only checkpoint: they come back by the archive, and where
// that has a gap they wait and name it.
import type { ListedSegment } from '@statestore/checkpoint';
import { listSegments, MemoryRepository, segmentName } from '@statestore/checkpoint';
import { rm } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Archiver } from '../../services/node/src/checkpoint/archiver.ts';
import { systemTime } from '../../services/node/src/time.ts';
import { checkpointFrom } from './cluster-checkpoint.ts';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';

const two = ['a', 'b'];
let repository: MemoryRepository;
let cluster: NodeCluster;
beforeEach(async () => {
  repository = new MemoryRepository();
  cluster = await NodeCluster.open(new MemoryBackend(), { repository });
});
afterEach(() => cluster.close());

interface Lost {
  readonly written: ReadonlyMap<string, string>;
  /** Of the checkpoint. */
  readonly position: bigint;
  readonly segments: readonly ListedSegment[];
}

/** A checkpoint, more writes, all of it archived, the log trimmed in the midst of those, all disks empty. */
async function lose(): Promise<Lost> {
  for (const node of two) await cluster.start(node);
  await cluster.create(1, two);
  await cluster.running(two);
  const written = new Map<string, string>();
  const write = async (from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) {
      await cluster.put('a', `k${i}`, `${i}`);
      written.set(`k${i}`, `${i}`);
    }
  };
  await write(0, 20);
  await cluster.converged(two);
  const { position } = (await checkpointFrom(cluster, 'a', repository)).manifest!.partitions[0]!;
  await write(20, 60);
  await cluster.converged(two);
  const log = (await cluster.placement(0)).log!;
  const source = await cluster.openLog(0, log);
  const { last } = await source.bounds();
  const archiver = new Archiver({
    repository,
    log: { ...log, cluster: 'test', partition: 0 },
    source,
    point: () => undefined,
    time: systemTime,
    intervalMs: 5,
    segmentBytes: 1000,
  });
  await vi.waitFor(() => expect(archiver.status.position).toBeGreaterThanOrEqual(last), 10_000);
  await archiver.close();
  await source.trim(last - 5n);
  await source.close();
  for (const node of two) {
    await cluster.stop(node);
    await rm(cluster.dataPath(node), { recursive: true, force: true });
  }
  return { written, position, segments: await listSegments(repository, log.incarnation) };
}

test('replicas come back from a checkpoint below the log, and the archive', async () => {
  const { written } = await lose();
  await cluster.start('a');
  await cluster.start('b', { engine: 'memory' });
  await cluster.running(two);
  await cluster.converged(two);
  await cluster.expectAll(two, new Map(written));
  await cluster.put('b', 'and', 'on');
  expect(cluster.notices.filter(({ notice }) => notice === 'a replica was restored').length).toBeGreaterThan(0);
});

test('where the archive lacks something, too, they wait and say what; and come when it is there', async () => {
  const { written, position, segments } = await lose();
  const missing = segments.find(({ first }) => first > position)!;
  const name = segmentName(missing.incarnation, missing.first, missing.last);
  const bytes = (await repository.get(name))!;
  await repository.remove([name]);
  for (const node of two) await cluster.start(node);
  for (const node of two) await cluster.halted(node, 'log_trimmed');
  expect(cluster.report('a')!.reason).toContain(
    `${missing.first} to ${missing.last} of log ${missing.incarnation} are missing`,
  );
  await repository.put(name, bytes);
  await cluster.running(two);
  await cluster.converged(two);
  await cluster.expectAll(two, new Map(written));
}, 90_000);
