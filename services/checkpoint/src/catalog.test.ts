import { StateStoreError } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { listCheckpoints, newestGood, showCheckpoint } from './catalog.ts';
import { newCheckpointId } from './checkpoint-id.ts';
import { begin, cluster, grow, grown, madeId, make } from './checkpoints.testing.ts';
import { applyRetention, deleteCheckpoint } from './delete-checkpoint.ts';
import { abandon, createTombstone } from './markers.ts';
import { MemoryRepository } from './memory-repository.ts';
import { blocksPrefix, manifestName, partitionManifestName } from './names.ts';
import type { ObjectName } from './repository.ts';

function change(
  repository: MemoryRepository,
  name: ObjectName,
  to: (bytes: Uint8Array) => Uint8Array | undefined,
): void {
  const stored = repository.objects.get(name)!;
  const bytes = to(stored.bytes);
  if (bytes === undefined) repository.objects.delete(name);
  else repository.objects.set(name, { ...stored, bytes });
}

const flipped = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => (i === 20 ? byte ^ 1 : byte));
const cut = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, bytes.length - 5);

/** A small checkpoint and larger ones on it. */
async function several(count: number): Promise<{ repository: MemoryRepository; ids: string[] }> {
  const repository = new MemoryRepository();
  const partitions = [grown(30), grown(40)];
  const ids: string[] = [];
  for (let i = 0; i < count; i++) {
    ids.unshift(await madeId({ repository, partitions }));
    grow(partitions[0]!, [`later ${i}`]);
  }
  return { repository, ids };
}

const asked = { cluster, by: 'test', nowMs: Date.now };

