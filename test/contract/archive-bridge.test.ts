// A replica whose log was trimmed above every checkpoint comes back from one of them and the archive, also across logs that
// carry each other on; and from none where the archive lacks something, too, which is named.
import { MemoryRepository, segmentName } from '@statestore/checkpoint';
import { hashToHex, loadState } from '@statestore/core';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  findCheckpoint,
  restoreReplica,
  type RestoreReplicaOptions,
} from '../../services/node/src/checkpoint/restore-replica.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { archive, checkpointAt, cluster, contentOf, logOfPuts, newLog, replicaAt } from '../sim/archived-history.ts';

const records = logOfPuts(30);
const chainAt = (position: bigint): string => hashToHex(replicaAt(records, position).state.chain);

describe('a replica whose log was trimmed', () => {
  let repository: MemoryRepository;
  let engine: MemoryEngine;
  const log = newLog();
  const bounds = { first: 21n, last: 30n };
  beforeEach(() => {
    repository = new MemoryRepository();
    engine = new MemoryEngine();
  });

  const restore = (more: Partial<RestoreReplicaOptions> = {}): ReturnType<typeof restoreReplica> =>
    restoreReplica({
      repository,
      cluster,
      partition: 0,
      log,
      bounds,
      target: engine,
      engine,
      archive: true,
      signal: new AbortController().signal,
      ...more,
    });

  function expectAt(position: bigint): void {
    const { state, records: expected } = replicaAt(records, position);
    expect(contentOf(engine)).toEqual(contentOf(expected));
    expect(loadState(engine)).toEqual(state);
  }

  test('above the checkpoint has what is missing from the archive', async () => {
    const { id } = await checkpointAt(repository, replicaAt(records, 10n), log);
    await archive(repository, log, records, 8n, 15n);
    await archive(repository, log, records, 14n, 26n);
    expect(await restore({ archive: false })).toMatchObject({ kind: 'none' });
    const { signal } = new AbortController();
    const question = { repository, cluster, partition: 0, log, bounds, archive: true, signal };
    expect(await findCheckpoint(question)).toMatchObject({ kind: 'found', checkpoint: id });
    // Just so far as it can follow the log.
    expect(await restore()).toMatchObject({
      kind: 'restored',
      checkpoint: id,
      incarnation: log.incarnation,
      state: { position: 20n, chain: chainAt(20n), entries: 20 },
    });
    expectAt(20n);
  });

  test('takes a checkpoint that leads to the log by itself, if there is one', async () => {
    const direct = await checkpointAt(repository, replicaAt(records, 22n), log);
    await archive(repository, log, records, 1n, 30n);
    await checkpointAt(repository, replicaAt(records, 10n), log);
    expect(await restore()).toMatchObject({ kind: 'restored', checkpoint: direct.id, state: { position: 22n } });
  });

  test.each([
    ['in the midst', [11n, 14n], [17n, 20n], '15 to 16'],
    ['at the checkpoint', [13n, 16n], [17n, 20n], '11 to 12'],
    ['before the log', [11n, 14n], [15n, 18n], '19 to 20'],
  ] as const)('is not restored where the archive has a gap %s', async (_, one, other, missing) => {
    await checkpointAt(repository, replicaAt(records, 10n), log);
    await archive(repository, log, records, one[0], one[1]);
    await archive(repository, log, records, other[0], other[1]);
    expect(await restore()).toMatchObject({
      kind: 'none',
      why: expect.stringContaining(`batches ${missing} of log ${log.incarnation} are missing`) as string,
    });
    expect(engine.position).toBe(0n);
  });

  test('nor where a segment is damaged: the next older checkpoint is tried, and it is told', async () => {
    const damaged: string[] = [];
    await checkpointAt(repository, replicaAt(records, 5n), log);
    const newer = await checkpointAt(repository, replicaAt(records, 10n), log);
    await archive(repository, log, records, 6n, 14n);
    await archive(repository, log, records, 15n, 20n);
    const name = segmentName(log.incarnation, 15n, 20n);
    await repository.put(name, Buffer.from('?'));
    const outcome = await restore({ onDamaged: (id) => damaged.push(id) });
    expect(outcome).toMatchObject({ kind: 'none', why: expect.stringContaining(name) as string });
    expect(damaged).toContain(newer.id);
    expect(damaged).toHaveLength(2);
    // Another one has its batches.
    await archive(repository, log, records, 12n, 22n);
    expect(await restore()).toMatchObject({ kind: 'restored', checkpoint: newer.id });
    expectAt(20n);
  });

  test('or begun anew, is restored across the log before', async () => {
    const next = newLog(2, { incarnation: log.incarnation, position: 18n, chain: chainAt(18n) });
    const { id } = await checkpointAt(repository, replicaAt(records, 10n), log);
    // The log before had more, which was lost.
    const lost = records.map((record) => (record.position > 18n ? { ...record, bytes: records[0]!.bytes } : record));
    await archive(repository, log, lost, 9n, 19n);
    const fresh = { log: next, bounds: { first: 19n, last: 30n } };
    expect(await restore(fresh)).toMatchObject({
      kind: 'restored',
      checkpoint: id,
      incarnation: log.incarnation,
      state: { position: 18n },
    });
    expectAt(18n);
    const trimmed = { log: next, bounds: { first: 25n, last: 30n } };
    expect(await restore(trimmed)).toMatchObject({
      kind: 'none',
      why: expect.stringContaining(`19 to 24 of log ${next.incarnation} are missing`) as string,
    });
    await archive(repository, next, records, 19n, 26n);
    expect(await restore(trimmed)).toMatchObject({ kind: 'restored', checkpoint: id, incarnation: next.incarnation });
    expectAt(24n);
    const other = newLog();
    expect(await restore({ log: other, bounds: fresh.bounds })).toMatchObject({ kind: 'none' });
  });

  test('is not restored where more is left to replay than is wanted', async () => {
    await checkpointAt(repository, replicaAt(records, 10n), log);
    await archive(repository, log, records, 11n, 20n);
    expect(await restore({ replayMax: 19n })).toMatchObject({
      kind: 'none',
      why: expect.stringContaining('20 batches would be left') as string,
    });
    expect(await restore({ replayMax: 20n })).toMatchObject({ kind: 'restored' });
  });
});
