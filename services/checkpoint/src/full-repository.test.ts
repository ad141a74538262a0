// A repository that takes nothing more: what may still go goes, and nothing else.
import { StateStoreError } from '@statestore/core';
import { beforeEach, describe, expect, test } from 'vitest';
import { listCheckpoints } from './catalog.ts';
import { begin, cluster, commitOf, grow, grown, madeId } from './checkpoints.testing.ts';
import { collectGarbage } from './collect-garbage.ts';
import { giveUpCheckpoint } from './commit.ts';
import { applyRetention, deleteCheckpoint } from './delete-checkpoint.ts';
import { MemoryRepository } from './memory-repository.ts';
import { blocksPrefix, intentName, manifestName, reservePrefix, tombstoneName } from './names.ts';
import type { ObjectName, RepositoryCall } from './repository.ts';
import { keepRoom } from './spare-room.ts';

const hourMs = 3600_000;
const asked = { cluster, by: 'test', nowMs: Date.now };

class FullRepository extends MemoryRepository {
  maxBytes = Infinity;

  get bytes(): number {
    return [...this.objects.values()].reduce((sum, { bytes }) => sum + bytes.length + 100, 0);
  }

  fill(): void {
    this.maxBytes = this.bytes;
  }

  age(name: ObjectName, hours: number): void {
    const { bytes, modifiedAtMs } = this.objects.get(name)!;
    this.objects.set(name, { bytes, modifiedAtMs: modifiedAtMs - hours * hourMs });
  }

  of(prefix: string): ObjectName[] {
    return [...this.objects.keys()].filter((name) => name.startsWith(prefix)).toSorted();
  }

  override async put(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<void> {
    this.#require(bytes);
    return super.put(name, bytes, call);
  }

  override async create(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<'created' | 'exists'> {
    if (!this.objects.has(name)) this.#require(bytes);
    return super.create(name, bytes, call);
  }

  #require(bytes: Uint8Array): void {
    if (this.bytes + bytes.length + 100 > this.maxBytes) throw new StateStoreError('disk_full', 'no room');
  }
}

let repository: FullRepository;
let ids: string[];
beforeEach(async () => {
  repository = new FullRepository();
  const records = grown(100);
  ids = [];
  for (let i = 0; i < 3; i++) {
    ids.unshift(await madeId({ repository, partitions: [records], mode: 'full' }));
    grow(
      records,
      Array.from({ length: 100 }, (_, at) => `key ${at}`),
      i + 2,
    );
  }
});

const listedIds = async (): Promise<string[]> => (await listCheckpoints({ repository })).map(({ id }) => id);

describe('where room is kept', () => {
  beforeEach(async () => {
    await keepRoom(repository);
    repository.fill();
  });

  test('it is there once, and whoever deletes takes it', async () => {
    const room = repository.of(reservePrefix);
    expect(room).toHaveLength(8);
    await keepRoom(repository);
    expect(repository.of(reservePrefix)).toEqual(room);
    expect(await deleteCheckpoint({ ...asked, repository, id: ids[2]! })).toEqual({ outcome: 'deleted' });
    expect(repository.of(reservePrefix)).toEqual([]);
    expect(await listedIds()).toEqual(ids.slice(0, 2));
    // As much of it as there is room for comes back.
    await keepRoom(repository);
    expect(repository.of(reservePrefix)).toHaveLength(7);
  });

  test('retention deletes, and what it deleted goes a day later', async () => {
    const policy = { maxCheckpoints: 1, keepMin: 1 };
    expect((await applyRetention({ ...asked, repository, policy })).deleted).toEqual([ids[2], ids[1]]);
    expect(await collectGarbage({ repository })).toMatchObject({ outcome: 'collected', objects: 0 });
    await keepRoom(repository);
    repository.fill();
    for (const id of ids.slice(1)) repository.age(tombstoneName(id), 25);
    expect(await collectGarbage({ repository })).toMatchObject({ outcome: 'collected', checkpoints: 2 });
    for (const id of ids.slice(1)) expect(repository.of(`${blocksPrefix}${id}`)).toEqual([]);
    expect(await listedIds()).toEqual(ids.slice(0, 1));
  });

  test('a run that failed for want of it is given up', async () => {
    repository.maxBytes = Infinity;
    const begun = await begin({ repository });
    await commitOf(begun, { repository, partitions: [grown(200)] });
    repository.fill();
    expect(await giveUpCheckpoint(repository, begun.id)).toBe('abandoned');
    repository.fill();
    expect(await collectGarbage({ repository })).toMatchObject({ outcome: 'collected' });
    expect(repository.of(`${blocksPrefix}${begun.id}`)).toEqual([]);
  });
});

describe('where none is kept', () => {
  test('what is decided goes without a word being written, and makes room for the rest', async () => {
    const failed = await begin({ repository });
    await commitOf(failed, { repository, partitions: [grown(200)] });
    await giveUpCheckpoint(repository, failed.id);
    const silent = await begin({ repository });
    await commitOf(silent, { repository, partitions: [grown(300)] });
    repository.age(intentName(silent.id), 25);
    await deleteCheckpoint({ ...asked, repository, id: ids[2]! });
    repository.age(tombstoneName(ids[2]!), 25);
    repository.fill();
    expect(await collectGarbage({ repository })).toMatchObject({ outcome: 'collected', abandoned: [silent.id] });
    for (const id of [failed.id, silent.id, ids[2]!]) expect(repository.of(`${blocksPrefix}${id}`)).toEqual([]);
    expect(await listedIds()).toEqual(ids.slice(0, 2));
  });

  test('nothing goes that has only just been deleted, nor what a writer may still need', async () => {
    const writing = await begin({ repository, mode: 'auto' });
    await commitOf(writing, { repository, partitions: [grown(200)] });
    await deleteCheckpoint({ ...asked, repository, id: ids[2]! });
    // When this was is known later.
    await collectGarbage({ repository });
    repository.fill();
    const before = [...repository.objects.keys()].toSorted();
    expect(await collectGarbage({ repository })).toMatchObject({ outcome: 'collected', objects: 0, abandoned: [] });
    // Nor where the writer is old: that cannot be decided.
    repository.age(intentName(writing.id), 25);
    expect(await collectGarbage({ repository })).toMatchObject({ outcome: 'collected', objects: 0, abandoned: [] });
    expect([...repository.objects.keys()].toSorted()).toEqual(before);
    await expect(deleteCheckpoint({ ...asked, repository, id: ids[1]! })).rejects.toMatchObject({ code: 'disk_full' });
    expect(repository.objects.has(manifestName(ids[1]!))).toBe(true);
  });
});

test('retention by age goes by the clock of the repository', async () => {
  const policy = { maxAgeMs: hourMs, keepMin: 1 };
  const ahead = { ...asked, nowMs: () => Date.now() + 20 * hourMs };
  expect((await applyRetention({ ...ahead, repository, policy })).deleted).toEqual([]);
  repository.age(manifestName(ids[2]!), 2);
  const behind = { ...asked, nowMs: () => 0 };
  expect((await applyRetention({ ...behind, repository, policy })).deleted).toEqual([ids[2]]);
});
