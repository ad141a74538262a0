// What a collector removes and when, step by step; that it harms nothing whatever else happens is
// deleting.simulation.test.ts.
import { describe, expect, test } from 'vitest';
import { listCheckpoints } from './catalog.ts';
import { begin, cluster, commitOf, grow, grown, madeId } from './checkpoints.testing.ts';
import { collectGarbage } from './collect-garbage.ts';
import { commitCheckpoint, giveUpCheckpoint } from './commit.ts';
import { deleteCheckpoint } from './delete-checkpoint.ts';
import { MemoryRepository } from './memory-repository.ts';
import { blocksPrefix, intentName, manifestName, partitionManifestName, tombstoneName } from './names.ts';
import type { ObjectInfo, ObjectName } from './repository.ts';
import { verifyCheckpoint } from './verify-checkpoint.ts';

const hourMs = 3600_000;
const graceMs = 24 * hourMs;

/** One whose objects can be made older. */
class AgingRepository extends MemoryRepository {
  lacks: (name: ObjectName) => boolean = () => false;

  age(hours: number): void {
    for (const [name, { bytes, modifiedAtMs }] of this.objects)
      this.objects.set(name, { bytes, modifiedAtMs: modifiedAtMs - hours * hourMs });
  }

  override async *list(prefix: string): AsyncIterable<ObjectInfo> {
    for await (const info of super.list(prefix)) if (!this.lacks(info.name)) yield info;
  }

  get names(): readonly ObjectName[] {
    return [...this.objects.keys()].toSorted();
  }
}

const asked = { cluster, by: 'test', nowMs: Date.now };

async function two(): Promise<{ repository: AgingRepository; older: string; newer: string }> {
  const repository = new AgingRepository();
  const partitions = [grown(100)];
  const older = await madeId({ repository, partitions });
  grow(partitions[0]!, ['key 5', 'later']);
  return { repository, older, newer: await madeId({ repository, partitions }) };
}

describe('a collector', () => {
  test('finds nothing where there is nothing, and leaves what is listed', async () => {
    expect(await collectGarbage({ repository: new MemoryRepository() })).toMatchObject({
      outcome: 'collected',
      objects: 0,
    });
    const { repository } = await two();
    repository.age(10_000);
    const before = repository.names;
    expect(await collectGarbage({ repository })).toMatchObject({ outcome: 'collected', objects: 0, abandoned: [] });
    expect(repository.names.filter((name) => name !== 'collected')).toEqual(before);
  });

  test('removes a deleted checkpoint after the grace, but for what another one took of it', async () => {
    const { repository, older, newer } = await two();
    await deleteCheckpoint({ ...asked, repository, id: older });
    expect(await collectGarbage({ repository, graceMs })).toMatchObject({ objects: 0 });
    repository.age(25);
    const wouldBe = await collectGarbage({ repository, graceMs, dryRun: true });
    expect(wouldBe).toMatchObject({ outcome: 'collected', checkpoints: 1 });
    expect(repository.objects.has(manifestName(older))).toBe(true);
    const did = await collectGarbage({ repository, graceMs });
    expect(did).toEqual(wouldBe);
    expect(did.outcome === 'collected' && did.blocks).toBeGreaterThan(0);
    expect(repository.objects.has(manifestName(older))).toBe(false);
    expect(repository.objects.has(partitionManifestName(older, 0))).toBe(false);
    expect(repository.names.some((name) => name.startsWith(`${blocksPrefix}${older}`))).toBe(true);
    expect(await verifyCheckpoint({ repository, id: newer })).toMatchObject({ state: 'good' });
    expect(await collectGarbage({ repository, graceMs })).toMatchObject({ objects: 0 });
  });

  test('lets a reader of what is deleted end within the grace; without one it would not', async () => {
    for (const grace of [graceMs, -1]) {
      const { repository, older } = await two();
      let readers = 0;
      const get = repository.get.bind(repository);
      repository.get = async (name) => {
        if (name.startsWith(blocksPrefix) && readers++ === 0) {
          await deleteCheckpoint({ ...asked, repository, id: older });
          await collectGarbage({ repository, graceMs: grace });
        }
        return get(name);
      };
      const { state } = await verifyCheckpoint({ repository, id: older });
      expect(state).toBe(grace === graceMs ? 'good' : 'damaged');
    }
  });

  test('removes what a writer left that gave up, at once; of a silent one after the grace, and for ever', async () => {
    const repository = new AgingRepository();
    const partitions = [grown(50)];
    const gaveUp = await begin({ repository });
    await commitOf(gaveUp, { repository, partitions });
    await giveUpCheckpoint(repository, gaveUp.id);
    const silent = await begin({ repository });
    const commit = await commitOf(silent, { repository, partitions });
    await collectGarbage({ repository, graceMs });
    expect(repository.names.some((name) => name.includes(`${gaveUp.id}/`))).toBe(false);
    expect(repository.names.some((name) => name.startsWith(`${blocksPrefix}${silent.id}`))).toBe(true);
    repository.age(25);
    expect(await collectGarbage({ repository, graceMs })).toMatchObject({ abandoned: [silent.id] });
    expect(repository.names.filter((name) => name.includes(silent.id))).toEqual([manifestName(silent.id)]);
    await expect(commitCheckpoint(commit)).rejects.toMatchObject({ code: 'data_corrupt' });
    expect(await listCheckpoints({ repository })).toEqual([]);
    repository.age(31 * 24);
    await collectGarbage({ repository, graceMs });
    expect(repository.names).toEqual(['collected']);
  });

  test('keeps what is deleted while somebody may take blocks of it', async () => {
    const { repository, older, newer } = await two();
    const partitions = [grown(100)];
    repository.age(20);
    const begun = await begin({ repository });
    expect(begun.previous?.manifest.id).toBe(newer);
    // As if it had been deleted long ago, by a clock that was set back.
    await madeId({ repository, partitions });
    await deleteCheckpoint({ ...asked, repository, id: newer });
    const name = tombstoneName(newer);
    repository.objects.set(name, { ...repository.objects.get(name)!, modifiedAtMs: 0 });
    const commit = await commitOf(begun, { repository, partitions });
    expect(await collectGarbage({ repository, graceMs })).toMatchObject({ outcome: 'collected', checkpoints: 0 });
    expect((await commitCheckpoint(commit)).outcome).toBe('committed');
    expect(await collectGarbage({ repository, graceMs })).toMatchObject({ outcome: 'collected', checkpoints: 1 });
    for (const id of [older, begun.id])
      expect(await verifyCheckpoint({ repository, id })).toMatchObject({ state: 'good' });
  });

  test('forgets who was deleted when nothing is left of it', async () => {
    const repository = new AgingRepository();
    const older = await madeId({ repository, partitions: [grown(10)] });
    await madeId({ repository, partitions: [grown(10)], mode: 'full' });
    await deleteCheckpoint({ ...asked, repository, id: older });
    repository.age(25);
    await collectGarbage({ repository, graceMs });
    expect(repository.names.filter((name) => name.includes(older))).toEqual([tombstoneName(older)]);
    repository.age(31 * 24);
    await collectGarbage({ repository, graceMs });
    expect(repository.names.filter((name) => name.includes(older))).toEqual([]);
  });

  test('removes a decided intent, and never what is not its own', async () => {
    const { repository, newer } = await two();
    const { bytes } = repository.objects.get(manifestName(newer))!;
    await repository.put(intentName(newer), bytes);
    await repository.put('checkpoints/README', bytes);
    await repository.put('blocks/mine/file', bytes);
    await repository.put('archive/one', bytes);
    repository.age(10_000);
    await collectGarbage({ repository });
    expect(repository.objects.has(intentName(newer))).toBe(false);
    for (const name of ['checkpoints/README', 'blocks/mine/file', 'archive/one'])
      expect(repository.objects.has(name)).toBe(true);
  });
});

