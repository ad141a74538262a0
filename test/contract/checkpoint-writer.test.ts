// How a partition is written and read, beside what is written: what is used again, what a failing or slow repository
// does to it, how much it holds, when it lets others run.
import { constants, zstdCompressSync } from 'node:zlib';
import type { Repository, WriteProgress } from '@statestore/checkpoint';
import { MemoryRepository, readPartition, readPartitionParts, restorePartition } from '@statestore/checkpoint';
import type { Command } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import { describe, expect, test, vi } from 'vitest';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { dump } from '../sim/sorted-map.ts';
import { checkpointOf, laterCommands, manifestOf, putsOf, signal, States } from './checkpoint-states.ts';

const ids = [1, 2, 3].map((n) => `01970000-0000-7000-8000-00000000000${n}`) as [string, string, string];

/** As a memory repository, but for what is given. */
class Changed extends MemoryRepository {
  readonly #create: NonNullable<Repository['create']>;

  constructor(create: (real: MemoryRepository['create']) => Repository['create']) {
    super();
    this.#create = create((name, bytes) => super.create(name, bytes));
  }

  override create(name: string, bytes: Uint8Array): Promise<'created' | 'exists'> {
    return this.#create(name, bytes);
  }
}

async function dumpOf(repository: MemoryRepository, id: string): Promise<string[]> {
  const target = new MemoryEngine();
  await restorePartition({ repository, manifest: await manifestOf(repository, id), target, signal });
  return dump(target);
}

function large(): Command[] {
  const value = new Uint8Array(limits.valueBytesMax).map((_, n) => n * 7);
  const put = { kind: 'put', condition: { kind: 'none' }, contentType: '', ttl: { kind: 'never' } } as const;
  const some = Array.from({ length: 12 }, (_, n) => ({ ...put, key: `${n}`.repeat(512).slice(0, 1024), value }));
  const odd = [
    { ...put, key: 'x', value: new Uint8Array(0) },
    { ...put, key: '\xff'.repeat(1024), value: new Uint8Array(1) },
  ];
  return [...some, ...odd].map((one) => ({
    body: { kind: 'mutate', store: 'large', atomic: false, checks: [], operations: [one] },
  }));
}

