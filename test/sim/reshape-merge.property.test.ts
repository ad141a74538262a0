// What a merge stages beside a target that is written to is what the source has at the fence, whatever lay there before:
// after it is absorbed every replica of the target is a state that proves itself, has all entries of both, and nothing
// is left behind that is not its own.
import type { Absorb, BinaryString, Command, Fenced, PartitionState } from '@statestore/core';
import { childRecords, keyspace, limits, OwnRecords, slotRanges, verifyState } from '@statestore/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ForeignCleaner } from '../../services/node/src/reshape/foreign-cleaner.ts';
import { isStaged, openMergeWork } from '../../services/node/src/reshape/merge-work.ts';
import type { MergeWork, StagedMerge } from '../../services/node/src/reshape/reshape-work.ts';
import type { Step } from './arbitrary-commands.ts';
import { countedIn } from './reshape/reshape-states.ts';
import { anySteps, filled, InterleavedTime, WrittenReplica } from './reshape-work.fixture.ts';
import { dump, SortedMap } from './sorted-map.ts';

const { signal } = new AbortController();
const everything = [{ start: 0, end: limits.slotCount }];
const slots = [
  { start: 100, end: 1500 },
  { start: 3000, end: 3500 },
];
const [splitId, mergeId] = ['reshape-number-1', 'reshape-number-2'];
const [splitEpoch, mergeEpoch] = [9n, 12n];
const merge = { id: '00112233-4455-6677-8899-aabbccddeeff', source: 1, target: 0, slots };

function fenceOf(reshape: string, slotsEpoch: bigint, ownedBefore: typeof slots): Command {
  return { body: { kind: 'fence', reshape, slots, ownedBefore, slotsEpoch } };
}

function applied(replica: WrittenReplica, body: Command['body']): string {
  return replica.apply([{ body }])[0]!.code;
}

/** A node that has both partitions; the second one takes every batch of the first one's. */
interface Node {
  readonly source: WrittenReplica;
  readonly target: WrittenReplica;
}

/** A partition that was split, and the child, which is to be merged back. */
function splitNodes(steps: readonly Step[]): readonly [Node, Node] {
  const targets = [new WrittenReplica(0), new WrittenReplica(0)] as const;
  const [target] = targets;
  target.apply(filled());
  for (const { commands, elapsedMs } of steps) target.apply(commands, elapsedMs);
  expect(applied(target, fenceOf(splitId, splitEpoch, everything).body)).toBe('done');
  const fenced = target.state.fenced!;
  const child = { partition: 1, generation: 9, slotsEpoch: splitEpoch };
  const records = new SortedMap(childRecords(target.state, target.reader, child));
  const stores = countedIn(target.state, target.reader, slots);
  const handOver = { kind: 'handOver', reshape: splitId, slotsEpoch: splitEpoch, stores } as const;
  expect(applied(target, { ...handOver, fencedPosition: fenced.position })).toBe('done');
  targets[1].follow(target);
  return [
    { source: new WrittenReplica(1, records), target: targets[0] },
    { source: new WrittenReplica(1, records.copy()), target: targets[1] },
  ];
}

function ownEntries({ state, reader }: WrittenReplica): ReadonlyMap<string, Uint8Array> {
  const own = OwnRecords.of(state, reader)!;
  const entries = new Map<string, Uint8Array>();
  for (const { key, value } of reader.range({ start: keyspace.entryPrefix, end: keyspace.expiryPrefix })) {
    const store = state.storesByOrdinal.get(keyspace.uint32At(key, 1));
    if (store !== undefined && own.has(key)) entries.set(`${store.name}/${key.slice(5)}`, value);
  }
  return entries;
}

function cleanerOf({ target }: Node, time: InterleavedTime): ForeignCleaner {
  return new ForeignCleaner({ replica: target, time, mayClean: () => true });
}

function absorbOf({ stores, revision, clockNanos }: StagedMerge, source: PartitionState): Absorb {
  return {
    kind: 'absorb',
    reshape: mergeId,
    slots,
    slotsEpoch: mergeEpoch,
    revision,
    clockNanos,
    ownedBefore: slotRanges.without(everything, slots),
    expired: source.expired,
    stores: stores.map((store) => {
      const { settings, settingsVersion, allowanceEntries, allowanceBytes } = source.stores.get(store.name)!;
      return { ...store, settings, settingsVersion, allowanceEntries, allowanceBytes };
    }),
  };
}

interface Merging {
  readonly split: readonly Step[];
  readonly before: readonly Step[];
  readonly during: readonly Step[];
  readonly after: readonly Step[];
  readonly isCleaned: boolean;
  readonly rounds: readonly [number, number];
  /** After how many rounds of each it is prepared; more: only when it is fenced. */
  readonly preparedAfter: number;
}

class World {
  readonly nodes: readonly [Node, Node];
  readonly time = new InterleavedTime();
  readonly works: readonly [MergeWork, MergeWork];

  constructor(split: readonly Step[]) {
    this.nodes = splitNodes(split);
    const [first, second] = this.nodes;
    const { time } = this;
    this.works = [openMergeWork({ merge, ...first, time }), openMergeWork({ merge, ...second, time })];
  }

  #written = 0;

