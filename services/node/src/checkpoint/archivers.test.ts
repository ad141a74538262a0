import { listSegments, MemoryRepository } from '@statestore/checkpoint';
import { hashToHex, newHash } from '@statestore/core';
import { Registry } from 'prom-client';
import { expect, test, vi } from 'vitest';
import { MemoryLogs } from '../testing/memory-logs.ts';
import { watchArchive } from './archive-metrics.ts';
import { Archivers, type ArchiveSource } from './archivers.ts';

const waiting = { timeout: 10_000, interval: 5 };

test('a node archives what is its to archive, as long as it is', async () => {
  const logs = new MemoryLogs();
  const repository = new MemoryRepository();
  const sources = await Promise.all(
    [0, 1].map(async (partition): Promise<ArchiveSource> => {
      const log = await logs.create({ partition, generation: 1, replicas: 1 });
      const source = await logs.open(partition, log);
      for (let i = 0; i < 5; i++) await source.append(Uint8Array.of(i));
      const point = () => ({ position: 5n, chain: hashToHex(newHash()) });
      return { partition, log, source, point, chainAt: () => undefined };
    }),
  );
  let mine: readonly ArchiveSource[] = [sources[0]!];
  const archivers = new Archivers({ repository, cluster: 'c', sources: () => mine, intervalMs: 5, lookMs: 5 });
  const registry = new Registry();
  watchArchive(registry, () => archivers.status);
  const positions = (): unknown => archivers.status.map(({ partition, position }) => [partition, position]);
  await vi.waitFor(() => expect(positions()).toEqual([[0, 5n]]), waiting);
  expect(await registry.metrics()).toContain('state_archive_position{partition="0"} 5');
  expect(await registry.metrics()).toContain('state_archive_age_seconds{partition="0"} 0');
  mine = [sources[1]!];
  await vi.waitFor(() => expect(positions()).toEqual([[1, 5n]]), waiting);
  expect(await registry.metrics()).not.toContain('partition="0"');
  // The log was opened anew: another object, the same log.
  const { log } = sources[1]!;
  const again = await logs.open(1, log);
  await again.append(Uint8Array.of(9));
  mine = [{ ...sources[1]!, source: again }];
  await vi.waitFor(() => expect(positions()).toEqual([[1, 6n]]), waiting);
  await Promise.all([archivers.close(), archivers.close()]);
  expect(archivers.status).toEqual([]);
  expect(await listSegments(repository, sources[0]!.log.incarnation)).toMatchObject([{ first: 1n, last: 5n }]);
});

test('a new process tells no age before it has looked, and then that of the first batch that waits', async () => {
  const logs = new MemoryLogs();
  const log = await logs.create({ partition: 0, generation: 1, replicas: 1 });
  const source = await logs.open(0, log);
  await source.append(Uint8Array.of(1));
  await new Promise((resolve) => setTimeout(resolve, 1200));
  const looked = Promise.withResolvers<void>();
  const stored = Promise.withResolvers<void>();
  class Slow extends MemoryRepository {
    override async *list(...call: Parameters<MemoryRepository['list']>): ReturnType<MemoryRepository['list']> {
      await looked.promise;
      yield* super.list(...call);
    }
    override async get(...call: Parameters<MemoryRepository['get']>): ReturnType<MemoryRepository['get']> {
      if (!call[0].endsWith('/log')) await stored.promise;
      return super.get(...call);
    }
  }
  const point = () => ({ position: 1n, chain: hashToHex(newHash()) });
  const archivers = new Archivers({
    repository: new Slow(),
    cluster: 'c',
    sources: () => [{ partition: 0, log, source, point, chainAt: () => undefined }],
    intervalMs: 5,
    lookMs: 5,
  });
  const registry = new Registry();
  watchArchive(registry, () => archivers.status);
  const age = async (): Promise<number | undefined> => {
    const [, value] = /^state_archive_age_seconds\{.*\} (.*)$/m.exec(await registry.metrics()) ?? [];
    return value === undefined ? undefined : Number(value);
  };
  for (let look = 0; look < 5; look++) {
    expect(await age()).toBeUndefined();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  looked.resolve();
  let first: number | undefined;
  await vi.waitFor(async () => expect((first = await age())).toBeDefined(), { timeout: 10_000, interval: 1 });
  expect(first).toBeGreaterThan(1.1);
  stored.resolve();
  await vi.waitFor(async () => expect(await age()).toBe(0), waiting);
  await archivers.close();
});
