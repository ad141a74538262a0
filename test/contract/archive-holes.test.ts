// Where an archiver goes on when the one before it left nothing to go on from: from checkpoints, so that everything that
// the log still has is archived, and what it has not is told and does not hide what can be had.
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import type { ArchivedLog, ListedSegment, Repository } from '@statestore/checkpoint';
import {
  archivedThrough,
  CheckpointPoints,
  collectArchive,
  listSegments,
  MemoryRepository,
  segmentName,
} from '@statestore/checkpoint';
import type { BatchRecord } from '@statestore/core';
import { hashToHex } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { type Beginning, beginArchiving } from '../../services/node/src/checkpoint/archive-beginning.ts';
import { prepareRestore } from '../../services/node/src/checkpoint/restore-cluster.ts';
import type { RestoreMoment } from '../../services/node/src/checkpoint/restore-plan.ts';
import { archive, checkpointAt, cluster, newLog, replicaAt } from '../sim/archived-history.ts';
import { logOf } from '../sim/replica.ts';
import { withCreate } from './repository-with-create.ts';

const { signal } = new AbortController();
const startedNanos = 1_700_000_000_000_000_000n;
const records: readonly BatchRecord[] = logOf(
  Array.from({ length: 80 }, () => ({ elapsedMs: 1, commands: [{ body: { kind: 'barrier' } }] })),
).map((record, at) => ({ ...record, timestampNanos: startedNanos + BigInt(at) * 1_000_000_000n }));
const chainAt = (position: bigint): string => hashToHex(replicaAt(records, position).state.chain);
const nowhere = (): undefined => undefined;

function withGet(repository: Repository, get: Repository['get']): Repository {
  return { ...withCreate(repository, (...call) => repository.create(...call)), get };
}

async function begin(
  repository: Repository,
  log: ArchivedLog,
  [first, last]: readonly [bigint, bigint],
  replica?: bigint,
): Promise<Beginning> {
  const segments = await listSegments(repository, log.incarnation);
  const point = replica === undefined ? nowhere : () => ({ position: replica, chain: chainAt(replica) });
  return beginArchiving({ repository, log, segments, bounds: { first, last }, point, signal });
}

async function remove(repository: Repository, segments: readonly ListedSegment[]): Promise<void> {
  await repository.remove(segments.map(({ incarnation, first, last }) => segmentName(incarnation, first, last)));
}

const restored = (source: Repository, moment: RestoreMoment): ReturnType<typeof prepareRestore> =>
  prepareRestore({
    source,
    into: new MemoryRepository(),
    sourceCluster: cluster,
    cluster: 'other',
    moment,
    partitions: undefined,
    scratchPath: tmpdir(),
    conductor: 'n',
    version: '1',
    random: (bytes) => randomBytes(bytes),
    signal,
  });

/** 1 to 40 are in two checkpoints, and nothing is archived any more. */
async function quiet(): Promise<{ readonly repository: Repository; readonly log: ArchivedLog }> {
  const repository = new MemoryRepository();
  const log = newLog();
  await archive(repository, log, records, 1n, 40n);
  for (const at of [40n, 40n]) await checkpointAt(repository, replicaAt(records, at), log);
  await remove(repository, await listSegments(repository, log.incarnation));
  return { repository, log };
}

describe('without segments an archive goes on', () => {
  test('from the checkpoint that needs it, where the log goes on from there', async () => {
    const { repository, log } = await quiet();
    const begun = { after: 40n, chain: chainAt(40n), until: undefined, gaps: [] };
    expect(await begin(repository, log, [35n, 60n], 60n)).toMatchObject(begun);
    // Also where the log has all of it: nothing leads to what came before.
    expect(await begin(repository, log, [1n, 40n])).toMatchObject(begun);
    // And where no replica runs here.
    expect(await begin(repository, log, [41n, 60n])).toMatchObject(begun);
  });

  test('from the oldest checkpoint that the log still leads on from; what it does not is a gap', async () => {
    const { repository, log } = await quiet();
    for (const at of [50n, 55n]) await checkpointAt(repository, replicaAt(records, at), log);
    expect(await begin(repository, log, [46n, 60n], 60n)).toMatchObject({
      after: 50n,
      chain: chainAt(50n),
      gaps: [{ first: 41n, last: 50n }],
    });
  });

  test('from where the log began, while a checkpoint of the one before leads through that, or there is none', async () => {
    const repository = new MemoryRepository();
    const first = newLog();
    await archive(repository, first, records, 1n, 20n);
    const second = newLog(2, { incarnation: first.incarnation, position: 20n, chain: chainAt(20n) });
    expect(await begin(repository, second, [21n, 60n])).toMatchObject({ after: 20n, chain: chainAt(20n), gaps: [] });
    await checkpointAt(repository, replicaAt(records, 15n), first);
    await checkpointAt(repository, replicaAt(records, 50n), second);
    expect(await begin(repository, second, [21n, 60n])).toMatchObject({ after: 20n, gaps: [] });
    const third = newLog(3, { incarnation: first.incarnation, position: 10n, chain: chainAt(10n) });
    await checkpointAt(repository, replicaAt(records, 30n), third);
    // It left the first one before that checkpoint.
    expect(await begin(repository, third, [11n, 60n])).toMatchObject({ after: 30n, gaps: [] });
  });

  test('where segments were archived behind a hole: what of it the log still has is filled in', async () => {
    const { repository, log } = await quiet();
    await archive(repository, log, records, 51n, 60n);
    expect(await begin(repository, log, [35n, 60n])).toMatchObject({ after: 40n, until: 51n, gaps: [] });
    await archive(repository, log, records, 41n, 50n);
    expect(await begin(repository, log, [35n, 60n])).toMatchObject({ after: 60n, until: undefined, gaps: [] });
  });

  test('not, while the log ends before a checkpoint', async () => {
    const { repository, log } = await quiet();
    await expect(begin(repository, log, [1n, 30n], 30n)).rejects.toMatchObject({ code: 'unavailable' });
  });
});

