// Two processes apply retention and clear up without pause, while a third makes one checkpoint after the other: what is
// listed is whole at any time, and in the end nothing else is left. Simulated with freezes and lost answers:
// services/checkpoint/src/deleting.simulation.test.ts.
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Repository } from '@statestore/checkpoint';
import { collectGarbage, listCheckpoints, openRepository, verifyCheckpoint } from '@statestore/checkpoint';
import type { CheckpointRun } from '@statestore/cluster';
import { MemoryCheckpointRuns, newRunId, requestCheckpoint } from '@statestore/cluster';
import { defaultTtl, noCondition } from '@statestore/core';
import type { EmbeddedNode } from '@statestore/node';
import { openCheckpoints, openEmbeddedNode, openScratchEngine, ownReplicas } from '@statestore/node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ClearingReport } from './checkpoint/stages.ts';
import { cluster, paces } from './checkpoint/stages.ts';

const child = fileURLToPath(new URL('checkpoint/clearing-child.ts', import.meta.url));
const partitions = 2;
const entries = 600;
/** Longer than a checkpoint takes here, and short enough for many to go. */
const graceMs = 1500;
const forMs = 9000;

let folder: string;
let path: string;
let repository: Repository;
let node: EmbeddedNode;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-clearing-'));
  path = join(folder, 'repository');
  repository = await openRepository({ type: 'folder', path, concurrency: 4 });
  const dataPath = join(folder, 'data');
  const onHalted = (reason: Error): never => {
    throw reason;
  };
  node = await openEmbeddedNode({ dataPath, partitions, engine: 'memory', version: '0', onHalted });
});
afterEach(async () => {
  await node.close();
  await repository.close();
  await rm(folder, { recursive: true, force: true });
});

interface Clearing {
  stop(): Promise<ClearingReport>;
}

async function clearing(): Promise<Clearing> {
  const started = spawn(process.execPath, [child, path, String(graceMs), '2'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  started.stdout.on('data', (chunk) => (out += String(chunk)));
  const ended = new Promise<number | null>((resolve) => started.on('close', resolve));
  await expect.poll(() => out, { timeout: 30_000 }).toContain('ready');
  const stop = async (): Promise<ClearingReport> => {
    started.kill('SIGTERM');
    expect(await ended).toBe(0);
    return JSON.parse(out.trim().split('\n').at(-1)!) as ClearingReport;
  };
  return { stop };
}

/** A tenth of the keys, so that the rest is taken from the checkpoint before. */
async function change(round: number): Promise<void> {
  for (let partition = 0; partition < partitions; partition++) {
    const operations = Array.from({ length: round === 0 ? entries : entries / 10 }, (_, i) => ({
      kind: 'put' as const,
      key: `k${(round * 61 + i) % entries}`,
      value: Buffer.from(`${round} ${Math.random()} `.repeat(100)),
      contentType: '',
      condition: noCondition,
      ttl: defaultTtl,
    }));
    await node.node.propose(partition, {
      body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations },
    });
  }
}

const idsListed = async (): Promise<string[]> => (await listCheckpoints({ repository, cluster })).map(({ id }) => id);

/** One that was deleted meanwhile may go while it is read. */
async function expectWhole(id: string): Promise<void> {
  const verified = await verifyCheckpoint({ repository, cluster, id });
  if (verified.state === 'good' || !(await idsListed()).includes(id)) return;
  expect(verified).toMatchObject({ state: 'good', findings: [] });
}

test('two that clear up at once harm nothing that a third one makes', async () => {
  const runs = new MemoryCheckpointRuns();
  const checkpoints = await openCheckpoints({
    ...paces,
    pollMs: 10,
    cluster,
    name: 'writer',
    version: '0',
    node: node.node,
    repository: await openRepository({ type: 'folder', path, concurrency: 4 }),
    runs,
    replicas: ownReplicas('writer', node.topology, node.node),
    settings: { schedule: { minIntervalMs: 0, suspend: false }, level: 1, deadlineMs: 60_000 },
  });
  const clearers = await Promise.all([clearing(), clearing()]);
  const completed: CheckpointRun[] = [];
  try {
    const endMs = performance.now() + forMs;
    for (let round = 0; performance.now() < endMs || completed.length < 6; round++) {
      await change(round);
      const beganMs = performance.now();
      const nowMs = Date.now();
      const request = { id: newRunId(nowMs), trigger: 'manual', requestedBy: 'test', nowMs } as const;
      expect((await requestCheckpoint(runs, request)).outcome).toBe('requested');
      const state = async () => (await runs.run())!.document.state;
      await expect.poll(state, { timeout: 30_000, interval: 5 }).toMatch(/completed|failed/);
      const { document } = (await runs.run())!;
      // What a slow machine takes longer than that for may go while it is made; then it must not be listed.
      const isLate = performance.now() - beganMs > graceMs / 2;
      if (document.state === 'failed' && isLate) expect(await idsListed()).not.toContain(document.checkpoint);
      else completed.push(document);
      for (const id of await idsListed()) await expectWhole(id);
    }
  } finally {
    await checkpoints.close();
  }
  const reports = await Promise.all(clearers.map((clearer) => clearer.stop()));
  for (const { state, error } of completed) expect([state, error?.message]).toEqual(['completed', undefined]);
  // Both did something, and hindered each other in nothing that lasts.
  for (const { rounds, blocks, blocked } of reports) {
    expect([rounds > 5, blocks > 0]).toEqual([true, true]);
    expect(blocked.length).toBeLessThan(rounds);
  }
  await sleep(graceMs + 100);
  expect((await collectGarbage({ repository, graceMs })).outcome).toBe('collected');
  const listed = await idsListed();
  expect(listed).toEqual([completed.at(-1)!.checkpoint, completed.at(-2)!.checkpoint]);
  let needed = 0;
  for (const id of listed) {
    const drill = (partition: number) => openScratchEngine(join(folder, 'scratch', id, String(partition)));
    const verified = await verifyCheckpoint({ repository, cluster, id, drill });
    expect(verified).toMatchObject({ state: 'good', findings: [] });
    expect(verified.restored.map((each) => each.entries)).toEqual([entries, entries]);
    needed += verified.blocks;
  }
  const blocks = (await readdir(join(path, 'blocks'), { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  );
  expect(blocks.length).toBeLessThanOrEqual(needed);
  expect(await readdir(join(path, 'started')).catch(() => [])).toEqual([]);
});
