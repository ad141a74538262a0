import { StateStoreError } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { listCheckpoints, showCheckpoint } from './catalog.ts';
import { newCheckpointId } from './checkpoint-id.ts';
import { begin, commitOf, grow, grown, madeId, make } from './checkpoints.testing.ts';
import { commitCheckpoint, giveUpCheckpoint } from './commit.ts';
import { abandon, createTombstone, readIntent } from './markers.ts';
import { MemoryRepository } from './memory-repository.ts';
import { blocksPrefix, intentName, latestName, manifestName, partitionManifestName } from './names.ts';
import type { ObjectName, RepositoryCall } from './repository.ts';

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();

/** Answers of creations of manifests get lost: before they take effect, or after. */
class LosesAnswers extends MemoryRepository {
  lose: 'before' | 'after' | undefined;
  left = 0;
  onCreate: ((name: ObjectName) => Promise<void> | void) | undefined;

  override async create(name: ObjectName, bytes: Uint8Array, _call?: RepositoryCall): Promise<'created' | 'exists'> {
    const isManifest = name.startsWith('checkpoints/') && !name.includes('.partitions');
    if (isManifest) await this.onCreate?.(name);
    const lost = isManifest && this.left-- > 0;
    if (lost && this.lose === 'before') throw new StateStoreError('outcome_unknown', 'no answer');
    const outcome = await super.create(name, bytes);
    if (lost) throw new StateStoreError('outcome_unknown', 'no answer');
    return outcome;
  }
}

describe('a checkpoint', () => {
  test('says that it begins, is complete at last, and leaves nothing but itself', async () => {
    const repository = new MemoryRepository();
    const partitions = [grown(30), grown(50)];
    let begunId = '';
    const { begun, made } = await make({
      repository,
      partitions,
      before: async ({ id }) => {
        begunId = id;
        expect(await readIntent(repository, id, {})).toMatchObject({
          intent: { previous: undefined, conductor: 'node-1' },
        });
        expect(await listCheckpoints({ repository })).toEqual([]);
        expect(await showCheckpoint({ repository, id })).toEqual({ state: 'none', id });
      },
    });
    expect(made.outcome).toBe('committed');
    expect(begun.id).toBe(begunId);
    expect(await repository.head(intentName(begunId))).toBeUndefined();
    expect(text(await repository.get(latestName)).trim()).toBe(begunId);
    expect(await listCheckpoints({ repository })).toMatchObject([{ id: begunId, state: 'complete', partitions: 2 }]);
  });

  test('takes blocks of the newest one and names it; a full one takes none', async () => {
    const repository = new MemoryRepository();
    const partitions = [grown(100)];
    const first = await madeId({ repository, partitions });
    grow(partitions[0]!, ['one more']);
    const { begun } = await make({ repository, partitions });
    expect(begun.previous?.manifest.id).toBe(first);
    const [second] = await listCheckpoints({ repository });
    expect(second).toMatchObject({ previous: first });
    const full = await begin({ repository, mode: 'full' });
    expect(full.previous).toBeUndefined();
  });

  test('has a greater id than any other, whatever its clock says', async () => {
    const repository = new MemoryRepository();
    const partitions = [grown(3)];
    const first = await madeId({ repository, partitions, nowMs: () => 5_000_000 });
    const second = await madeId({ repository, partitions, nowMs: () => 1000 });
    expect(second > first).toBe(true);
    await createTombstone(repository, { id: second, deletedAtMs: 0, by: 'test' }, {});
    expect((await begin({ repository, nowMs: () => 1000 })).id > second).toBe(true);
    expect(newCheckpointId({ nowMs: 2 ** 40, random: new Uint8Array(10).fill(255) })).toMatch(/^.{14}7.{3}-b/);
  });

  test('does not begin on one that is deleted while it begins', async () => {
    class DeletesAfterIntent extends MemoryRepository {
      victim = '';
      override async create(name: ObjectName, bytes: Uint8Array): Promise<'created' | 'exists'> {
        const outcome = await super.create(name, bytes);
        const { victim } = this;
        this.victim = '';
        if (victim !== '' && name.startsWith('started/'))
          await createTombstone(this, { id: victim, deletedAtMs: 0, by: 'test' }, {});
        return outcome;
      }
    }
    const repository = new DeletesAfterIntent();
    const first = await madeId({ repository, partitions: [grown(3)] });
    const second = await madeId({ repository, partitions: [grown(3)] });
    repository.victim = second;
    const begun = await begin({ repository });
    expect(begun.previous?.manifest.id).toBe(first);
    const started = [...repository.objects.keys()].filter((name) => name.startsWith('started/'));
    expect(started).toEqual([intentName(begun.id)]);
  });
});

