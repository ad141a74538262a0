import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemTime } from '../time.ts';
import { ReplicaMemory, type ReplicaMemoryOptions } from './replica-memory.ts';

let dir = '';
let failures: unknown[];
const opened: ReplicaMemory[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'statestore-replica-'));
  failures = [];
});
afterEach(async () => {
  for (const memory of opened.splice(0)) await memory.end();
  await rm(dir, { recursive: true, force: true });
});

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const saved = join('data', 'snapshot');

async function open(more: Partial<ReplicaMemoryOptions> = {}): Promise<ReplicaMemory> {
  await mkdir(join(dir, 'data'), { recursive: true });
  const onSaveFailed = (error: unknown): number => failures.push(error);
  const memory = await ReplicaMemory.open({ folder: join(dir, 'data'), time: systemTime, onSaveFailed, ...more });
  opened.push(memory);
  return memory;
}
const commit = ({ engine }: ReplicaMemory, key: string, value = 'v'): Promise<void> =>
  engine.commit(new Map([[key, bytes(value)]]), engine.position + 1n);

/** A folder where the snapshot should come: it cannot be written, and can again when that is gone. */
async function obstruct(): Promise<() => Promise<void>> {
  const path = join(dir, `${saved}.new`);
  await mkdir(path);
  await writeFile(join(path, 'in the way'), '');
  return () => rm(path, { recursive: true });
}

describe('what a process holds of a replica', () => {
  test('outlives its engine being closed, and is gone with the process, but for what was saved', async () => {
    const memory = await open();
    await commit(memory, 'a');
    await memory.engine.close();
    expect(memory.engine.get('a')).toEqual(bytes('v'));
    await memory.save();
    await commit(memory, 'b');
    expect(memory.savedPosition).toBe(1n);
    const next = await open();
    expect([next.engine.position, [...next.engine.keys({})], next.savedPosition]).toEqual([1n, ['a'], 1n]);
    expect((await open({ folder: dir })).engine.position).toBe(0n);
  });

  test('is saved when as much was written since as is said, and as it holds', async () => {
    const memory = await open({ snapshotBytes: 100 });
    await commit(memory, 'a', 'x'.repeat(50));
    expect(await readdir(join(dir, 'data'))).toEqual([]);
    await commit(memory, 'b', 'x'.repeat(50));
    await expect.poll(() => memory.savedPosition).toBe(2n);
    // Twice as much is there: as much has to be written again.
    await commit(memory, 'a', 'x'.repeat(99));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(memory.savedPosition).toBe(2n);
    await commit(memory, 'a', 'x'.repeat(99));
    await expect.poll(() => memory.savedPosition).toBe(4n);
  });

  test('is kept on while it cannot be saved; that is told, and tried again, not at once', async () => {
    let now = 0;
    const memory = await open({ snapshotBytes: 10, time: { ...systemTime, elapsedMs: () => now } });
    const clear = await obstruct();
    await commit(memory, 'a', 'x'.repeat(20));
    await expect.poll(() => failures.length).toBe(1);
    await commit(memory, 'b', 'x'.repeat(90));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([failures.length, memory.savedPosition]).toEqual([1, 0n]);
    now = 3_600_000;
    await clear();
    await commit(memory, 'c', 'x'.repeat(200));
    await expect.poll(() => memory.savedPosition).toBe(3n);
  });

  test('what is worth nothing unsaved is refused until it is saved', async () => {
    const memory = await open();
    await commit(memory, 'a');
    const clear = await obstruct();
    const writes = new Map([['log', bytes('the next one')]]);
    await expect(memory.commitAndSave(writes)).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(memory.settle()).rejects.toMatchObject({ code: 'EISDIR' });
    await clear();
    await memory.settle();
    expect((await open()).engine.get('log')).toEqual(bytes('the next one'));
    await memory.settle();
  });

  test('saves one at a time, and nothing after its end', async () => {
    const memory = await open({ snapshotBytes: 10 });
    for (let i = 0; i < 20; i++) {
      await commit(memory, `k${i}`, 'x'.repeat(30));
      void memory.save();
    }
    await memory.save();
    expect(memory.savedPosition).toBe(20n);
    void memory.save();
    await memory.end();
    await memory.end();
    await rm(join(dir, 'data'), { recursive: true });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await readdir(dir)).toEqual([]);
    expect(failures).toEqual([]);
  });

  test('that is damaged is not begun from', async () => {
    await mkdir(join(dir, 'data'));
    await writeFile(join(dir, saved), 'SSSNAP01 and nothing more');
    await expect(open()).rejects.toMatchObject({ code: 'data_corrupt' });
  });
});
