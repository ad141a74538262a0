import type { StateReader } from '@statestore/core';
import { keyspace } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { cluster, grown, madeId, never, SortedRecords } from './checkpoints.testing.ts';
import { MemoryRepository } from './memory-repository.ts';
import { writePartition } from './partition-writer.ts';
import type { RestorePartitionOptions, RestoreTarget } from './restore-partition.ts';
import { restorePartition } from './restore-partition.ts';
import { verifyCheckpoint } from './verify-checkpoint.ts';

async function written(reader: StateReader): Promise<Pick<RestorePartitionOptions, 'repository' | 'manifest'>> {
  const repository = new MemoryRepository();
  const { manifest } = await writePartition({
    reader,
    cluster,
    partition: 0,
    slots: [{ start: 0, end: 4096 }],
    generation: 1,
    repository,
    checkpointId: '01970000-0000-7000-8000-000000000001',
    previous: undefined,
    cut: { targetBytes: 2000, maxBytes: 4000 },
    signal: never,
  });
  return { repository, manifest };
}

/** The records, but for one entry. */
function altered(records: SortedRecords): SortedRecords {
  const other = new SortedRecords();
  other.write(Array.from(records.range({}), ({ key, value }) => [key, value] as const));
  const { key, value } = [...records.range({ start: keyspace.entryPrefix })][7]!;
  other.write([[key, value.map((byte, at) => (at === value.length - 1 ? byte ^ 1 : byte))]]);
  return other;
}

/** Takes what it is given, and holds something else then. */
class Forgetful extends SortedRecords {
  override restore(...[parts, position, accept]: Parameters<RestoreTarget['restore']>): Promise<void> {
    return super.restore(parts, position, (content) => accept(altered(content as SortedRecords)));
  }
}

describe('restoring a partition', () => {
  test.each([false, true])(
    'refuses entries that do not make the state that the manifest says (read back: %s)',
    async (readBack) => {
      const records = grown(300);
      const target = new SortedRecords();
      const good = await written(records);
      const restored = await restorePartition({ ...good, target, readBack, signal: never });
      expect(restored).toMatchObject({ entries: 300, records: records.length });
      expect(target.length).toBe(records.length);
      const wrong = await written(altered(records));
      expect(wrong.manifest.summary!.stateHash).toEqual(good.manifest.summary!.stateHash);
      const refused = new SortedRecords();
      await expect(restorePartition({ ...wrong, target: refused, readBack, signal: never })).rejects.toMatchObject({
        code: 'data_corrupt',
        message: expect.stringContaining('its records make no state') as unknown,
      });
      expect(refused.length).toBe(0);
    },
  );

  test('that reads back, as a drill does, finds an engine that holds something else than it was given', async () => {
    const whole = await written(grown(300));
    const target = new Forgetful();
    await expect(restorePartition({ ...whole, target, readBack: true, signal: never })).rejects.toMatchObject({
      code: 'data_corrupt',
    });
    expect(target.length).toBe(0);
    const repository = new MemoryRepository();
    const id = await madeId({ repository, partitions: [grown(300)] });
    expect(await verifyCheckpoint({ repository, id, drill: async () => new Forgetful() })).toMatchObject({
      state: 'damaged',
      findingsTotal: 1,
    });
    expect(await verifyCheckpoint({ repository, id, drill: async () => new SortedRecords() })).toMatchObject({
      state: 'good',
    });
  });

  test('gives others a turn while entries are counted', async () => {
    const whole = await written(grown(2000));
    let turns = 0;
    const turn = (): Promise<void> => {
      turns++;
      return Promise.resolve();
    };
    await restorePartition({ ...whole, target: new SortedRecords(), turn, signal: never });
    expect(turns).toBeGreaterThan(10);
  });
});
