// Building a split's child and staging a merge on replicas that run and are written to meanwhile, with each engine.
import type { Fenced, Split } from '@statestore/core';
import {
  bytesFromBinary,
  childRecords,
  incarnationKey,
  limits,
  loadState,
  slotOf,
  slotRanges,
  verifyState,
} from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Engine } from '../../services/node/src/engine/engine.ts';
import type { Partition } from '../../services/node/src/partition.ts';
import { ForeignCleaner } from '../../services/node/src/reshape/foreign-cleaner.ts';
import { isStaged, openMergeWork } from '../../services/node/src/reshape/merge-work.ts';
import type { BuiltChild } from '../../services/node/src/reshape/reshape-work.ts';
import { openSplitWork } from '../../services/node/src/reshape/split-work.ts';
import { systemTime } from '../../services/node/src/time.ts';
import { dump, SortedMap } from '../sim/sorted-map.ts';
import { configure, done, fill, mutate, put, Replicas, reshaped, Writer } from './reshape-fixture.ts';

const { signal } = new AbortController();
const time = systemTime;
const everything = [{ start: 0, end: limits.slotCount }];
const slots = [{ start: 2048, end: 4096 }];
const split: Split = {
  kind: 'split',
  id: '00112233-4455-6677-8899-aabbccddeeff',
  source: 0,
  target: 1,
  slots,
  slotsEpoch: 5n,
  log: { generation: 5, incarnation: '00000000-0000-4000-8000-000000000005' },
};
const reshape = 'reshape-number-1';
const merging = 'reshape-number-2';
const fence = { kind: 'fence', reshape, slots, ownedBefore: everything, slotsEpoch: 5n } as const;

