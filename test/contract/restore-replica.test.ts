// A replica is restored from the newest checkpoint that leads to its log, and never from one that does not.
import { MemoryRepository, blocksPrefix } from '@statestore/checkpoint';
import type { PartitionLog } from '@statestore/core';
import { hashToHex, limits, loadState, StateStoreError } from '@statestore/core';
import { beforeEach, describe, expect, test } from 'vitest';
import { createTombstone } from '../../services/checkpoint/src/markers.ts';
import {
  findCheckpoint,
  restoreReplica,
  type RestoreReplicaOptions,
} from '../../services/node/src/checkpoint/restore-replica.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { checkpointAt, cluster, contentOf, logOfPuts, newLog, replicaAt } from '../sim/archived-history.ts';

const records = logOfPuts(30);

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
    expect(await restore({ reshaped: { slots: [{ start: 0, end: 2048 }] } })).toMatchObject({ kind: 'none' });
    const question = { repository, cluster, partition: 0, log, bounds: { first: 1n, last: 30n }, reshaped: { slots } };
    const { signal } = new AbortController();
    expect(await findCheckpoint({ ...question, signal, replayMax: 20n })).toEqual({
      kind: 'found',
      checkpoint: id,
      position: 10n,
    });
    expect(target.position).toBe(0n);
    expect(await restore({ replayMax: 20n, reshaped: { slots } })).toMatchObject({ kind: 'restored', checkpoint: id });
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

  describe('where something cannot be read', () => {
    const refused = new StateStoreError('unavailable', 'the disk is tired');
    const unreadable: string[] = [];
    const damaged: string[] = [];
    const told = {
      onUnreadable: (id: string): void => void unreadable.push(id),
      onDamaged: (id: string): void => void damaged.push(id),
    };
    beforeEach(() => {
      unreadable.length = 0;
      damaged.length = 0;
    });

    /** Two of them; and what was made with the newer one. */
    async function two(): Promise<{ older: string; newer: string; added: string[] }> {
      const older = await checkpointAt(repository, replicaAt(records, 10n), log);
      const before = new Set(repository.objects.keys());
      const newer = await checkpointAt(repository, replicaAt(records, 20n), log);
      const added = [...repository.objects.keys()].filter((name) => !before.has(name));
      return { older: older.id, newer: newer.id, added };
    }

    function refuse(names: readonly string[]): void {
      const get = repository.get.bind(repository);
      repository.get = (name, call) => (names.includes(name) ? Promise.reject(refused) : get(name, call));
    }

    test.each(['blocks/', 'checkpoints/'])(
      'of %s of the newest one: takes the older one, and says so',
      async (prefix) => {
        const { older, newer, added } = await two();
        refuse(added.filter((name) => name.startsWith(prefix)));
        expect(await restore(told)).toMatchObject({ kind: 'restored', checkpoint: older });
        expect({ unreadable, damaged }).toEqual({ unreadable: [newer], damaged: [] });
      },
    );

    test('of all of them: it is not said that there is none', async () => {
      await two();
      refuse([...repository.objects.keys()].filter((name) => name.startsWith(blocksPrefix)));
      await expect(restore(told)).rejects.toBe(refused);
      expect(target.position).toBe(0n);
      const signal = AbortSignal.abort(new Error('stopped'));
      await expect(restore({ signal })).rejects.toThrow('stopped');
    });

    test('of many: it is not all tried', async () => {
      for (let at = 10n; at < 20n; at++) await checkpointAt(repository, replicaAt(records, at), log);
      refuse([...repository.objects.keys()].filter((name) => name.startsWith('checkpoints/')));
      await expect(restore(told)).rejects.toBe(refused);
      expect(unreadable.length).toBe(limits.checkpointUnreadableMax);
    });
  });

  test('takes the newest one of those that are there once the one that it reads is deleted', async () => {
    const first = await checkpointAt(repository, replicaAt(records, 10n), log);
    const deleted: string[] = [];
    const damaged: string[] = [];
    const get = repository.get.bind(repository);
    let second = '';
    repository.get = async (name, call) => {
      if (second === '' && name.startsWith(blocksPrefix)) {
        second = 'is made';
        second = (await checkpointAt(repository, replicaAt(records, 20n), log)).id;
        await createTombstone(repository, { id: first.id, deletedAtMs: 1, by: 'test' }, {});
        return undefined;
      }
      return get(name, call);
    };
    const onDeleted = (id: string): void => void deleted.push(id);
    const onDamaged = (id: string): void => void damaged.push(id);
    // The newer one is of a position that the log did not have when this began.
    const boundsNow = async () => Promise.resolve({ first: 1n, last: 30n });
    const bounds = { first: 1n, last: 15n };
    expect(await restore({ onDeleted, onDamaged, bounds, boundsNow })).toMatchObject({ kind: 'restored' });
    expect(contentOf(target)).toEqual(contentOf(replicaAt(records, 20n).records));
    expect({ deleted, damaged }).toEqual({ deleted: [first.id], damaged: [] });
  });

  test('those of other clusters are none, however many', async () => {
    const { id } = await checkpointAt(repository, replicaAt(records, 10n), log);
    const foreign = { ...log, cluster: 'other' };
    for (let i = 0; i <= limits.checkpointCandidatesMax; i++)
      await checkpointAt(repository, replicaAt(records, 1n), foreign);
    const damaged: string[] = [];
    const onDamaged = (each: string): void => void damaged.push(each);
    expect(await restore({ onDamaged })).toMatchObject({ kind: 'restored', checkpoint: id });
    expect(damaged).toEqual([]);
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
