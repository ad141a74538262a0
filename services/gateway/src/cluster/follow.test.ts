// A watch that outlives the replicas it follows: each change once, in order, or an honest end.
import { StateStoreError, type ErrorCode } from '@statestore/core';
import type { ChangeBatch, WatchOptions } from '@statestore/link';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fails, FakeLinks, replicaReport } from './testing/fake-links.ts';
import { settle } from './testing/manual-time.ts';
import { defaultTiming } from './timing.ts';

/** One watch at one replica, as the test plays it. */
interface Watched {
  readonly node: string;
  readonly from: bigint | undefined;
  readonly generation: number | undefined;
  readonly ended: () => boolean;
  readonly emit: (position: bigint) => void;
  readonly fail: (code: ErrorCode) => void;
}

let it: FakeLinks;
let watches: Watched[];
let gone: AbortController;
beforeEach(() => {
  it = new FakeLinks(['a', 'b', 'c']);
  watches = [];
  gone = new AbortController();
  for (const name of ['a', 'b', 'c']) {
    it.link(name).behind = { watch: (_partition, options) => play(name, options) };
  }
});
afterEach(async () => {
  gone.abort();
  await settle();
  await it.directory.close();
  expect(it.time.pending).toBe(0);
});

function play(node: string, { from, generation, signal }: WatchOptions): AsyncIterable<ChangeBatch> {
  const items: ChangeBatch[] = [];
  let failure: StateStoreError | undefined;
  let wake = (): void => undefined;
  let ended = false;
  watches.push({
    node,
    from,
    generation,
    ended: () => ended,
    emit(position) {
      items.push({ position, generation, timeMs: 0, changes: [] });
      wake();
    },
    fail(code) {
      failure = fails(code);
      wake();
    },
  });
  signal.addEventListener('abort', () => wake());
  return (async function* () {
    try {
      while (!signal.aborted) {
        if (items.length > 0) yield items.shift()!;
        else if (failure !== undefined) throw failure;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      ended = true;
    }
  })();
}

/** Follows from a position; what came and how it ended. */
function watch(from?: bigint): { positions: bigint[]; code?: string; over?: boolean } {
  const seen: { positions: bigint[]; code?: string; over?: boolean } = { positions: [] };
  const options = { store: 's', prefix: '', signal: gone.signal, ...(from === undefined ? {} : { from }) };
  void (async () => {
    try {
      for await (const { position } of it.directory.nodeOf().watch(0, options)) seen.positions.push(position);
      seen.over = true;
    } catch (error) {
      seen.code = error instanceof StateStoreError ? error.code : String(error);
    }
  })();
  return seen;
}

/** The log of this generation, which carries on after this position. */
function place(generation: number, kept?: bigint): void {
  const continues = kept === undefined ? {} : { continues: { incarnation: 'before', position: kept, chain: '' } };
  const log = { generation, incarnation: `log ${generation}`, ...continues };
  it.place({
    epoch: BigInt(generation + 1),
    partitions: [{ partition: 0, slots: [], replicas: ['a', 'b', 'c'], log }],
  });
}

describe('a watch of a log that another one carries on', () => {
  test('goes on after what was kept, and names the log', async () => {
    place(1);
    const seen = watch(5n);
    await settle();
    watches[0]!.emit(5n);
    watches[0]!.emit(8n);
    await settle();
    place(2, 6n);
    watches[0]!.fail('moved');
    await settle();
    expect(watches.slice(1).map(({ from, generation }) => [from, generation])).toEqual([[7n, 2]]);
    watches[1]!.emit(7n);
    await settle();
    expect(seen).toEqual({ positions: [5n, 8n, 7n] });
  });

  test('is over where nobody can tell any more what was kept of it', async () => {
    place(3, 6n);
    const seen = watch(5n);
    await settle();
    expect([watches, seen.code]).toEqual([[], 'cursor_expired']);
  });
});

describe('a watch', () => {
  test('goes on at the next position elsewhere when its replica fails', async () => {
    const seen = watch(5n);
    await settle();
    watches[0]!.emit(5n);
    watches[0]!.emit(8n);
    await settle();
    watches[0]!.fail('unavailable');
    await settle();
    expect(watches.map(({ node, from }) => [node, from])).toEqual([
      ['a', 5n],
      ['b', 9n],
    ]);
    watches[1]!.emit(9n);
    await settle();
    expect([seen.positions, it.directory.metrics.watchesMoved]).toEqual([[5n, 8n, 9n], 1]);
    gone.abort();
    await settle();
    expect([seen.over, watches.every(({ ended }) => ended())]).toEqual([true, true]);
  });

  test.each([
    ['falls silent', () => void (it.link('a').silentMs = defaultTiming.suspectMs)],
    ['is no longer live', () => it.observe('a', {}, false)],
    ['falls far behind', () => it.observe('a', { replicas: [replicaReport(0, { lag: 5000 })] })],
    [
      'holds the partition no more',
      () => it.place({ epoch: 2n, partitions: [{ partition: 0, slots: [], replicas: ['b'] }] }),
    ],
  ])('leaves a replica whose node %s', async (_name, spoil) => {
    const seen = watch(1n);
    await settle();
    watches[0]!.emit(1n);
    await settle();
    spoil();
    await it.time.advance(100);
    expect(watches.map(({ node, from, ended }) => [node, from, ended()])).toEqual([
      ['a', 1n, true],
      ['b', 2n, false],
    ]);
    expect(seen).toEqual({ positions: [1n] });
  });

  test('stays where nobody is better', async () => {
    watch(1n);
    await settle();
    for (const name of ['a', 'b', 'c']) it.observe(name, {}, false);
    await it.time.advance(100);
    expect(watches.map(({ node, ended }) => [node, ended()])).toEqual([['a', false]]);
  });

  test('from now on begins at a position, so that no break loses anything', async () => {
    const seen = watch();
    (await it.take('a')).answer({ entries: [], position: 41n });
    await settle();
    expect(watches[0]!.from).toBe(42n);
    watches[0]!.fail('unavailable');
    await settle();
    expect([watches[1]!.from, seen.code]).toEqual([42n, undefined]);
  });

  test('of a position that a replica has not reached yet goes on at one that has', async () => {
    const seen = watch(100n);
    await settle();
    watches[0]!.fail('invalid_cursor');
    await settle();
    watches[1]!.emit(100n);
    await settle();
    expect([watches[1]!.node, seen.positions]).toEqual(['b', [100n]]);
  });

  test.each([
    ['cursor_expired', 0, 'cursor_expired'],
    ['invalid_parameter', 0, 'invalid_parameter'],
    ['partition_halted', 0, 'partition_halted'],
    ['invalid_cursor', defaultTiming.watchBehindMs, 'invalid_cursor'],
    ['unavailable', defaultTiming.readMs, 'unavailable'],
  ] as const)('ends where all say %s, after %d ms', async (code, afterMs, told) => {
    const seen = watch(1n);
    const failAll = async (ms: number): Promise<void> => {
      for (let waitedMs = 0; waitedMs < ms && seen.code === undefined; waitedMs += 50) {
        for (const { fail } of watches) fail(code);
        await it.time.advance(50);
      }
    };
    await failAll(Math.max(0, afterMs - 500));
    expect(seen.code).toBeUndefined();
    await failAll(1500);
    expect(seen).toEqual({ positions: [], code: told });
  });

  test('of a position that those who answer have not reached is not called invalid while one is away', async () => {
    const seen = watch(100n);
    for (let waitedMs = 0; waitedMs < defaultTiming.readMs + 1000; waitedMs += 50) {
      for (const { node, fail } of watches) fail(node === 'a' ? 'unavailable' : 'invalid_cursor');
      await it.time.advance(50);
    }
    expect(seen.code).toBe('unavailable');
  });

  test('of a partition that nobody holds waits for a topology that has it, and not for ever', async () => {
    it.place({ epoch: 2n, partitions: [{ partition: 1, slots: [], replicas: ['a'] }] });
    const seen = watch(1n);
    await it.time.advance(1000);
    expect(seen.code).toBeUndefined();
    it.place({ epoch: 3n, partitions: [{ partition: 0, slots: [], replicas: ['c'] }] });
    await it.time.advance(1000);
    expect(watches.map(({ node }) => node)).toEqual(['c']);
    it.place({ epoch: 4n, partitions: [] });
    watches[0]!.fail('moved');
    await it.time.advance(defaultTiming.readMs + 1000);
    expect(seen.code).toBe('unavailable');
  });
});