describe.each(['memory', 'lmdb'] as const)('with the %s engine', (kind) => {
  let replicas: Replicas;
  beforeEach(async () => {
    replicas = await Replicas.make(kind);
  });
  afterEach(() => replicas.close());

  /** Two replicas of a partition with something in it. */
  async function filled(entries = 3000): Promise<readonly [Partition, Partition]> {
    const both = [await replicas.open(0), await replicas.open(0)] as const;
    await fill(both[0], 'many', entries);
    await fill(both[0], 'some', 700);
    await done(both[0], configure('limited', 1));
    return both;
  }

  async function fenced(partition: Partition, others: readonly Partition[]): Promise<Fenced> {
    const position = await done(partition, fence);
    for (const other of others) await other.appliedAfter(position - 1n);
    return partition.state.fenced!;
  }

  const handOver = (fence_: Fenced, { stores }: Pick<BuiltChild, 'stores'>) =>
    ({ kind: 'handOver', reshape, slotsEpoch: 5n, fencedPosition: fence_.position, stores }) as const;

  function expected({ state, reader }: Partition, { incarnation }: BuiltChild): readonly string[] {
    const child = { partition: 1, generation: 5, slotsEpoch: 5n };
    return dump(
      new SortedMap([...childRecords(state, reader, child), [incarnationKey, bytesFromBinary(incarnation)] as const]),
    );
  }

  test(
    'children of a partition that is written to are alike on all replicas, and serve',
    { timeout: 60_000 },
    async () => {
      const both = await filled();
      const engines = [await replicas.engine('child-0'), await replicas.engineToClose('child-1')] as const;
      const writer = new Writer(both[0], 7);
      const works = [];
      for (const [at, source] of both.entries())
        works.push(await openSplitWork({ split, source: reshaped(source), engine: engines[at]!, time }));
      const reported: number[] = [];
      const first = await works[0]!.round(signal, ({ part }) => reported.push(part));
      expect(first.records).toBeGreaterThan(3000);
      expect(reported.length).toBeGreaterThan(10);
      expect(reported.toSorted((a, b) => a - b)).toEqual(reported);
      for (let n = 0; n < 5; n++) await works[0]!.round(signal);
      await works[1]!.round(signal);
      const fence_ = await fenced(both[0], both);
      const built = await Promise.all(works.map((work) => work.finish(fence_, signal)));
      const child = expected(both[0], built[0]!);
      for (const engine of engines) expect(dump(engine)).toEqual(child);
      expect(built[0]).toEqual(built[1]);
      await done(both[0], handOver(fence_, built[0]!));
      await writer.stop();
      expect(writer.written).toBeGreaterThan(50);
      expect(verifyState(both[0].state as never, both[0].reader)).toEqual([]);
      await Promise.all(works.map((work) => work.close()));
      const { position, chain, incarnation } = built[0]!;
      const continues = { position, chain, incarnation };
      const log = await replicas.logs.create({
        partition: 1,
        generation: 5,
        first: position + 1n,
        continues,
        replicas: 1,
      });
      const opened = await replicas.open(1, engines[0], log);
      const key = Array.from({ length: 700 }, (_, n) => `key-${n}`).find((one) => slotOf('served', one) >= 2048)!;
      await done(opened, mutate('served', [put(key, 'by the child')]));
      expect(opened.get('served', key)?.value).toEqual(bytesFromBinary('by the child'));
      expect(verifyState(opened.state as never, opened.reader)).toEqual([]);
    },
  );

  test(
    'a builder whose process ended goes on with what is there, and trusts none of it',
    { timeout: 60_000 },
    async () => {
      const both = await filled();
      let engine: Engine = await replicas.engine('child');
      const source = reshaped(both[0]);
      const whole = await openSplitWork({ split, source, engine, time });
      await whole.round(signal);
      await whole.close();
      const writer = new Writer(both[0], 11);
      for (let n = 0; n < 3; n++) {
        if (kind === 'lmdb') {
          await engine.close();
          engine = await replicas.engine('child');
        }
        const stop = new AbortController();
        const work = await openSplitWork({ split, source, engine, time });
        const left = work.round(stop.signal, () => stop.abort(new Error('the process ended')));
        await expect(left).rejects.toThrow('the process ended');
        await work.close();
      }
      await writer.stop();
      const fence_ = await fenced(both[0], both);
      const work = await openSplitWork({ split, source, engine, time });
      const built = await work.finish(fence_, signal);
      expect(dump(engine)).toEqual(expected(both[0], built));
      await work.close();
      await engine.close();
    },
  );

  test('an engine that holds something else is made the child’s', async () => {
    const both = await filled(300);
    const engine = await replicas.engineToClose('child');
    const other = await replicas.open(9);
    await fill(other, 'other', 900);
    await other.sync();
    await engine.commit(new Map(Array.from(other.reader.range({}), ({ key, value }) => [key, value])), 1_000_000n);
    const fence_ = await fenced(both[0], both);
    const work = await openSplitWork({ split, source: reshaped(both[0]), engine, time });
    const built = await work.finish(fence_, signal);
    expect(dump(engine)).toEqual(expected(both[0], built));
    expect(engine.position).toBe(fence_.position);
    await work.close();
  });

  test('what does not fit what was counted is damage, and no child', async () => {
    const both = await filled(300);
    const engine = await replicas.engineToClose('child');
    const commit = engine.commit.bind(engine);
    let isLost = false;
    engine.commit = (writes, position) => {
      const kept = new Map(writes);
      const entry = [...kept].find(([key, value]) => key.startsWith('\x10') && value !== undefined);
      if (!isLost && entry !== undefined) isLost = kept.delete(entry[0]);
      return commit(kept, position);
    };
    const work = await openSplitWork({ split, source: reshaped(both[0]), engine, time });
    await expect(work.round(signal)).rejects.toMatchObject({ code: 'data_corrupt' });
    expect(isLost).toBe(true);
    await work.round(signal);
    const fence_ = await fenced(both[0], both);
    const built = await work.finish(fence_, signal);
    expect(dump(engine)).toEqual(expected(both[0], built));
    await work.close();
  });

  test('a merge beside two partitions that are written to', { timeout: 60_000 }, async () => {
    const targets = await filled();
    const engines = [await replicas.engine('child-0'), await replicas.engine('child-1')] as const;
    const fence_ = await fenced(targets[0], targets);
    const built: BuiltChild[] = [];
    for (const [at, target] of targets.entries()) {
      const work = await openSplitWork({ split, source: reshaped(target), engine: engines[at]!, time });
      built.push(await work.finish(fence_, signal));
      await work.close();
    }
    await done(targets[0], handOver(fence_, built[0]!));
    const { position, chain, incarnation } = built[0]!;
    const continues = { position, chain, incarnation };
    const log = await replicas.logs.create({
      partition: 1,
      generation: 5,
      first: position + 1n,
      continues,
      replicas: 1,
    });
    const sources = [await replicas.open(1, engines[0], log), await replicas.open(1, engines[1], log)] as const;

    const writers = [new Writer(targets[0], 3), new Writer(sources[0], 4)];
    const merge = { id: '00112233-4455-6677-8899-aabbccddeeff', source: 1, target: 0, slots };
    const works = targets.map((target, at) =>
      openMergeWork({ merge, source: reshaped(sources[at]!), target: reshaped(target), time }),
    );
    const ownedBefore = slotRanges.without(everything, slots);
    const prepare = async (stores: readonly string[]): Promise<void> => {
      const at = await done(targets[0], { kind: 'prepareAbsorb', reshape: merging, stores, ownedBefore });
      await targets[1].appliedAfter(at - 1n);
    };
    await prepare(works[0]!.unprepared());
    for (let n = 0; n < 4; n++) await works[0]!.round(signal);
    await works[1]!.round(signal);
    const at = await done(sources[0], { ...fence, reshape: merging, slotsEpoch: 7n });
    await sources[1].appliedAfter(at - 1n);
    await writers[1]!.stop();
    await writers[0]!.stop();
    const fenceOfSource = sources[0].state.fenced!;
    let staged = await works[0]!.finish(fenceOfSource, signal);
    if (staged.unprepared.length > 0) {
      await prepare(staged.unprepared);
      staged = await works[0]!.finish(fenceOfSource, signal);
    }
    expect(staged.unprepared).toEqual([]);
    const { state } = sources[0];
    const absorb = {
      ...({ kind: 'absorb', reshape: merging, slots, slotsEpoch: 7n, ownedBefore } as const),
      revision: staged.revision,
      clockNanos: staged.clockNanos,
      expired: state.expired,
      stores: staged.stores.map((store) => {
        const { settings, settingsVersion, allowanceEntries, allowanceBytes } = state.stores.get(store.name)!;
        return { ...store, settings, settingsVersion, allowanceEntries, allowanceBytes };
      }),
    };
    // Sweeps go on in the target.
    const { entries, expired } = targets[0].state;
    const together = entries + expired + state.entries + state.expired;
    await targets[1].appliedAfter(targets[0].position - 1n);
    expect(await isStaged(reshaped(targets[0]), absorb, signal)).toBe(true);
    expect(await isStaged(reshaped(targets[1]), absorb, signal)).toBe(false);
    const late = await works[1]!.finish(fenceOfSource, signal);
    expect(late.stores).toEqual(staged.stores);
    expect(await isStaged(reshaped(targets[1]), absorb, signal)).toBe(true);
    await done(sources[0], {
      kind: 'handOver',
      reshape: merging,
      slotsEpoch: 7n,
      stores: staged.stores,
      fencedPosition: fenceOfSource.position,
    });
    const absorbedAt = await done(targets[0], absorb);
    await targets[1].appliedAfter(absorbedAt - 1n);
    for (const target of targets) {
      expect(target.state.entries + target.state.expired).toBe(together);
      expect(verifyState(target.state as never, target.reader)).toEqual([]);
      await target.sync();
    }
    expect((await targets[0].status()).stateHash).toBe((await targets[1].status()).stateHash);
    for (const work of works) await work.close();
  });

  test('the cleaner removes what was given away, and nothing else', { timeout: 30_000 }, async () => {
    const both = await filled();
    const fence_ = await fenced(both[0], both);
    const engine = await replicas.engineToClose('child');
    const work = await openSplitWork({ split, source: reshaped(both[0]), engine, time });
    const built = await work.finish(fence_, signal);
    await work.close();
    await done(both[0], handOver(fence_, built));
    let mayClean = false;
    let removed = 0;
    const cleaner = new ForeignCleaner({
      replica: reshaped(both[0]),
      time,
      mayClean: () => mayClean,
      onRemoved: (records) => (removed += records),
      intervalMs: 5,
    });
    cleaner.start();
    const writer = new Writer(both[0], 5);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(removed).toBe(0);
    mayClean = true;
    await expect.poll(() => cleaner.clean(), { timeout: 10_000 }).toBe(true);
    await writer.stop();
    await cleaner.close();
    expect(removed).toBeGreaterThan(built.entries);
    await both[0].sync();
    const { state, reader } = both[0];
    expect(verifyState(state as never, reader)).toEqual([]);
    const left = loadState(reader);
    for (const { name, ordinal } of left.stores.values()) {
      const keys = [...reader.keys({ start: '\x10', end: '\x11' })].filter((key) => key.charCodeAt(4) === ordinal);
      expect(keys.every((key) => slotOf(name, key.slice(5)) < 2048)).toBe(true);
    }
  });
});
