// A split's child that was built in rounds, beside a source that was written to between any two turns, is the one that is
// made in one go of the source as it was at the fence: byte for byte, whatever rounds there were, also where a builder was
// stopped in the middle and another one went on.
import type { Command, Fenced, Split } from '@statestore/core';
import {
  bytesFromBinary,
  childChain,
  childRecords,
  hashToBytes,
  incarnationKey,
  limits,
  loadState,
  verifyState,
} from '@statestore/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { childIncarnation } from '../../services/node/src/reshape/child-incarnation.ts';
import type { BuiltChild, SplitWork } from '../../services/node/src/reshape/reshape-work.ts';
import { openSplitWork } from '../../services/node/src/reshape/split-work.ts';
import type { Step } from './arbitrary-commands.ts';
import { anySteps, filled, InterleavedTime, WrittenReplica } from './reshape-work.fixture.ts';
import { dump, SortedMap } from './sorted-map.ts';

const everything = [{ start: 0, end: limits.slotCount }];
const split: Split = {
  kind: 'split',
  id: '00112233-4455-6677-8899-aabbccddeeff',
  source: 0,
  target: 7,
  slots: [
    { start: 100, end: 1500 },
    { start: 3000, end: 3500 },
  ],
  slotsEpoch: 9n,
  log: { generation: 9, incarnation: '00000000-0000-4000-8000-000000000009' },
};
const reshape = 'reshape-number-1';
const fence: Command = {
  body: {
    kind: 'fence',
    reshape,
    slots: split.slots,
    ownedBefore: everything,
    slotsEpoch: split.slotsEpoch,
  },
};

/** What the child is to be, from the source while its fence is in force. */
function expected({ replica }: WrittenReplica): readonly string[] {
  const child = { partition: split.target, generation: split.log.generation, slotsEpoch: split.slotsEpoch };
  const records = new Map(childRecords(replica.state, replica.records, child));
  const chain = hashToBytes(childChain(replica.state.fenced!, child));
  records.set(incarnationKey, bytesFromBinary(childIncarnation(split.target, chain)));
  return dump(new SortedMap(records));
}

/** How one builder goes about it. */
interface Way {
  readonly rounds: number;
  /** Of one who has not heard of the fence yet. */
  readonly lateRounds: number;
  /** After so many turns in all it is stopped, and it or another one goes on with what is there. */
  readonly stops: readonly Stop[];
}

interface Stop {
  readonly turns: number;
  /** It is only told to leave off, and goes on itself. */
  readonly isSame: boolean;
}

/** Takes turns with whatever `time` has happen between them; leaves when it is stopped. */
class Builder {
  readonly engine = new MemoryEngine();
  readonly #source: WrittenReplica;
  readonly #time: InterleavedTime;
  readonly #stops: Stop[];
  #work: SplitWork | undefined;

  constructor(source: WrittenReplica, time: InterleavedTime, stops: readonly Stop[]) {
    this.#source = source;
    this.#time = time;
    this.#stops = [...stops];
  }

  async #call<T>(run: (work: SplitWork, signal: AbortSignal) => Promise<T>): Promise<T> {
    for (;;) {
      this.#work ??= await openSplitWork({ split, source: this.#source, engine: this.engine, time: this.#time });
      const stop = new AbortController();
      const { between } = this.#time;
      const { turns, isSame } = this.#stops.shift() ?? { turns: Infinity, isSame: true };
      let left = turns;
      this.#time.between = () => {
        between();
        if (left-- === 0) stop.abort(new Error('stopped'));
      };
      try {
        return await run(this.#work, stop.signal);
      } catch (error) {
        if (!stop.signal.aborted) throw error;
        if (isSame) continue;
        await this.#work.close();
        this.#work = undefined;
      } finally {
        this.#time.between = between;
      }
    }
  }

  /** Another one goes on with what is there. */
  async restart(): Promise<void> {
    await this.#work?.close();
    this.#work = undefined;
  }

  async rounds(count: number): Promise<void> {
    for (let n = 0; n < count; n++) await this.#call((work, stopped) => work.round(stopped));
  }

  finish(fenced: Fenced): Promise<BuiltChild> {
    return this.#call((work, stopped) => work.finish(fenced, stopped));
  }
}

const way: fc.Arbitrary<Way> = fc.record({
  rounds: fc.nat(4),
  lateRounds: fc.nat(1),
  stops: fc.array(fc.record({ turns: fc.nat(12), isSame: fc.boolean() }), { maxLength: 2 }),
});

