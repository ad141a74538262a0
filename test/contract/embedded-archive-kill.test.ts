// A node on its own that is killed at any moment: its archive has no gap after the next start, though its journal is
// trimmed all the time; and what is restored from it is what the node has.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Repository } from '@statestore/checkpoint';
import { coverageOf, listArchive, openRepository, readSegment } from '@statestore/checkpoint';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ArchivedNode, hashesOf, keysOf, restoredNode } from './embedded-archive-fixture.ts';

const child = join(import.meta.dirname, 'embedded-archive-child.ts');
const rounds = 3;
let directory = '';
let repository: Repository;
const openPlace = (): Promise<Repository> =>
  openRepository({ type: 'folder', path: join(directory, 'repository'), concurrency: 4 });

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'statestore-embedded-archive-'));
  repository = await openPlace();
});
afterEach(async () => {
  await repository.close();
  await rm(directory, { recursive: true, force: true });
});

/** Once so many writes were acknowledged, whenever that is. */
async function runAndKill(engine: string, writes: number): Promise<void> {
  const running = spawn(process.execPath, [child, directory, engine], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(running, 'exit');
  let acknowledged = 0;
  running.stdout.on('data', (lines: Buffer) => {
    acknowledged += lines.toString().split('\n').length - 1;
    if (acknowledged >= writes) running.kill('SIGKILL');
  });
  expect(await exited).toEqual([null, 'SIGKILL']);
}

test.each(['lmdb', 'memory'] as const)('killed again and again, with %s', { timeout: 120_000 }, async (engine) => {
  const { signal } = new AbortController();
  const options = { dataPath: join(directory, 'data'), engine, snapshotLogBytes: 512 * 1024 } as const;
  const first = await ArchivedNode.open({ ...options, repository: await openPlace() });
  await first.fill(0, 20);
  await first.archived();
  await first.checkpoint();
  await first.close();
  for (let round = 0; round < rounds; round++) {
    await runAndKill(engine, 500 + round * 337);
    const { logs, damaged } = await listArchive({ repository });
    expect([damaged, logs.length]).toEqual([[], 2]);
    for (const { segments } of logs) {
      const { spans } = coverageOf(segments);
      expect([spans.length, spans[0]?.first]).toEqual([1, 1n]);
    }
  }
  const last = await ArchivedNode.open({ ...options, repository: await openPlace() });
  try {
    await last.fill(20, 40);
    await last.archived();
    expect(last.notices).toEqual([]);
    for (const partition of [0, 1]) {
      expect(await last.metric('state_archive_gap_positions', partition)).toBe(0);
      // It was trimmed, or nothing of this was tried.
      const { source } = last.embedded.archiveSources[partition]!;
      await vi.waitFor(async () => expect((await source.bounds()).first).toBeGreaterThan(1n), 20_000);
    }
    for (const { segments } of (await listArchive({ repository })).logs)
      for (const each of segments) expect(await readSegment(repository, each, { signal })).not.toBeTypeOf('string');
    const restored = await restoredNode({ dataPath: join(directory, 'restored'), source: repository });
    try {
      expect(await hashesOf(restored)).toEqual(await hashesOf(last.embedded));
      expect(await keysOf(restored)).toEqual(await keysOf(last.embedded));
    } finally {
      await restored.close();
    }
  } finally {
    await last.close();
  }
});