describe('the catalogue', () => {
  test('lists the newest first, with totals, and shows one', async () => {
    const { repository, ids } = await several(3);
    const listed = await listCheckpoints({ repository, cluster });
    expect(listed.map(({ id }) => id)).toEqual(ids);
    expect(listed[0]).toMatchObject({
      state: 'complete',
      cluster,
      partitions: 2,
      previous: ids[1],
      conductor: 'node-1',
    });
    expect(listed[0]).toMatchObject({ totals: { entries: 72n } });
    const [first] = listed;
    const { storedBytes, uploadedBytes } =
      first?.state === 'complete' ? first.totals : { storedBytes: 0n, uploadedBytes: 0n };
    expect(uploadedBytes).toBeGreaterThan(0n);
    expect(uploadedBytes).toBeLessThan(storedBytes);
    const shown = await showCheckpoint({ repository, cluster, id: ids[1]! });
    expect(shown).toMatchObject({
      state: 'complete',
      manifest: { id: ids[1], partitions: [{ entries: 31n }, { entries: 40n }] },
    });
  });

  test('leaves out what is not complete, given up, deleted, or nobody of its kind', async () => {
    const { repository, ids } = await several(3);
    await begin({ repository });
    await abandon(repository, newCheckpointId({ nowMs: 1e12, random: new Uint8Array(10) }), {});
    await createTombstone(repository, { id: ids[1]!, deletedAtMs: 0, by: 'test' }, {});
    await repository.put('checkpoints/notes.txt', Buffer.from('hello'));
    expect((await listCheckpoints({ repository })).map(({ id }) => id)).toEqual([ids[0], ids[2]]);
    expect(await showCheckpoint({ repository, id: ids[1]! })).toEqual({ state: 'deleted', id: ids[1] });
    await expect(showCheckpoint({ repository, id: '../x' })).rejects.toMatchObject({ code: 'invalid_parameter' });
    expect(await listCheckpoints({ repository: new MemoryRepository() })).toEqual([]);
  });

  test('says of a damaged one what is wrong with it', async () => {
    const { repository, ids } = await several(3);
    change(repository, manifestName(ids[0]!), flipped);
    change(repository, manifestName(ids[1]!), cut);
    const [one, two, three] = await listCheckpoints({ repository, cluster });
    for (const [each, id] of [
      [one, ids[0]],
      [two, ids[1]],
    ] as const) {
      expect(each).toMatchObject({ state: 'damaged', id, damage: { code: 'data_corrupt' } });
      expect(each?.state === 'damaged' && each.damage.message).toContain(manifestName(id!));
    }
    expect(three?.state).toBe('complete');
    const foreign = await listCheckpoints({ repository, cluster: 'another' });
    expect(foreign.map(({ state }) => state)).toEqual(['damaged', 'damaged', 'damaged']);
    expect(foreign[2]?.state === 'damaged' && foreign[2].damage.message).toMatch(/cluster/);
  });

  test('reads thousands few at a time', async () => {
    const { repository, ids } = await several(1);
    const bytes = (await repository.get(manifestName(ids[0]!)))!;
    for (let i = 0; i < 3000; i++)
      await repository.put(manifestName(newCheckpointId({ nowMs: 1e12 + i, random: new Uint8Array(10) })), bytes);
    let atOnce = 0;
    let most = 0;
    const get = repository.get.bind(repository);
    repository.get = async (name) => {
      most = Math.max(most, ++atOnce);
      await Promise.resolve();
      atOnce--;
      return get(name);
    };
    const listed = await listCheckpoints({ repository });
    expect(listed).toHaveLength(3001);
    // They are copies: none is the one that its name says.
    expect(listed.filter(({ state }) => state === 'complete')).toHaveLength(1);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(16);
  });

  test('does not take a repository that fails for one that is damaged', async () => {
    const { repository } = await several(1);
    repository.get = () => Promise.reject(new StateStoreError('unavailable', 'throttled'));
    await expect(listCheckpoints({ repository })).rejects.toMatchObject({ code: 'unavailable' });
    await expect(newestGood({ repository })).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('the newest good checkpoint', () => {
  test('is the newest; an older one where newer ones are damaged, which are named', async () => {
    const { repository, ids } = await several(5);
    expect((await newestGood({ repository, cluster })).good?.manifest.id).toBe(ids[0]);
    change(repository, manifestName(ids[0]!), flipped);
    change(repository, partitionManifestName(ids[1]!, 1), cut);
    change(repository, partitionManifestName(ids[2]!, 0), () => undefined);
    const own = [...repository.objects.keys()].find((name) => name.startsWith(`${blocksPrefix}${ids[3]}`))!;
    change(repository, own, () => undefined);
    const { good, passedOver } = await newestGood({ repository, cluster });
    expect(good?.manifest.id).toBe(ids[4]);
    expect(good?.partitions).toHaveLength(2);
    expect(passedOver.map(({ id }) => id)).toEqual(ids.slice(0, 4));
    const named = [manifestName(ids[0]!), partitionManifestName(ids[1]!, 1), partitionManifestName(ids[2]!, 0), own];
    for (const [at, { why }] of passedOver.entries()) expect(why).toContain(named[at]);
  });

  test('is of the cluster, accepted, and within what is asked for', async () => {
    const { repository, ids } = await several(3);
    expect((await newestGood({ repository, cluster: 'another' })).good).toBeUndefined();
    const accepts = ({ id }: { readonly id: string }) => (id === ids[0] ? 'it is of tomorrow' : undefined);
    const found = await newestGood({ repository, accepts });
    expect(found.good?.manifest.id).toBe(ids[1]);
    expect(found.passedOver).toEqual([{ id: ids[0], why: 'it is of tomorrow' }]);
    expect((await newestGood({ repository, before: ids[1]! })).good?.manifest.id).toBe(ids[2]);
    expect((await newestGood({ repository, after: ids[0]! })).good).toBeUndefined();
    expect(await newestGood({ repository: new MemoryRepository() })).toEqual({
      good: undefined,
      passedOver: [],
      greatestId: undefined,
    });
  });
});

describe('deleting', () => {
  test('unlists one while a newer one is good, and nothing else', async () => {
    const { repository, ids } = await several(3);
    const before = repository.objects.size;
    expect(await deleteCheckpoint({ ...asked, repository, id: ids[0]! })).toMatchObject({ outcome: 'refused' });
    expect(await deleteCheckpoint({ ...asked, repository, id: ids[1]! })).toEqual({ outcome: 'deleted' });
    expect(await deleteCheckpoint({ ...asked, repository, id: ids[1]! })).toEqual({ outcome: 'already_deleted' });
    const none = newCheckpointId({ nowMs: 0, random: new Uint8Array(10) });
    expect(await deleteCheckpoint({ ...asked, repository, id: none })).toEqual({ outcome: 'none' });
    expect(repository.objects.size).toBe(before + 1);
    expect((await listCheckpoints({ repository })).map(({ id }) => id)).toEqual([ids[0], ids[2]]);
  });

  test('does not count on newer ones that are damaged, and lets those go', async () => {
    const { repository, ids } = await several(3);
    change(repository, partitionManifestName(ids[0]!, 0), flipped);
    change(repository, manifestName(ids[1]!), flipped);
    expect(await deleteCheckpoint({ ...asked, repository, id: ids[2]! })).toMatchObject({ outcome: 'refused' });
    expect(await deleteCheckpoint({ ...asked, repository, id: ids[0]! })).toEqual({ outcome: 'deleted' });
    expect(await deleteCheckpoint({ ...asked, repository, id: ids[1]! })).toEqual({ outcome: 'deleted' });
    change(repository, manifestName(ids[2]!), flipped);
    expect(await deleteCheckpoint({ ...asked, repository, id: ids[2]! })).toMatchObject({ outcome: 'refused' });
  });

  test('never deletes one that is being written', async () => {
    const { repository } = await several(1);
    const { id } = await begin({ repository });
    expect(await deleteCheckpoint({ ...asked, repository, id })).toEqual({ outcome: 'none' });
  });
});

describe('retention', () => {
  const policy = { maxCheckpoints: 2, keepMin: 1 };

  test('deletes what is too much, the oldest first', async () => {
    const { repository, ids } = await several(4);
    const report = await applyRetention({ ...asked, repository, policy });
    expect(report).toEqual({ deleted: [ids[3], ids[2]], newestGood: ids[0], passedOver: [], damaged: [] });
    expect((await listCheckpoints({ repository })).map(({ id }) => id)).toEqual(ids.slice(0, 2));
  });

  test('counts from the newest good one, and leaves damaged and unfinished ones alone', async () => {
    const { repository, ids } = await several(4);
    change(repository, partitionManifestName(ids[0]!, 0), flipped);
    change(repository, manifestName(ids[2]!), flipped);
    await begin({ repository });
    const report = await applyRetention({ ...asked, repository, policy: { maxCheckpoints: 1, keepMin: 1 } });
    expect(report).toMatchObject({
      deleted: [ids[3]],
      newestGood: ids[1],
      passedOver: [{ id: ids[0] }],
      damaged: [{ id: ids[2] }],
    });
    expect((await listCheckpoints({ repository })).map(({ id }) => id)).toEqual(ids.slice(0, 3));
  });

  test('deletes nothing where none is good, and nothing of another cluster', async () => {
    const { repository, ids } = await several(3);
    for (const id of ids) change(repository, partitionManifestName(id, 0), flipped);
    expect(await applyRetention({ ...asked, repository, policy })).toMatchObject({
      deleted: [],
      newestGood: undefined,
    });
    const other = await several(3);
    const foreign = await applyRetention({ ...asked, cluster: 'another', repository: other.repository, policy });
    expect(foreign).toMatchObject({ deleted: [], damaged: [{}, {}, {}] });
  });

  test('is what a run of checkpoints does after each', async () => {
    const repository = new MemoryRepository();
    const partitions = [grown(10)];
    for (let i = 0; i < 6; i++) {
      await make({ repository, partitions });
      await applyRetention({ ...asked, repository, policy: { maxCheckpoints: 3, keepMin: 2 } });
      expect(await listCheckpoints({ repository })).toHaveLength(Math.min(i + 1, 3));
    }
  });
});
