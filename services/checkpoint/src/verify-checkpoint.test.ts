import { describe, expect, test } from 'vitest';
import { newCheckpointId } from './checkpoint-id.ts';
import { cluster, grow, grown, madeId, SortedRecords } from './checkpoints.testing.ts';
import { createTombstone } from './markers.ts';
import { MemoryRepository } from './memory-repository.ts';
import { blocksPrefix, manifestName } from './names.ts';
import { verifyCheckpoint } from './verify-checkpoint.ts';

async function layered(): Promise<{ repository: MemoryRepository; id: string; partitions: SortedRecords[] }> {
  const repository = new MemoryRepository();
  const partitions = [grown(300), grown(40)];
  await madeId({ repository, partitions });
  grow(partitions[0]!, ['key 7', 'another'], 9);
  const id = await madeId({ repository, partitions });
  return { repository, id, partitions };
}

const scratches: SortedRecords[] = [];
const drill = async (): Promise<SortedRecords> => {
  const scratch = new SortedRecords();
  scratches.push(scratch);
  return scratch;
};

describe('verification', () => {
  test('finds a good checkpoint good, and a drill proves its states', async () => {
    const { repository, id, partitions } = await layered();
    const before = [...repository.objects.keys()].toSorted();
    const parts: number[] = [];
    scratches.length = 0;
    const found = await verifyCheckpoint({
      repository,
      cluster,
      id,
      drill,
      onProgress: ({ part }) => parts.push(part),
    });
    expect(found).toMatchObject({ id, state: 'good', findings: [], findingsTotal: 0, partitions: 2 });
    expect(found.blocks).toBeGreaterThan(10);
    expect(found.restored).toMatchObject([
      { partition: 0, entries: 301 },
      { partition: 1, entries: 40 },
    ]);
    expect(scratches.map(({ disposed }) => disposed)).toEqual([1, 1]);
    expect(scratches.map(({ length }) => length)).toEqual(partitions.map(({ length }) => length));
    expect(parts).toEqual(parts.toSorted((a, b) => a - b));
    expect(parts.at(-1)).toBe(1);
    expect([...repository.objects.keys()].toSorted()).toEqual(before);
    expect((await verifyCheckpoint({ repository, id })).restored).toEqual([]);
  });

  test('finds each object that is flipped, cut short, exchanged or missing, and names it', async () => {
    const { repository, id } = await layered();
    const whole = new Map(repository.objects);
    const needed = [...whole.keys()].filter(
      (name) => name.startsWith(`checkpoints/${id}`) || name.startsWith(blocksPrefix),
    );
    const other = [...whole].find(([name]) => name.startsWith(blocksPrefix))![1].bytes;
    const harms: readonly ((bytes: Uint8Array) => Uint8Array | undefined)[] = [
      (bytes) => bytes.map((byte, i) => (i === bytes.length >> 1 ? byte ^ 4 : byte)),
      (bytes) => bytes.subarray(0, bytes.length - 1),
      (bytes) => (bytes === other ? Uint8Array.of(1) : other),
      () => undefined,
    ];
    let checked = 0;
    for (const name of needed) {
      if (!(await isUsed(repository, id, name))) continue;
      for (const harm of harms) {
        const stored = whole.get(name)!;
        const bytes = harm(stored.bytes);
        if (bytes === undefined) repository.objects.delete(name);
        else repository.objects.set(name, { ...stored, bytes });
        const found = await verifyCheckpoint({ repository, cluster, id });
        if (bytes === undefined && name === manifestName(id)) expect(found.state).toBe('none');
        else {
          expect(found.state, name).toBe('damaged');
          expect(found.findings[0]?.object).toBe(name);
          expect(found.findings[0]?.what).toContain(name);
        }
        repository.objects.set(name, stored);
        checked++;
      }
    }
    expect(checked).toBeGreaterThan(40);
    expect((await verifyCheckpoint({ repository, cluster, id })).state).toBe('good');
  });

  test('counts what it does not name, and restores nothing of what is broken', async () => {
    const { repository, id } = await layered();
    for (const name of repository.objects.keys()) if (name.startsWith(blocksPrefix)) repository.objects.delete(name);
    scratches.length = 0;
    const found = await verifyCheckpoint({ repository, id, drill });
    expect(found.findings).toHaveLength(20);
    expect(found.findingsTotal).toBeGreaterThan(20);
    expect(scratches).toEqual([]);
  });

  test('says so where there is none, or it was deleted', async () => {
    const { repository, id } = await layered();
    const none = newCheckpointId({ nowMs: 0, random: new Uint8Array(10) });
    expect(await verifyCheckpoint({ repository, id: none })).toMatchObject({ state: 'none' });
    await createTombstone(repository, { id, deletedAtMs: 0, by: 'test' }, {});
    expect(await verifyCheckpoint({ repository, id })).toMatchObject({ state: 'deleted' });
  });

  test('disposes of its engine when it is interrupted or the engine fails', async () => {
    const { repository, id } = await layered();
    const controller = new AbortController();
    scratches.length = 0;
    const stop = (): Promise<SortedRecords> => {
      controller.abort(new Error('enough'));
      return drill();
    };
    await expect(verifyCheckpoint({ repository, id, drill: stop, signal: controller.signal })).rejects.toThrow(
      'enough',
    );
    const full = async (): Promise<SortedRecords> => {
      const scratch = await drill();
      scratch.restore = () => Promise.reject(new Error('no room'));
      return scratch;
    };
    await expect(verifyCheckpoint({ repository, id, drill: full })).rejects.toThrow('no room');
    expect(scratches.map(({ disposed }) => disposed)).toEqual([1, 1]);
  });
});

/** Whether the checkpoint is another one without it. */
async function isUsed(repository: MemoryRepository, id: string, name: string): Promise<boolean> {
  const stored = repository.objects.get(name)!;
  repository.objects.delete(name);
  const { state } = await verifyCheckpoint({ repository, cluster, id });
  repository.objects.set(name, stored);
  return state !== 'good';
}
