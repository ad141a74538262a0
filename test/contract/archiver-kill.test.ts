// An archiver that is killed at any moment leaves segments that are whole, or none; the next one goes on from them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Repository } from '@statestore/checkpoint';
import { archivePrefix, coverageOf, listArchive, openRepository, readSegment } from '@statestore/checkpoint';
import { afterAll, beforeAll, expect, test } from 'vitest';

const child = join(import.meta.dirname, 'archiver-child.ts');
const rounds = 12;
let directory = '';
let repository: Repository;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'statestore-archiver-kill-'));
  repository = await openRepository({ type: 'folder', path: join(directory, 'repository'), concurrency: 4 });
});
afterAll(async () => {
  await repository.close();
  await rm(directory, { recursive: true, force: true });
});

/** Resolves with the last acknowledged position when it was killed. */
async function runAndKill(afterMs: number): Promise<bigint> {
  const running = spawn(process.execPath, [child, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(running, 'exit');
  let text = '';
  running.stdout.on('data', (data: Buffer) => (text += data.toString()));
  await once(running.stdout, 'data');
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  running.kill('SIGKILL');
  const [code, signalName] = (await exited) as [number | null, string | null];
  expect([code, signalName]).toEqual([null, 'SIGKILL']);
  return BigInt(text.split('\n').findLast((line) => /^\d+$/.test(line)) ?? 0);
}

test('killed again and again', { timeout: 120_000 }, async () => {
  const { signal } = new AbortController();
  let archivedBefore = 0n;
  for (let round = 0; round < rounds; round++) {
    const acknowledged = await runAndKill(20 + ((round * 37) % 160));
    const { logs, damaged } = await listArchive({ repository });
    expect(damaged).toEqual([]);
    if (logs.length === 0) continue;
    expect(logs).toHaveLength(1);
    const { segments } = logs[0]!;
    for (const segment of segments)
      expect(await readSegment(repository, segment, { signal })).toMatchObject({ partition: 0 });
    const { spans } = coverageOf(segments);
    if (spans.length === 0) continue;
    // Without holes from the beginning on, and never less than before; not more than the log can have.
    expect(spans).toHaveLength(1);
    expect(spans[0]!.first).toBe(1n);
    expect(spans[0]!.last).toBeGreaterThanOrEqual(archivedBefore);
    expect(spans[0]!.last).toBeLessThanOrEqual(acknowledged + 64n);
    archivedBefore = spans[0]!.last;
  }
  expect(archivedBefore).toBeGreaterThan(10n);
  const names: string[] = [];
  for await (const { name } of repository.list(archivePrefix)) names.push(name);
  expect(names.every((name) => /\/(log|\d{20}-\d{20})$/.test(name))).toBe(true);
});