describe('a commit', () => {
  test.each(['before', 'after'] as const)('finds out what became of it when answers are lost %s it', async (lose) => {
    const repository = new LosesAnswers();
    Object.assign(repository, { lose, left: 2 });
    const { made } = await make({ repository, partitions: [grown(10)] });
    expect(made.outcome).toBe('committed');
    expect(await listCheckpoints({ repository })).toHaveLength(1);
  });

  test('says that the outcome is not known where no answer comes; giving up tells it', async () => {
    for (const lose of ['before', 'after'] as const) {
      const repository = new LosesAnswers();
      const begun = await begin({ repository });
      const commit = await commitOf(begun, { repository, partitions: [grown(10)] });
      Object.assign(repository, { lose, left: 100 });
      if (lose === 'before') {
        await expect(commitCheckpoint(commit)).rejects.toMatchObject({ code: 'outcome_unknown' });
        expect(await repository.head(intentName(begun.id))).toBeDefined();
      } else {
        // The second attempt meets what the first one made.
        repository.onCreate = () => {
          repository.left = 100;
        };
        await expect(commitCheckpoint(commit)).rejects.toMatchObject({ code: 'outcome_unknown' });
        repository.onCreate = undefined;
      }
      repository.left = 0;
      const decided = await giveUpCheckpoint(repository, begun.id);
      expect(decided).toBe(lose === 'before' ? 'abandoned' : 'complete');
      expect(await repository.head(intentName(begun.id))).toBeUndefined();
      expect(await listCheckpoints({ repository })).toHaveLength(lose === 'before' ? 0 : 1);
    }
  });

  test('of two for one manifest, one wins and the other is told', async () => {
    const repository = new MemoryRepository();
    const begun = await begin({ repository });
    const one = await commitOf(begun, { repository, partitions: [grown(10)], commit: { version: 'one' } });
    const outcomes = await Promise.all([
      commitCheckpoint(one),
      commitCheckpoint({ ...one, version: 'two' }),
      commitCheckpoint({ ...one, version: 'three' }),
    ]);
    expect(outcomes.map(({ outcome }) => outcome).toSorted()).toEqual(['committed', 'taken', 'taken']);
    const winner = outcomes.find(({ outcome }) => outcome === 'committed');
    const shown = await showCheckpoint({ repository, id: begun.id });
    expect(shown).toMatchObject({
      state: 'complete',
      version: winner?.outcome === 'committed' && winner.manifest.version,
    });
  });

  test('says that it is being written until it is decided', async () => {
    const repository = new LosesAnswers();
    let seen = 0;
    repository.onCreate = async (name) => {
      if ((await repository.head(intentName(name.slice('checkpoints/'.length)))) !== undefined) seen++;
    };
    await madeId({ repository, partitions: [grown(10)] });
    const { id } = await begin({ repository });
    expect(await giveUpCheckpoint(repository, id)).toBe('abandoned');
    expect(seen).toBe(2);
  });

  test('loses to a collector that gave it up, and is never listed', async () => {
    const repository = new LosesAnswers();
    repository.onCreate = async (name) => {
      repository.onCreate = undefined;
      await abandon(repository, name.slice('checkpoints/'.length), {});
    };
    const { begun, made } = await make({ repository, partitions: [grown(10)] });
    expect(made).toEqual({ outcome: 'abandoned' });
    expect(await listCheckpoints({ repository })).toEqual([]);
    expect(await giveUpCheckpoint(repository, begun.id)).toBe('abandoned');
  });

  test('is refused after the deadline', async () => {
    const repository = new MemoryRepository();
    let asked = 0;
    expect((await make({ repository, partitions: [grown(10)], commit: { isLate: () => true } })).made.outcome).toBe(
      'late',
    );
    const isLate = (): boolean => ++asked > 1;
    expect((await make({ repository, partitions: [grown(10)], commit: { isLate } })).made.outcome).toBe('late');
    expect(await listCheckpoints({ repository })).toEqual([]);
  });

  test('is refused where a block is missing or short, before anybody sees it', async () => {
    for (const harm of ['remove', 'shorten'] as const) {
      const repository = new MemoryRepository();
      const before = (): void => {
        const name = [...repository.objects.keys()].find((each) => each.startsWith(blocksPrefix))!;
        const stored = repository.objects.get(name)!;
        if (harm === 'remove') repository.objects.delete(name);
        else repository.objects.set(name, { ...stored, bytes: stored.bytes.subarray(1) });
      };
      await expect(make({ repository, partitions: [grown(10)], before })).rejects.toMatchObject({
        code: 'data_corrupt',
      });
      expect(await listCheckpoints({ repository })).toEqual([]);
    }
  });

  test('unlists itself where a block goes in just that moment', async () => {
    const repository = new LosesAnswers();
    repository.onCreate = () => {
      const name = [...repository.objects.keys()].find((each) => each.startsWith(blocksPrefix))!;
      repository.objects.delete(name);
    };
    await expect(make({ repository, partitions: [grown(10)] })).rejects.toMatchObject({ code: 'data_corrupt' });
    expect(await listCheckpoints({ repository })).toEqual([]);
  });

  test('is refused where a partition is missing, doubled, or says something else', async () => {
    const repository = new MemoryRepository();
    const partitions = [grown(10), grown(20)];
    const begun = await begin({ repository });
    const commit = await commitOf(begun, { repository, partitions });
    const [one, two] = commit.partitions;
    const wrong = [[one!], [one!, one!, two!], [one!, { ...two!, entries: 7n }], [one!, { ...two!, position: 7n }]];
    for (const each of wrong)
      await expect(commitCheckpoint({ ...commit, partitions: each })).rejects.toMatchObject({ code: 'data_corrupt' });
    const foreign = { ...commit, begun: { ...begun, cluster: 'another' } };
    await expect(commitCheckpoint(foreign)).rejects.toMatchObject({ code: 'data_corrupt' });
    expect(await repository.head(manifestName(begun.id))).toBeUndefined();
    expect((await commitCheckpoint({ ...commit, partitions: [two!, one!] })).outcome).toBe('committed');
  });

  test('is refused where it takes blocks of a checkpoint that it did not name', async () => {
    const repository = new MemoryRepository();
    const partitions = [grown(100)];
    await madeId({ repository, partitions });
    const begun = await begin({ repository });
    const commit = await commitOf(begun, { repository, partitions });
    await expect(commitCheckpoint({ ...commit, begun: { ...begun, previous: undefined } })).rejects.toThrow(
      /neither its own nor of its previous/,
    );
    expect((await commitCheckpoint(commit)).outcome).toBe('committed');
    expect(await repository.head(partitionManifestName(begun.id, 0))).toBeDefined();
  });
});