describe('a collector removes nothing', () => {
  async function withGarbage() {
    const made = await two();
    const gaveUp = await begin({ repository: made.repository });
    await commitOf(gaveUp, { repository: made.repository, partitions: [grown(20)], mode: 'full' });
    await giveUpCheckpoint(made.repository, gaveUp.id);
    return { ...made, garbage: gaveUp.id };
  }

  async function requireBlocked(repository: AgingRepository, garbage: string, why: string): Promise<void> {
    const outcome = await collectGarbage({ repository, graceMs });
    expect(outcome).toMatchObject({ outcome: 'blocked' });
    expect(outcome.outcome === 'blocked' && outcome.why.join()).toContain(why);
    expect(repository.names.some((name) => name.startsWith(`${blocksPrefix}${garbage}`))).toBe(true);
  }

  test('while a manifest cannot be read', async () => {
    for (const nameOf of [manifestName, (id: string) => partitionManifestName(id, 0), intentName]) {
      const { repository, newer, garbage } = await withGarbage();
      const name = nameOf === intentName ? intentName((await begin({ repository })).id) : nameOf(newer);
      const stored = repository.objects.get(name)!;
      repository.objects.set(name, { ...stored, bytes: stored.bytes.subarray(1) });
      await requireBlocked(repository, garbage, name);
    }
  });

  test('while something is missing that is needed', async () => {
    const { repository, garbage } = await withGarbage();
    const name = repository.names.find((each) => each.startsWith(blocksPrefix) && !each.includes(garbage))!;
    repository.objects.delete(name);
    await requireBlocked(repository, garbage, name);
  });

  test('where a listing lacks what is there', async () => {
    const { repository, newer, garbage } = await withGarbage();
    const block = repository.names.find((each) => each.startsWith(`${blocksPrefix}${newer}`))!;
    repository.lacks = (name) => name === block;
    await requireBlocked(repository, garbage, block);
    repository.lacks = (name) => name === manifestName(newer);
    await requireBlocked(repository, garbage, manifestName(newer));
    repository.lacks = (name) => name.startsWith(`checkpoints/${newer}`) || name.startsWith(`blocks/${newer}`);
    await requireBlocked(repository, garbage, manifestName(newer));
    repository.age(1000);
    repository.lacks = (name) => name === manifestName(newer);
    await requireBlocked(repository, garbage, manifestName(newer));
    repository.lacks = () => false;
    expect(await collectGarbage({ repository, graceMs })).toMatchObject({ outcome: 'collected' });
  });

  test('where a listing fails', async () => {
    for (const prefix of ['checkpoints/', 'started/', 'deleted/', 'blocks/']) {
      const { repository } = await withGarbage();
      await begin({ repository });
      await repository.put(tombstoneName('018bf0a3-7223-76a0-81ce-d4735a223c96'), new Uint8Array());
      const before = repository.names;
      repository.lacks = (name) => {
        if (name.startsWith(prefix)) throw new Error('cut off');
        return false;
      };
      await expect(collectGarbage({ repository, graceMs })).rejects.toThrow('cut off');
      for (const name of before) expect(repository.objects.has(name)).toBe(true);
    }
  });
});
