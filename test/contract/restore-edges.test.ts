// The edges of a restore to a moment: clocks that step back, several batches of one time, what had expired since, batches of
// several commands, one time for several partitions, positions of partitions that are not there.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MemoryRepository, openRepository, restorePartition } from '@statestore/checkpoint';
import type { BatchRecord, Command } from '@statestore/core';
import { loadState, readEntry } from '@statestore/core';
import { beforeEach, describe, expect, test } from 'vitest';
import { materialise } from '../../services/node/src/checkpoint/materialise.ts';
import { planRestore, type RestoreMoment } from '../../services/node/src/checkpoint/restore-plan.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { archive, checkpointAt, cluster, contentOf, newLog, replicaAt, scratchOf } from '../sim/archived-history.ts';
import { startMs } from '../sim/arbitrary-commands.ts';
import { logOf } from '../sim/replica.ts';
import { ArchivedNode, keysOf, putOf, restoredNode } from './embedded-archive-fixture.ts';

const { signal } = new AbortController();
const start = BigInt(startMs) * 1_000_000n;
const ms = (n: number): bigint => start + BigInt(n) * 1_000_000n;
let repository: MemoryRepository;
beforeEach(() => {
  repository = new MemoryRepository();
});

async function restored(moment: RestoreMoment): Promise<MemoryEngine> {
  const into = new MemoryRepository();
  const plan = await planRestore({ repository, cluster, moment, signal });
  await materialise({
    plan,
    source: repository,
    into,
    cluster: 'other',
    openScratch: scratchOf('memory'),
    conductor: 'n',
    version: '1',
    random: (bytes) => randomBytes(bytes),
    signal,
  });
  const again = await planRestore({ repository: into, moment: { kind: 'checkpoint', id: undefined }, signal });
  const target = new MemoryEngine();
  await restorePartition({ repository: into, manifest: again.partitions[0]!.manifest, target, signal });
  return target;
}

const toTime = (nanos: bigint): Promise<MemoryEngine> => restored({ kind: 'time', nanos });
/** One batch after the other: how long after the one before, and what is in it. */
const batches = (...steps: readonly (readonly [number, ...(readonly Command[])])[]): BatchRecord[] =>
  logOf(steps.map(([elapsedMs, ...commands]) => ({ elapsedMs, commands })));
const put = (key: string, ttlMs?: number): Command => putOf(key, 'v', ttlMs);

describe('a time', () => {
  // Batches of 100, 200, 150, 150, 200, 200, 180, 300 ms.
  const records = batches(
    [100, put('a')],
    [100, put('b')],
    [-50, put('c')],
    [0, put('d')],
    [50, put('e')],
    [0, put('f')],
    [-20, put('g')],
    [120, put('h')],
  );

  test('of a clock that stepped back is that of the greatest time so far, whichever checkpoint it begins from', async () => {
    const log = newLog();
    await archive(repository, log, records, 1n, 8n);
    await checkpointAt(repository, replicaAt(records, 0n), log);
    for (const from of [undefined, 1n, 2n, 3n, 4n, 6n, 7n]) {
      if (from !== undefined) await checkpointAt(repository, replicaAt(records, from), log);
      for (const [at, position] of [
        [100, 1n],
        [149, 1n],
        // Before the step back nothing of it was stored; the batch of 200 is later.
        [150, 1n],
        [199, 1n],
        [200, 7n],
        [299, 7n],
        [300, 8n],
      ] as const) {
        const engine = await toTime(ms(at));
        expect([from, at, engine.position]).toEqual([from, at, position]);
        expect(contentOf(engine)).toEqual(contentOf(replicaAt(records, position).records));
      }
    }
  });

  test('of several partitions is one time: of writes that were made one after the other, none is missing in between', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'statestore-moments-'));
    const open = () => openRepository({ type: 'folder', path: join(directory, 'repository'), concurrency: 4 });
    const node = await ArchivedNode.open({
      dataPath: join(directory, 'data'),
      repository: await open(),
      partitions: 4,
    });
    const source = await open();
    try {
      await node.fill(0, 8);
      await node.checkpoint();
      const moments: { readonly nanos: bigint; readonly least: number }[] = [];
      for (let i = 0; i < 60; i++) {
        await node.embedded.node.propose(i % 4, putOf(`w${i}`, ''));
        if (i % 13 !== 12) continue;
        await sleep(3);
        moments.push({ nanos: BigInt(Date.now()) * 1_000_000n, least: i });
        await sleep(3);
      }
      await node.archived();
      for (const [at, { nanos, least }] of moments.entries()) {
        const dataPath = join(directory, String(at));
        const then = await restoredNode({ dataPath, source, moment: { kind: 'time', nanos } });
        const written = (await keysOf(then)).filter((key) => key.startsWith('w')).length;
        await then.close();
        expect(written).toBe(least + 1);
      }
    } finally {
      await node.close();
      await source.close();
      await rm(directory, { recursive: true, force: true });
    }
  });
});

