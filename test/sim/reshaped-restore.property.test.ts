// Restores across splits and merges: from any checkpoint there is, to any moment after it, each entry is there once and as
// it was, whatever partitions there were in between; in those of the moment, of the checkpoint, or another number.
import { randomBytes } from 'node:crypto';
import { collectArchive, MemoryRepository, restorePartition } from '@statestore/checkpoint';
import { loadState, slotRanges } from '@statestore/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Materialised, materialise } from '../../services/node/src/checkpoint/materialise.ts';
import { planRestore, type RestoreMoment } from '../../services/node/src/checkpoint/restore-plan.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { scratchOf } from './archived-history.ts';
import { entriesOf } from './reshaped-entries.ts';
import { cluster, ReshapedHistory } from './reshaped-history.ts';

const { signal } = new AbortController();

interface Restored {
  readonly entries: readonly string[];
  readonly made: Materialised;
}

async function restored(source: MemoryRepository, moment: RestoreMoment, partitions?: number): Promise<Restored> {
  const into = new MemoryRepository();
  const plan = await planRestore({ repository: source, cluster, moment, signal });
  const made = await materialise({
    plan,
    source,
    into,
    cluster: 'other',
    partitions,
    openScratch: scratchOf('memory'),
    conductor: 'n',
    version: '1',
    random: (bytes) => randomBytes(bytes),
    signal,
  });
  const again = await planRestore({
    repository: into,
    cluster: 'other',
    moment: {
      kind: 'checkpoint',
      id: undefined,
    },
    signal,
  });
  const entries: string[] = [];
  for (const { manifest } of again.partitions) {
    const target = new MemoryEngine();
    await restorePartition({ repository: into, manifest, target, signal });
    const { slots, slotsEpoch, fenced } = loadState(target);
    expect(fenced).toBeUndefined();
    expect(slotsEpoch).toBe(manifest.summary.slotsEpoch);
    if (slots !== undefined) expect(slotRanges.isSameSlots(slots, manifest.summary.slots)).toBe(true);
    entries.push(...entriesOf(target));
  }
  return { entries: entries.toSorted(), made };
}

type Deed =
  | { readonly kind: 'put'; readonly store: number; readonly key: number; readonly ttl: boolean }
  | { readonly kind: 'remove'; readonly store: number; readonly key: number }
  | { readonly kind: 'clear'; readonly store: number }
  | { readonly kind: 'sweep'; readonly which: number }
  | { readonly kind: 'split'; readonly which: number }
  | { readonly kind: 'merge'; readonly which: number; readonly into: number }
  | { readonly kind: 'checkpoint' };

const store = fc.nat({ max: 2 });
const key = fc.nat({ max: 40 });
const which = fc.nat({ max: 7 });
const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('put' as const), store, key, ttl: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), store, key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), store }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('sweep' as const), which }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('split' as const), which }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('merge' as const), which, into: which }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'checkpoint' as const }) },
);

async function historyOf(
  partitions: number,
  deeds: readonly Deed[],
  source: MemoryRepository,
): Promise<ReshapedHistory> {
  const history = new ReshapedHistory(partitions);
  let value = 0;
  const put = (s: number, k: number, ttl: boolean): void =>
    history.put(`s${s}`, `key ${k}`, `v${value++}`, ttl ? 20_000 : undefined);
  // Slots that are not about to move are written to.
  const during = (): void => {
    const free = [...history.live.values()].find(({ replica }) => replica.state.fenced === undefined);
    if (free !== undefined) history.sweep(free.partition);
  };
  for (let k = 0; k < 20; k++) put(k % 3, k, k % 4 === 0);
  await history.checkpoint(source);
  let next = partitions;
  for (const each of deeds) {
    const live = [...history.live.keys()].toSorted((a, b) => a - b);
    if (each.kind === 'put') put(each.store, each.key, each.ttl);
    else if (each.kind === 'remove') history.remove(`s${each.store}`, `key ${each.key}`);
    else if (each.kind === 'clear') history.clear(`s${each.store}`);
    else if (each.kind === 'sweep') history.sweep(live[each.which % live.length]!);
    else if (each.kind === 'checkpoint') await history.checkpoint(source);
    else if (each.kind === 'split') {
      // A number that was given up comes again.
      const free = [...Array(next + 1).keys()].find((n) => !live.includes(n))!;
      next = Math.max(next, free + 1);
      if (live.length < 6) history.split(live[each.which % live.length]!, free, during);
    } else {
      const from = live[each.which % live.length]!;
      const into = live[each.into % live.length]!;
      if (from !== into) history.merge(from, into, during);
    }
  }
  await history.archive(source);
  // What goes then is not needed.
  expect(await collectArchive(source)).toMatchObject({ outcome: 'collected' });
  return history;
}

describe('a history of splits and merges', () => {
  test('each moment of it is restored', { timeout: 300_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.array(deed, { minLength: 10, maxLength: 50 }),
        fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
        async (partitions, deeds, picks) => {
          const source = new MemoryRepository();
          const history = await historyOf(partitions, deeds, source);
          const { moments } = history;
          const first = moments.findIndex(({ nanos }) => nanos >= history.checkpointedNanos);
          const some = [0, ...picks].map((pick) => moments[first + (pick % (moments.length - first))]!);
          for (const { nanos, entries, isBetween, partitions: there } of some) {
            const { entries: found, made } = await restored(source, { kind: 'time', nanos });
            expect(found).toEqual(entries);
            const own = made.manifest.partitions.map(({ partition }) => partition);
            if (!isBetween) expect(own).toEqual(there.toSorted((a, b) => a - b));
            expect(made.reached.map(({ partition }) => partition)).toEqual(own);
          }
          const last = moments.at(-1)!;
          expect((await restored(source, { kind: 'newest' })).entries).toEqual(last.entries);
          for (const count of [partitions, 5]) {
            const { entries, made } = await restored(source, { kind: 'newest' }, count);
            expect(entries).toEqual(last.entries);
            expect(made.manifest.partitions).toHaveLength(count);
          }
        },
      ),
      { numRuns: Number(process.env.RUNS ?? 12), endOnFailure: true },
    );
  });
});