async function buildsAlike(before: readonly Step[], after: readonly Step[], ways: readonly Way[]): Promise<void> {
  const source = new WrittenReplica(0);
  source.apply(filled());
  const time = new InterleavedTime();
  let next = 0;
  const write = (steps: readonly Step[]) => (): void => {
    const step = steps[next++];
    if (step !== undefined) source.apply(step.commands, step.elapsedMs);
  };
  const builders = ways.map(({ stops }) => new Builder(source, time, stops));
  time.between = write(before);
  for (const [at, { rounds }] of ways.entries()) await builders[at]!.rounds(rounds);
  time.between = () => undefined;
  expect(source.apply([fence]).map(({ code }) => code)).toEqual(['done']);
  const fenced = source.state.fenced!;
  const child = expected(source);
  next = 0;
  time.between = write(after);
  const built: BuiltChild[] = [];
  for (const [at, { lateRounds }] of ways.entries()) await builders[at]!.rounds(lateRounds);
  for (const builder of builders) built.push(await builder.finish(fenced));
  for (const { engine } of builders) {
    expect(engine.position).toBe(fenced.position);
    expect(dump(engine)).toEqual(child);
  }
  expect(built.every((one) => JSON.stringify(told(one)) === JSON.stringify(told(built[0]!)))).toBe(true);
  const state = loadState(builders[0]!.engine);
  expect(verifyState(state, builders[0]!.engine)).toEqual([]);
  expect(built[0]).toMatchObject({ position: fenced.position, entries: state.entries, bytes: state.bytes });
  const { slotsEpoch } = split;
  const handOver = { kind: 'handOver', reshape, slotsEpoch, fencedPosition: fenced.position } as const;
  const results = source.apply([{ body: { ...handOver, stores: built[0]!.stores } }]);
  expect(results.map(({ code }) => code)).toEqual(['done']);
  expect(verifyState(source.state, source.reader)).toEqual([]);
}

function told(child: BuiltChild): unknown {
  return { ...child, position: String(child.position) };
}

describe('the child of a split', () => {
  test('is the same whatever rounds there were', { timeout: 300_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(anySteps(30), anySteps(10), fc.array(way, { minLength: 1, maxLength: 3 }), buildsAlike),
      { numRuns: 60 },
    );
  });

  test('is built anew where the changes since the last round are not kept any more', async () => {
    const sweep: Command = { body: { kind: 'sweep', limit: 1000, changesKeptBytes: 0, countStore: '' } };
    const removed: Command = {
      body: {
        kind: 'mutate',
        store: 'a',
        atomic: false,
        checks: [],
        operations: Array.from({ length: 300 }, (_, n) => ({
          kind: 'delete',
          key: `key-${n}`,
          condition: { kind: 'none' },
        })),
      },
    };
    const source = new WrittenReplica(0);
    source.apply(filled());
    const time = new InterleavedTime();
    const builder = new Builder(source, time, []);
    await builder.rounds(2);
    source.apply([removed]);
    source.apply([sweep]);
    source.apply([fence]);
    const child = expected(source);
    await builder.finish(source.state.fenced!);
    expect(dump(builder.engine)).toEqual(child);
  });

  test.each([false, true])('is no state any more when the fence was lifted, restarted: %s', async (restarts) => {
    const source = new WrittenReplica(0);
    source.apply(filled());
    const builder = new Builder(source, new InterleavedTime(), []);
    source.apply([fence]);
    // What is remembered under a fence that is lifted again is the next one's.
    const idempotency = { id: 'idempotency-id-1', fingerprint: 'fingerprint-of-1' };
    source.apply([{ body: { kind: 'barrier' }, idempotency }]);
    await builder.finish(source.state.fenced!);
    const { slotsEpoch } = split;
    source.apply([{ body: { kind: 'unfence', reshape, slotsEpoch, forGood: false, ownedBefore: everything } }]);
    source.apply([{ body: { kind: 'clear', store: 'b' } }]);
    if (restarts) await builder.restart();
    await builder.rounds(1);
    expect(() => loadState(builder.engine)).toThrow(expect.objectContaining({ code: 'data_corrupt' }));
    source.apply([fence]);
    const child = expected(source);
    await builder.finish(source.state.fenced!);
    expect(dump(builder.engine)).toEqual(child);
  });

  test('is not begun after the slots were handed over, but may be gone on with', async () => {
    const source = new WrittenReplica(0);
    source.apply(filled());
    const builders = [new Builder(source, new InterleavedTime(), []), new Builder(source, new InterleavedTime(), [])];
    source.apply([fence]);
    const fenced = source.state.fenced!;
    const child = expected(source);
    const { stores } = await builders[0]!.finish(fenced);
    const { slotsEpoch } = split;
    source.apply([{ body: { kind: 'handOver', reshape, slotsEpoch, fencedPosition: fenced.position, stores } }]);
    source.apply([{ body: { kind: 'clear', store: 'a' } }]);
    await expect(builders[1]!.finish(fenced)).rejects.toMatchObject({ code: 'unavailable' });
    await builders[0]!.finish(fenced);
    expect(dump(builders[0]!.engine)).toEqual(child);
  });
});