test('what had expired or was swept since is there as it was then, with its expiry', async () => {
  const sweep: Command = { body: { kind: 'sweep', limit: 100, changesKeptBytes: 1_000_000, countStore: '' } };
  const records = batches(
    [100, put('short', 1000), put('long')],
    [500, put('more')],
    [5000, sweep],
    [100, put('last')],
  );
  const log = newLog();
  await checkpointAt(repository, replicaAt(records, 0n), log);
  await archive(repository, log, records, 1n, 4n);
  // Also from a checkpoint of before its end.
  await checkpointAt(repository, replicaAt(records, 1n), log);
  const engine = await toTime(ms(600));
  const { state, records: expected } = replicaAt(records, 2n);
  expect(contentOf(engine)).toEqual(contentOf(expected));
  const then = loadState(engine);
  expect(then.entries).toBe(3);
  expect(readEntry(then, engine, 's', 'short', startMs + 600)).toMatchObject({ expiresAtMs: startMs + 1100 });
  expect(readEntry(then, engine, 's', 'short', startMs + 1100)).toBeUndefined();
  expect(loadState(await toTime(ms(5600))).entries).toBe(2);
  expect(then).toEqual(state);
});

test('a batch is there as a whole, or not at all', async () => {
  const many = Array.from({ length: 20 }, (_, i) => put(`many${i}`));
  const records = batches([100, put('a')], [100, ...many], [100, put('b')]);
  const log = newLog();
  await checkpointAt(repository, replicaAt(records, 0n), log);
  await archive(repository, log, records, 1n, 3n);
  for (const [at, entries] of [
    [199, 1],
    [200, 21],
    [201, 21],
  ] as const)
    expect(loadState(await toTime(ms(at))).entries).toBe(entries);
  const at = (position: bigint): RestoreMoment => ({ kind: 'position', positions: new Map([[0, position]]) });
  expect(loadState(await restored(at(1n))).entries).toBe(1);
  expect(loadState(await restored(at(2n))).entries).toBe(21);
});

test('positions name each partition of the checkpoint, and no other', async () => {
  const records = batches([100, put('a')], [100, put('b')]);
  const log = newLog();
  await checkpointAt(repository, replicaAt(records, 1n), log);
  await archive(repository, log, records, 2n, 2n);
  const to = (...positions: readonly (readonly [number, bigint])[]): Promise<unknown> =>
    restored({ kind: 'position', positions: new Map(positions) });
  await expect(to([0, 2n], [3, 7n])).rejects.toThrow(/no partition 3, of which a position was named/);
  await expect(to([3, 7n])).rejects.toThrow(/no partition 3/);
  await expect(to([0, 0n])).rejects.toThrow(/is at 1, after 0/);
  await expect(to([0, 3n])).rejects.toThrow(/after 2 are not archived; they are wanted up to 3/);
  await to([0, 2n]);
});