test('several archivers read each checkpoint once, and one that is closed meanwhile does not hurt the others', async () => {
  const { repository, log } = await quiet();
  const reads: string[] = [];
  const one = new AbortController();
  const counting = withGet(repository, (name, call) => {
    reads.push(name);
    if (reads.length === 1) one.abort(new Error('closed'));
    call?.signal?.throwIfAborted();
    return repository.get(name, call);
  });
  const points = new CheckpointPoints(counting);
  const first = points.of(log, one.signal);
  const others = [points.of(log, signal), points.of(log, signal)];
  await expect(first).rejects.toThrow('closed');
  for (const each of await Promise.all(others)) expect(each).toMatchObject({ neededAfter: 40n });
  reads.length = 0;
  expect((await points.of(log, signal)).own.map(({ position }) => position)).toEqual([40n, 40n]);
  expect(reads).toEqual([]);
});

test('a burst, then quiet: what was archived stays archived, and nothing is archived again', async () => {
  const repository = new MemoryRepository();
  const log = newLog();
  for (let from = 1n; from < 40n; from += 10n) await archive(repository, log, records, from, from + 9n);
  for (const at of [40n, 40n]) await checkpointAt(repository, replicaAt(records, at), log);
  await collectArchive(repository);
  const segments = await listSegments(repository, log.incarnation);
  expect(segments).toMatchObject([{ first: 31n, last: 40n }]);
  expect(archivedThrough(segments, 1n)).toBe(40n);
  expect(await begin(repository, log, [1n, 40n])).toMatchObject({ after: 40n, gaps: [] });
});

describe('a hole in the archive', () => {
  /** 41 to 60 were trimmed before they were archived. */
  async function hole(): Promise<{ readonly repository: Repository; readonly log: ArchivedLog }> {
    const { repository, log } = await quiet();
    const begun = await begin(repository, log, [45n, 60n], 60n);
    expect(begun).toMatchObject({ after: 60n, gaps: [{ first: 41n, last: 60n }] });
    await archive(repository, log, records, 61n, 80n);
    return { repository, log };
  }

  test('is told again by the next archiver, while a checkpoint leads to it', async () => {
    const { repository, log } = await quiet();
    await archive(repository, log, records, 41n, 50n);
    await archive(repository, log, records, 61n, 80n);
    expect(await begin(repository, log, [65n, 80n])).toMatchObject({ after: 80n, gaps: [{ first: 51n, last: 60n }] });
    await remove(repository, [{ incarnation: log.incarnation, first: 41n, last: 50n, sizeBytes: 0 }]);
    expect(await begin(repository, log, [55n, 80n])).toMatchObject({ after: 80n, gaps: [{ first: 41n, last: 60n }] });
  });

  test('stops a restore of the newest state before it, which says so; one to a time beyond it is refused', async () => {
    const { repository } = await hole();
    const newest = await restored(repository, { kind: 'newest' });
    expect(newest.reached).toMatchObject([
      { position: 40n, warning: expect.stringMatching(/batches 41 to 60 .* are not archived.* 80/) as string },
    ]);
    const beyond = restored(repository, { kind: 'time', nanos: records[69]!.timestampNanos });
    await expect(beyond).rejects.toThrow(/41 to 60 are not archived/);
  });

  test('is passed over by a checkpoint that is made after it', async () => {
    const { repository, log } = await hole();
    await checkpointAt(repository, replicaAt(records, 70n), log);
    expect((await restored(repository, { kind: 'newest' })).reached).toMatchObject([
      { position: 80n, warning: undefined },
    ]);
  });

  test('in the middle: what is archived before it is had', async () => {
    const { repository, log } = await hole();
    await archive(repository, log, records, 41n, 50n);
    expect((await restored(repository, { kind: 'newest' })).reached).toMatchObject([
      { position: 50n, warning: expect.stringMatching(/batches 51 to 60/) as string },
    ]);
  });
});