  /** To both partitions, to one, to the other: also clears. */
  write({ commands, elapsedMs }: Step): void {
    const to = this.#written++ % 3;
    if (to !== 2) this.nodes[0].source.apply(commands, elapsedMs);
    if (to !== 1) this.nodes[0].target.apply(commands, elapsedMs);
    this.follow();
  }

  follow(): void {
    this.nodes[1].source.follow(this.nodes[0].source);
    this.nodes[1].target.follow(this.nodes[0].target);
  }

  writesBetween(steps: readonly Step[]): void {
    let next = 0;
    this.time.between = () => {
      const step = steps[next++];
      if (step !== undefined) this.write(step);
    };
  }

  prepare(stores: readonly string[]): void {
    const ownedBefore = slotRanges.without(everything, slots);
    expect(applied(this.nodes[0].target, { kind: 'prepareAbsorb', reshape: mergeId, stores, ownedBefore })).toBe(
      'done',
    );
    this.follow();
  }

  /** As the driver does: until both have staged the same, under the ordinals of now. */
  async finish(fenced: Fenced): Promise<{ readonly staged: StagedMerge; readonly absorb: Absorb }> {
    for (let attempt = 0; ; attempt++) {
      expect(attempt).toBeLessThan(50);
      const staged = await this.works[0].finish(fenced, signal);
      await this.works[1].finish(fenced, signal);
      if (staged.unprepared.length > 0) {
        this.prepare(staged.unprepared);
        continue;
      }
      const absorb = absorbOf(staged, this.nodes[0].source.state);
      const { between } = this.time;
      this.time.between = () => undefined;
      const all = [];
      for (const { target } of this.nodes) all.push(await isStaged(target, absorb, signal, this.time));
      this.time.between = between;
      if (all.every(Boolean)) return { staged, absorb };
    }
  }
}

async function merges({ split, before, during, after, isCleaned, rounds, preparedAfter }: Merging): Promise<void> {
  const world = new World(split);
  const { nodes, time, works } = world;
  for (const step of before) world.write(step);
  if (isCleaned) expect(await cleanerOf(nodes[1], time).clean()).toBe(true);
  world.writesBetween(during);
  for (let n = 0; n < Math.max(...rounds); n++) {
    if (n === preparedAfter) world.prepare(works[0].unprepared());
    for (const [at, work] of works.entries()) if (n < rounds[at]!) await work.round(signal);
  }
  time.between = () => undefined;
  const { source, target } = nodes[0];
  expect(applied(source, fenceOf(mergeId, mergeEpoch, slots).body)).toBe('done');
  world.follow();
  const fenced = source.state.fenced!;
  const sourceEntries = ownEntries(source);
  const end = keyspace.idempotencyExpiryEnd(Number(fenced.clockNanos / 1_000_000n) + limits.deduplicationWindowMs);
  const remembered = [...source.reader.keys({ start: keyspace.idempotencyExpiryPrefix, end })];
  world.writesBetween(after);
  const { staged, absorb } = await world.finish(fenced);
  time.between = () => undefined;
  const told = staged.remembered.map(({ id, expiresAtMs }) => keyspace.idempotencyExpiryKey(expiresAtMs, id));
  expect(told.toSorted()).toEqual(remembered);
  const targetEntries = ownEntries(target);
  expect(applied(target, { kind: 'remember', reshape: mergeId, records: staged.remembered })).toBe('done');
  const handOver = { kind: 'handOver', reshape: mergeId, slotsEpoch: mergeEpoch, stores: staged.stores } as const;
  expect(applied(source, { ...handOver, fencedPosition: fenced.position })).toBe('done');
  expect(applied(target, absorb)).toBe('done');
  world.follow();
  for (const node of nodes) {
    expect(verifyState(node.source.state, node.source.reader)).toEqual([]);
    expect(verifyState(node.target.state, node.target.reader)).toEqual([]);
    expect(await cleanerOf(node, time).clean()).toBe(true);
    expect(verifyState(node.target.state, node.target.reader)).toEqual([]);
  }
  expect(ownEntries(target)).toEqual(new Map([...targetEntries, ...sourceEntries]));
  expect(dump(nodes[1].target.reader)).toEqual(dump(target.reader));
  expect(foreignOf(target)).toEqual([]);
}

function foreignOf({ state, reader }: WrittenReplica): readonly BinaryString[] {
  const own = OwnRecords.of(state, reader)!;
  return [...reader.keys({})].filter((key) => !own.has(key));
}

const merging: fc.Arbitrary<Merging> = fc.record({
  split: anySteps(6),
  before: anySteps(8),
  during: anySteps(20),
  after: anySteps(8),
  isCleaned: fc.boolean(),
  rounds: fc.tuple(fc.nat(3), fc.nat(3)),
  preparedAfter: fc.nat(3),
});

describe('a merge', () => {
  test('removes what lies there of stores that the other one has cleared', async () => {
    const none = { split: [], during: [], after: [], isCleaned: false, rounds: [2, 0], preparedAfter: 0 } as const;
    const clear = { elapsedMs: 1, commands: [{ body: { kind: 'clear', store: 'e' } }] } as const;
    const nothing = { elapsedMs: 1, commands: [] } as const;
    await merges({ ...none, before: [nothing, clear] });
  });

  test('stages what is to be absorbed, whatever lay there', { timeout: 300_000 }, async () => {
    await fc.assert(fc.asyncProperty(merging, merges), { numRuns: 25 });
  });
});