describe('a checkpoint of a partition', () => {
  test('uploads nothing again that did not change', async () => {
    const states = new States();
    const repository = new MemoryRepository();
    const first = await checkpointOf(states, repository, ids[0]);
    expect(first.uploadedBytes).toBeGreaterThan(0);
    for (const [mode, id, kind] of [
      ['full', ids[1], 'full'],
      ['auto', ids[2], 'same'],
    ] as const) {
      const again = await checkpointOf(states, repository, id, { previous: first.manifest, mode });
      expect([again.uploadedBytes, again.plan.kind]).toEqual([0, kind]);
      expect([...repository.objects.keys()].filter((name) => name.startsWith(`blocks/${id}`))).toEqual([]);
      expect(await dumpOf(repository, id)).toEqual(dump(states.replica.records));
      expect(again.summary.storedBytes).toBeGreaterThan(again.summary.uploadedBytes);
    }
  });

  test('of large values and long keys is read back', async () => {
    const states = new States();
    states.apply([large()]);
    const repository = new MemoryRepository();
    const written = await checkpointOf(states, repository, ids[0], { cut: {}, level: 3 });
    expect(Math.max(...written.manifest.layers[0]!.blocks.map(({ bytes }) => Number(bytes)))).toBeLessThan(
      limits.checkpointBlockBytesMax + limits.valueBytesMax + 4096,
    );
    expect(await dumpOf(repository, ids[0])).toEqual(dump(states.replica.records));
  });

  test('takes nothing of another history, cluster, partition or later position', async () => {
    const states = new States();
    const repository = new MemoryRepository();
    const first = await checkpointOf(states, repository, ids[0]);
    const other = new States();
    other.apply([[putsOf('users', ['diverged'], 'other')], [putsOf('users', ['more'], 'other')]]);
    states.apply([[putsOf('users', ['here'], 'one')]]);
    const later = await checkpointOf(states, repository, ids[1], { previous: first.manifest, mode: 'layer' });
    expect(later.plan.kind).toBe('layer');
    const of = async (previous: typeof first.manifest, source = other) => {
      const target = new MemoryRepository();
      for (const [name, object] of repository.objects) target.objects.set(name, object);
      const written = await checkpointOf(source, target, ids[2], { previous, mode: 'layer' });
      expect(await dumpOf(target, ids[2])).toEqual(dump(source.replica.records));
      return written.plan;
    };
    expect(await of(later.manifest)).toMatchObject({
      kind: 'full',
      why: expect.stringContaining('does not come from') as string,
    });
    expect(await of(later.manifest, new States())).toMatchObject({
      kind: 'full',
      why: expect.stringContaining('later') as string,
    });
    for (const foreign of [{ cluster: 'blue' }, { summary: { ...first.manifest.summary!, partition: 9 } }])
      expect(await of({ ...first.manifest, ...foreign }, states)).toMatchObject({ kind: 'full' });
    const fewer = { ...first.manifest.summary!, slots: [] };
    expect(await of({ ...first.manifest, summary: fewer }, states)).toMatchObject({ kind: 'full' });
  });

  test('is created though the outcome of uploads was not known, or an attempt before made some of it', async () => {
    const states = new States();
    let calls = 0;
    const unsure = new Changed((create) => async (name, bytes) => {
      const outcome = await create(name, bytes);
      if (++calls % 2 === 1) throw new StateStoreError('outcome_unknown', 'the answer was lost');
      return outcome;
    });
    await checkpointOf(states, unsure, ids[0]);
    expect(await dumpOf(unsure, ids[0])).toEqual(dump(states.replica.records));
    // Compressed otherwise, by another version: its content counts.
    const before = new MemoryRepository();
    const written = await checkpointOf(states, before, ids[0], { level: 1 });
    const again = new MemoryRepository();
    for (const [name, { bytes }] of before.objects) {
      if (!name.startsWith('blocks/')) continue;
      const { zstdDecompressSync } = await import('node:zlib');
      const other = zstdCompressSync(zstdDecompressSync(bytes), {
        params: { [constants.ZSTD_c_compressionLevel]: 19 },
      });
      await again.put(name, other);
    }
    await checkpointOf(states, again, ids[0]);
    expect(await dumpOf(again, ids[0])).toEqual(dump(states.replica.records));
    // One that is damaged does not count.
    const [name] = [...again.objects.keys()];
    const damaged = new MemoryRepository();
    await damaged.put(name!, new Uint8Array(10));
    await expect(checkpointOf(states, damaged, ids[0])).rejects.toMatchObject({
      code: 'data_corrupt',
      message: expect.stringContaining(name!) as string,
    });
    expect(written.plan.kind).toBe('full');
  });

  test('does not take the manifest of another attempt for its own', async () => {
    const states = new States();
    const repository = new MemoryRepository();
    await checkpointOf(states, repository, ids[0]);
    await checkpointOf(states, repository, ids[0]);
    states.apply(laterCommands());
    await expect(checkpointOf(states, repository, ids[0])).rejects.toMatchObject({ code: 'precondition_failed' });
  });

  test.each([true, false])('finds out what the repository did not keep (read back: %s)', async (readBack) => {
    const states = new States();
    const forgetful = new Changed(
      (create) => (name, bytes) => create(name, name.startsWith('blocks/') ? bytes.subarray(1) : bytes),
    );
    await expect(checkpointOf(states, forgetful, ids[0], { readBack })).rejects.toMatchObject({
      code: 'data_corrupt',
      message: expect.stringMatching(/^blocks\//) as string,
    });
  });

  test('that fails or is aborted leaves nothing under way, and tells why', async () => {
    const states = new States();
    states.apply([large()]);
    for (const failAt of [1, 3, 8]) {
      let calls = 0;
      let underWay = 0;
      const failing = new Changed((create) => async (name, bytes) => {
        underWay++;
        await new Promise((resolve) => setTimeout(resolve, 5));
        underWay--;
        if (++calls === failAt) throw new StateStoreError('unavailable', 'no answer');
        return create(name, bytes);
      });
      await expect(checkpointOf(states, failing, ids[0])).rejects.toMatchObject({ code: 'unavailable' });
      expect(underWay).toBe(0);
      const after = calls;
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(calls).toBe(after);
    }
    for (const abortAt of [0, 1, 3]) {
      const abort = new AbortController();
      let turns = 0;
      if (abortAt === 0) abort.abort(new Error('too late'));
      const turn = async (): Promise<void> => void (++turns === abortAt && abort.abort(new Error('too late')));
      const repository = new MemoryRepository();
      await expect(checkpointOf(states, repository, ids[0], { signal: abort.signal, turn })).rejects.toThrow(
        'too late',
      );
      expect([...repository.objects.keys()].filter((name) => name.startsWith('checkpoints/'))).toEqual([]);
    }
  });

  test('holds a bounded number of bytes while the repository is slow', async () => {
    const states = new States();
    states.apply([large(), large().map(renamed), large().map(renamed), large().map(renamed)]);
    const waiting: (() => void)[] = [];
    const slow = new Changed((create) => async (name, bytes) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return create(name, bytes);
    });
    let read = 0;
    const reader = counting(states, (bytes) => (read += bytes));
    const written = checkpointOf(states, slow, ids[0], { reader, cut: {} });
    await vi.waitFor(() => expect(waiting.length).toBe(limits.checkpointTransfersMax), { timeout: 20_000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(waiting.length).toBe(limits.checkpointTransfersMax);
    expect(read).toBeLessThan(limits.checkpointInFlightBytes + 3 * limits.checkpointBlockBytesMax);
    const timer = setInterval(() => waiting.splice(0).forEach((go) => go()), 1);
    await written;
    clearInterval(timer);
    expect(read).toBeGreaterThan(limits.checkpointInFlightBytes + 3 * limits.checkpointBlockBytesMax);
  });

  test('lets others run, and tells how far it is', async () => {
    const states = new States();
    let turns = 0;
    const told: WriteProgress[] = [];
    const written = await checkpointOf(states, new MemoryRepository(), ids[0], {
      turn: () => void turns++,
      onProgress: (progress) => told.push(progress),
    });
    expect(turns).toBeGreaterThanOrEqual(Math.floor(written.records / limits.checkpointTurnRecords));
    expect(told.length).toBeGreaterThan(3);
    for (const [at, { part, records }] of told.entries()) {
      expect(part).toBeLessThan(1);
      if (at > 0) expect([part >= told[at - 1]!.part, records > told[at - 1]!.records]).toEqual([true, true]);
    }
    expect(written).toMatchObject({ part: 1, reusedBytes: 0 });
  });
});

describe('reading a partition', () => {
  test('fetches a few blocks ahead, and none after it was left or aborted', async () => {
    const states = new States();
    const repository = new MemoryRepository();
    await checkpointOf(states, repository, ids[0], { cut: { targetBytes: 50, maxBytes: 100 } });
    const manifest = await manifestOf(repository, ids[0]);
    const get = vi.spyOn(repository, 'get');
    for await (const record of readPartition({ repository, manifest, signal })) {
      expect(record.key).toBe('\x01');
      break;
    }
    const fetched = get.mock.calls.length;
    expect(fetched).toBeLessThanOrEqual(limits.checkpointTransfersMax + 1);
    expect(manifest.layers[0]!.blocks.length).toBeGreaterThan(2 * limits.checkpointTransfersMax);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(get.mock.calls.length).toBe(fetched);
    const abort = new AbortController();
    get.mockImplementation(async () => {
      abort.abort(new Error('too late'));
      throw abort.signal.reason;
    });
    const read = async (): Promise<void> => {
      for await (const _ of readPartitionParts({ repository, manifest, signal: abort.signal }));
    };
    await expect(read()).rejects.toThrow('too late');
  });

  test('tells how far it is, and reads a range alone', async () => {
    const states = new States();
    const repository = new MemoryRepository();
    const first = await checkpointOf(states, repository, ids[0]);
    states.apply(laterCommands());
    await checkpointOf(states, repository, ids[1], { previous: first.manifest, mode: 'layer' });
    const manifest = await manifestOf(repository, ids[1]);
    const parts: number[] = [];
    const read = readPartitionParts({ repository, manifest, signal, onProgress: ({ part }) => parts.push(part) });
    for await (const _ of read);
    expect(parts.at(-1)).toBeCloseTo(1);
    expect(parts.toSorted((a, b) => a - b)).toEqual(parts);
    const all = [...states.replica.records.range({})];
    for (const range of [
      { start: '\x10', end: '\x11' },
      { start: all[20]!.key, end: all[30]!.key },
      { start: all[45]!.key, end: '' },
    ]) {
      const found: unknown[] = [];
      for await (const { key, value } of readPartition({ repository, manifest, range, signal }))
        found.push([key, Uint8Array.from(value)]);
      const inside = all.filter(({ key }) => key >= range.start && (range.end === '' || key < range.end));
      expect(found).toEqual(inside.map(({ key, value }) => [key, Uint8Array.from(value)]));
    }
  });
});

let renames = 0;

function renamed(command: Command): Command {
  if (command.body.kind !== 'mutate') return command;
  const operations = command.body.operations.map((one) => ({ ...one, key: `${renames++}${one.key}`.slice(0, 1024) }));
  return { body: { ...command.body, operations } };
}

function counting({ replica }: States, read: (bytes: number) => void) {
  const { records } = replica;
  return {
    get: records.get.bind(records),
    keys: records.keys.bind(records),
    *range(range: object) {
      for (const record of records.range(range)) {
        read(record.value.length);
        yield record;
      }
    },
  };
}
