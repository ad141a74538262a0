// Which moments a repository says that can be restored, and which can: those, and no others. And what verifying says of an
// archive with gaps, damage, another history, and segments that overlap.
import { randomBytes } from 'node:crypto';
import { MemoryRepository, restorableMoments, segmentName, storeSegment, verifyArchive } from '@statestore/checkpoint';
import type { BatchRecord } from '@statestore/core';
import { hashToHex } from '@statestore/core';
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { beforeEach, describe, expect, test } from 'vitest';
import { materialise } from '../../services/node/src/checkpoint/materialise.ts';
import { planRestore } from '../../services/node/src/checkpoint/restore-plan.ts';
import { archive, checkpointAt, cluster, logOfPuts, newLog, replicaAt, scratchOf } from '../sim/archived-history.ts';

const second = 1_000_000_000n;
const start = 1_700_000_000n * second;
/** Batch n is stored n seconds after the start. */
const at = (position: bigint): bigint => start + position * second;
const records: readonly BatchRecord[] = logOfPuts(40).map((record) => ({
  ...record,
  timestampNanos: at(record.position),
}));
const { signal } = new AbortController();
const log = newLog();
let repository: MemoryRepository;
beforeEach(() => {
  repository = new MemoryRepository();
});

/** How many batches the state has that is restored to that time. */
async function restoredTo(nanos: bigint): Promise<number> {
  const plan = await planRestore({ repository, cluster, moment: { kind: 'time', nanos }, signal });
  const { manifest } = await materialise({
    plan,
    source: repository,
    into: new MemoryRepository(),
    cluster: 'other',
    openScratch: scratchOf('memory'),
    conductor: 'n',
    version: '1',
    random: (bytes) => randomBytes(bytes),
    signal,
  });
  return Number(manifest.partitions[0]!.position);
}

describe('the moments that can be restored', () => {
  test('are those of the ranges that are told, to the nanosecond', async () => {
    await checkpointAt(repository, replicaAt(records, 5n), log);
    await archive(repository, log, records, 4n, 12n);
    await archive(repository, log, records, 15n, 22n);
    await checkpointAt(repository, replicaAt(records, 25n), log);
    await archive(repository, log, records, 26n, 33n);
    await checkpointAt(repository, replicaAt(records, 30n), log);
    await archive(repository, log, records, 31n, 40n);
    expect(await restorableMoments({ repository })).toEqual([
      { cluster, fromNanos: at(5n), throughNanos: at(12n) - 1n },
      { cluster, fromNanos: at(25n), throughNanos: at(40n) },
    ]);
    for (const [nanos, batches] of [
      [at(5n), 5],
      [at(6n) - 1n, 5],
      [at(6n), 6],
      [at(12n) - 1n, 11],
      [at(25n), 25],
      [at(31n), 31],
      [at(40n), 40],
      // Nothing is known of it, and so it is the newest.
      [at(99n), 40],
    ] as const)
      expect(await restoredTo(nanos)).toBe(batches);
    for (const nanos of [at(12n), at(14n), at(20n), at(25n) - 1n])
      await expect(restoredTo(nanos)).rejects.toMatchObject({
        code: 'data_corrupt',
        message: expect.stringContaining('13 to 14 are not archived') as string,
      });
    await expect(restoredTo(at(5n) - 1n)).rejects.toMatchObject({
      code: 'invalid_parameter',
      message: expect.stringContaining('is of a later time') as string,
    });
  });

  test('are those of checkpoints alone where nothing is archived', async () => {
    expect(await restorableMoments({ repository })).toEqual([]);
    const older = await checkpointAt(repository, replicaAt(records, 5n), log);
    await checkpointAt(repository, replicaAt(records, 9n), log);
    expect(await restorableMoments({ repository })).toEqual([
      { cluster, fromNanos: at(5n), throughNanos: at(5n) },
      { cluster, fromNanos: at(9n), throughNanos: at(9n) },
    ]);
    expect(await restorableMoments({ repository, checkpoint: older.id })).toHaveLength(1);
  });

  test('go on in a log that carries the first one on', async () => {
    const chain = hashToHex(replicaAt(records, 20n).state.chain);
    const next = newLog(2, { incarnation: log.incarnation, position: 20n, chain });
    await checkpointAt(repository, replicaAt(records, 5n), log);
    await archive(repository, log, records, 6n, 22n);
    await archive(repository, next, records, 21n, 35n);
    const whole = [{ cluster, fromNanos: at(5n), throughNanos: at(35n) }];
    expect(await restorableMoments({ repository })).toEqual(whole);
    expect(await restorableMoments({ repository, cluster })).toEqual(whole);
    expect(await restorableMoments({ repository, cluster: 'none' })).toEqual([]);
  });
});

