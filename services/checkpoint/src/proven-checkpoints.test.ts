import { expect, test } from 'vitest';
import { BlockProofs } from './block-proofs.ts';
import { newestGood } from './catalog.ts';
import { cluster, grow, grown, madeId } from './checkpoints.testing.ts';
import { MemoryRepository } from './memory-repository.ts';
import { blocksPrefix, manifestName } from './names.ts';
import { blocksOf } from './presence.ts';
import type { ObjectName, RepositoryCall } from './repository.ts';
import { type Proven, provenCheckpoints, type ProvenOptions } from './proven-checkpoints.ts';

class CountingRepository extends MemoryRepository {
  readonly read: ObjectName[] = [];

  override get(name: ObjectName, call?: RepositoryCall): Promise<Uint8Array | undefined> {
    if (name.startsWith(blocksPrefix)) this.read.push(name);
    return super.get(name, call);
  }
}

async function world() {
  const repository = new CountingRepository();
  const records = grown(200);
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) {
    ids.unshift(await madeId({ repository, partitions: [records], nowMs: () => 1e12 + i }));
    grow(records, [`later ${i}`]);
  }
  for (const [at, id] of ids.entries()) {
    const stored = repository.objects.get(manifestName(id))!;
    repository.objects.set(manifestName(id), { ...stored, modifiedAtMs: Date.now() - at * 1000 - 500 });
  }
  repository.read.length = 0;
  const proofs = new BlockProofs();
  let elapsedMs = 0;
  const prove = async (more: Partial<ProvenOptions> = {}): Promise<Proven> => {
    repository.read.length = 0;
    const asked = { repository, cluster, proofs, marginMs: 0, proofMs: 1000, elapsedMs: () => elapsedMs };
    return provenCheckpoints({ ...asked, ...more });
  };
  const flip = (name: ObjectName): void => {
    const stored = repository.objects.get(name)!;
    repository.objects.set(name, { ...stored, bytes: stored.bytes.map((byte, at) => (at === 12 ? byte ^ 1 : byte)) });
  };
  /** A block that this one uploaded, and all newer ones took. */
  const shared = async (id: string): Promise<ObjectName> => {
    const among = await Promise.all(
      ids
        .filter((each) => each >= id)
        .map(async (each) => {
          const { good } = await newestGood({ repository, accepts: (one) => (one.id === each ? undefined : 'not it') });
          return blocksOf(good!.partitions);
        }),
    );
    const own = [...among[0]!.keys()].filter((name) => name.startsWith(`${blocksPrefix}${id}/`));
    return own.find((name) => among.every((each) => each.has(name)))!;
  };
  return { repository, ids, prove, flip, shared, pass: (ms: number) => (elapsedMs += ms) };
}

const idsOf = ({ good }: Proven): string[] => good.map(({ manifest }) => manifest.id);

test('each block is read once, and again when its proof has become old', async () => {
  const { ids, prove, repository, pass } = await world();
  expect(idsOf(await prove())).toEqual(ids.slice(0, 2));
  const all = repository.read.length;
  expect(all).toBeGreaterThan(2);
  expect(new Set(repository.read).size).toBe(all);
  pass(999);
  await prove();
  expect(repository.read).toEqual([]);
  pass(1);
  let paced = 0;
  await prove({ pace: (bytes) => void (paced += bytes) });
  expect(repository.read).toHaveLength(all);
  expect(paced).toBeGreaterThan(1000);
});

test('a broken block that all share leaves none, and all of them are named; mended, they are good again', async () => {
  const { ids, prove, flip, shared, repository, pass } = await world();
  expect((await prove()).damaged.size).toBe(0);
  const block = await shared(ids[4]!);
  flip(block);
  // What was read a short while ago counts.
  expect(idsOf(await prove())).toEqual(ids.slice(0, 2));
  pass(1000);
  const found = await prove();
  expect(idsOf(found)).toEqual([]);
  expect([...found.damaged.keys()].toSorted()).toEqual(ids.toSorted());
  expect(found.damaged.get(ids[0]!)).toContain(block);
  // It is not forgotten while nothing changes.
  expect((await prove()).damaged.size).toBe(5);
  expect(repository.read).toContain(block);
  flip(block);
  const mended = await prove();
  expect(idsOf(mended)).toEqual(ids.slice(0, 2));
  expect(mended.damaged.size).toBe(0);
});

test('one that is broken by itself is passed over for the next older one, and a young one does not count', async () => {
  const { ids, prove, flip, shared } = await world();
  const block = await shared(ids[2]!);
  flip(block);
  // The two newest have it as well.
  const found = await prove();
  expect(idsOf(found)).toEqual([ids[3], ids[4]]);
  expect([...found.damaged.keys()].toSorted()).toEqual(ids.slice(0, 3).toSorted());
  const older = await prove({ marginMs: 3000 });
  expect(idsOf(older)).toEqual([ids[3], ids[4]]);
  expect(older.damaged.size).toBe(0);
  // Unless somebody found it damaged before.
  const suspected = await prove({ marginMs: 3000, suspects: found.damaged.keys() });
  expect(idsOf(suspected)).toEqual([ids[3], ids[4]]);
  expect(suspected.damaged).toEqual(found.damaged);
  flip(block);
  expect((await prove({ marginMs: 3000, suspects: found.damaged.keys() })).damaged.size).toBe(0);
});

test('a repository that does not answer is no damage, and a read that was wrong once is none either', async () => {
  const { ids, prove, repository } = await world();
  const get = repository.get.bind(repository);
  let wrong = 1;
  repository.get = async (name, call) => {
    const bytes = await get(name, call);
    if (name.startsWith(blocksPrefix) && wrong-- > 0) bytes![3]! ^= 1;
    return bytes;
  };
  expect(idsOf(await prove())).toEqual(ids.slice(0, 2));
  repository.get = () => Promise.reject(new Error('away'));
  await expect(prove()).rejects.toThrow('away');
});
