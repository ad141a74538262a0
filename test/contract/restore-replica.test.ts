// A replica is restored from the newest checkpoint that leads to its log, and never from one that does not.
import { MemoryRepository, blocksPrefix } from '@statestore/checkpoint';
import type { PartitionLog } from '@statestore/core';
import { hashToHex, loadState } from '@statestore/core';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  findCheckpoint,
  restoreReplica,
  type RestoreReplicaOptions,
} from '../../services/node/src/checkpoint/restore-replica.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { checkpointAt, cluster, contentOf, newLog, replicaAt } from '../sim/archived-history.ts';
import { logOf } from '../sim/replica.ts';

const put = (n: number) => ({
  stamp: undefined,
  body: {
    kind: 'mutate' as const,
    store: 's',
    checks: [],
    operations: [
      {
        kind: 'put' as const,
        key: `k${n}`,
        condition: { kind: 'none' as const },
        value: Uint8Array.of(n),
        contentType: '',
        ttl: { kind: 'never' as const },
      },
    ],
  },
});
const records = logOf(Array.from({ length: 30 }, (_, n) => ({ elapsedMs: 1, commands: [put(n)] as never })));

describe('restoring a replica', () => {
  let repository: MemoryRepository;
  let target: MemoryEngine;
  const log = newLog();
  beforeEach(() => {
    repository = new MemoryRepository();
    target = new MemoryEngine();
  });

  const restore = (more: Partial<RestoreReplicaOptions> = {}): ReturnType<typeof restoreReplica> =>
    restoreReplica({
      repository,
      cluster,
      partition: 0,
      log,
      bounds: { first: 1n, last: 30n },
      target,
      signal: new AbortController().signal,
      ...more,
    });

  test('takes the newest one', async () => {
    await checkpointAt(repository, replicaAt(records, 10n), log);
    const newest = await checkpointAt(repository, replicaAt(records, 20n), log);
    expect(await restore()).toMatchObject({ kind: 'restored', checkpoint: newest.id, incarnation: log.incarnation });
    expect(contentOf(target)).toEqual(contentOf(replicaAt(records, 20n).records));
    expect(loadState(target).entries).toBe(20);
  });

  test('takes the next older one where the newest is damaged', async () => {
    const older = await checkpointAt(repository, replicaAt(records, 10n), log);
    const before = new Set(repository.objects.keys());
    await checkpointAt(repository, replicaAt(records, 20n), log);
    for (const [name, { bytes }] of repository.objects)
      if (name.startsWith(blocksPrefix) && !before.has(name))
        await repository.put(
          name,
          bytes.map((byte) => byte ^ 1),
        );
    expect(await restore()).toMatchObject({ kind: 'restored', checkpoint: older.id });
    expect(contentOf(target)).toEqual(contentOf(replicaAt(records, 10n).records));
  });

  test('takes none that the log does not follow, and says why', async () => {
    await checkpointAt(repository, replicaAt(records, 10n), log);
    expect(await restore({ bounds: { first: 12n, last: 30n } })).toMatchObject({
      kind: 'none',
      why: expect.stringContaining('at 10; log') as string,
    });
    expect(await restore({ bounds: { first: 1n, last: 9n } })).toMatchObject({ kind: 'none' });
    expect(await restore({ log: newLog() })).toMatchObject({ kind: 'none' });
    expect(await restore({ cluster: 'other' })).toMatchObject({ kind: 'none' });
    expect(target.position).toBe(0n);
    expect((await restore({ bounds: { first: 11n, last: 30n } })).kind).toBe('restored');
  });

  test('takes none that leaves more to replay than is wanted, or has other slots; and finds what it would take', async () => {
    const { id } = await checkpointAt(repository, replicaAt(records, 10n), log);
    const slots = [{ start: 0, end: 4096 }];
    expect(await restore({ replayMax: 19n })).toMatchObject({
      kind: 'none',
      why: expect.stringContaining('20 batches would be left') as string,
    });
    expect(await restore({ slots: [{ start: 0, end: 2048 }] })).toMatchObject({ kind: 'none' });
    const question = { repository, cluster, partition: 0, log, bounds: { first: 1n, last: 30n }, slots };
    const { signal } = new AbortController();
    expect(await findCheckpoint({ ...question, signal, replayMax: 20n })).toEqual({
      kind: 'found',
      checkpoint: id,
      position: 10n,
    });
    expect(target.position).toBe(0n);
    expect(await restore({ replayMax: 20n, slots })).toMatchObject({ kind: 'restored', checkpoint: id });
  });

  test('tells of those that are damaged, not of those that do not lead there', async () => {
    const damaged: string[] = [];
    const onDamaged = (id: string): void => void damaged.push(id);
    await checkpointAt(repository, replicaAt(records, 10n), log);
    const newest = await checkpointAt(repository, replicaAt(records, 20n), log);
    await checkpointAt(repository, replicaAt(records, 20n), newLog());
    await repository.remove([newest.partitions[0]!.manifest]);
    expect((await restore({ onDamaged })).kind).toBe('restored');
    expect(damaged).toEqual([newest.id]);
  });

  test('takes what a new cluster began with, of whichever cluster', async () => {
    const { id } = await checkpointAt(repository, replicaAt(records, 10n), log);
    const chain = hashToHex(replicaAt(records, 10n).state.chain);
    const carrying: PartitionLog = {
      generation: 1,
      incarnation: newLog().incarnation,
      continues: { incarnation: log.incarnation, position: 10n, chain },
    };
    const options = { cluster: 'new', log: carrying, bounds: { first: 11n, last: 10n } };
    expect(await restore(options)).toMatchObject({ kind: 'none' });
    expect(await restore({ ...options, restoredFrom: id })).toMatchObject({ kind: 'restored', checkpoint: id });
    const gone = { ...options, restoredFrom: newLog().incarnation };
    expect(await restore(gone)).toMatchObject({ kind: 'none', why: expect.stringContaining('it is none') as string });
  });
});