describe('verifying the archive after a checkpoint', () => {
  let manifest: CheckpointManifest;
  beforeEach(async () => {
    manifest = await checkpointAt(repository, replicaAt(records, 5n), log);
  });
  const spoil = (first: bigint, last: bigint): Promise<void> =>
    repository.put(segmentName(log.incarnation, first, last), Buffer.from('?'));

  test('reads all of it', async () => {
    await archive(repository, log, records, 1n, 4n);
    await archive(repository, log, records, 4n, 12n);
    await archive(repository, log, records, 6n, 7n);
    await archive(repository, log, records, 11n, 30n);
    expect(await verifyArchive({ repository, manifest })).toMatchObject({
      partitions: [{ partition: 0, incarnation: log.incarnation, position: 30n, nanos: at(30n), batches: 25 }],
      gaps: [],
      findingsTotal: 0,
      // The first one is not after it.
      segments: 3,
    });
  });

  test('where there is none', async () => {
    expect(await verifyArchive({ repository, manifest })).toMatchObject({
      partitions: [{ position: 5n, nanos: at(5n), batches: 0 }],
      findingsTotal: 0,
      segments: 0,
    });
  });

  test('tells gaps by position and time', async () => {
    await archive(repository, log, records, 8n, 12n);
    await archive(repository, log, records, 15n, 22n);
    const { gaps, partitions, findingsTotal } = await verifyArchive({ repository, manifest });
    const { incarnation } = log;
    expect(gaps).toEqual([
      { partition: 0, incarnation, first: 6n, last: 7n, afterNanos: at(5n), untilNanos: at(8n) },
      { partition: 0, incarnation, first: 13n, last: 14n, afterNanos: at(12n), untilNanos: at(15n) },
    ]);
    expect(partitions).toMatchObject([{ position: 22n, batches: 13 }]);
    expect(findingsTotal).toBe(2);
  });

  test('names what is damaged, and says whether others have its batches', async () => {
    await archive(repository, log, records, 6n, 9n);
    await archive(repository, log, records, 10n, 15n);
    await archive(repository, log, records, 14n, 20n);
    await archive(repository, log, records, 16n, 17n);
    await archive(repository, log, records, 21n, 25n);
    await spoil(16n, 17n);
    const covered = await verifyArchive({ repository, manifest });
    expect(covered).toMatchObject({ gaps: [], findingsTotal: 1, segments: 4, partitions: [{ position: 25n }] });
    expect(covered.findings[0]!.object).toBe(segmentName(log.incarnation, 16n, 17n));
    await spoil(10n, 15n);
    const missing = await verifyArchive({ repository, manifest });
    expect(missing.gaps).toMatchObject([{ first: 10n, last: 13n, afterNanos: at(9n), untilNanos: at(14n) }]);
    expect(missing.findings.map(({ object }) => object)).toContain(segmentName(log.incarnation, 10n, 15n));
    expect(missing.partitions).toMatchObject([{ position: 25n }]);
    await spoil(21n, 25n);
    expect((await verifyArchive({ repository, manifest })).gaps).toMatchObject([
      { first: 10n, last: 13n },
      { first: 21n, last: 25n, afterNanos: at(20n), untilNanos: undefined },
    ]);
  });

  test('finds batches of another history, needed or not', async () => {
    await archive(repository, log, records, 6n, 15n);
    const other = records.map((record) => (record.position === 8n ? { ...record, bytes: records[0]!.bytes } : record));
    const chainAt = (position: bigint): string => {
      const replica = replicaAt(other, position);
      return hashToHex(replica.state.chain);
    };
    const batches = other.filter(({ position }) => position >= 7n && position <= 10n);
    await storeSegment(repository, { ...log, batches, chainBefore: chainAt(6n), chain: chainAt(10n) }, signal);
    const beside = await verifyArchive({ repository, manifest });
    expect(beside).toMatchObject({ gaps: [], findingsTotal: 1 });
    expect(beside.findings[0]).toMatchObject({ object: segmentName(log.incarnation, 7n, 10n) });
    await repository.remove([segmentName(log.incarnation, 6n, 15n)]);
    await archive(repository, log, records, 6n, 6n);
    await archive(repository, log, records, 11n, 15n);
    const between = await verifyArchive({ repository, manifest });
    // Which one of them is wrong, nobody can say: the second one does not follow the first.
    expect(between.findings.map(({ object }) => object)).toEqual([segmentName(log.incarnation, 11n, 15n)]);
    expect(between.gaps).toEqual([]);
    expect(between.partitions).toMatchObject([{ position: 15n }]);
  });
});
