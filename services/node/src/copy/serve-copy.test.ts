import type { StatePart } from '@statestore/link';
import { limits, StateStoreError } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EngineSnapshot } from '../engine/engine.ts';
import { MemoryEngine } from '../engine/memory-engine.ts';
import { WatchedTime } from '../testing/controlled-replica.ts';
import { CopyDesk, type CopyDeskOptions, type CopySource } from './serve-copy.ts';

const rows = 2400;
const valueBytes = 100;

/** An engine of many rows, that tells which of its snapshots are open. */
class Source implements CopySource {
  readonly number = 7;
  readonly engine = new MemoryEngine();
  open = 0;
  /** Snapshots wait for it. */
  gate: Promise<void> | undefined;
  halted: StateStoreError | undefined;

  async fill(): Promise<void> {
    const writes = Array.from({ length: rows }, (_, i) => [key(i), new Uint8Array(valueBytes)] as const);
    await this.engine.commit(new Map(writes), 3n);
  }

  async snapshot(): Promise<EngineSnapshot> {
    await this.gate;
    const snapshot = this.engine.snapshot();
    const close = snapshot.close.bind(snapshot);
    this.open++;
    let closed = false;
    snapshot.close = () => {
      if (!closed) this.open--;
      closed = true;
      close();
    };
    return snapshot;
  }

  serving(): void {
    if (this.halted !== undefined) throw this.halted;
  }
}

function key(i: number): string {
  return `k${String(i).padStart(6, '0')}`;
}

const never = new AbortController().signal;

describe('a copy that is given', () => {
  let source: Source;
  let time: WatchedTime;
  beforeEach(async () => {
    source = new Source();
    time = new WatchedTime();
    await source.fill();
  });
  afterEach(() => {
    expect([source.open, time.timers.size]).toEqual([0, 0]);
  });

  function desk(options: CopyDeskOptions = {}): CopyDesk {
    return new CopyDesk({ time, ...options });
  }
  async function all(parts: AsyncIterable<StatePart>): Promise<StatePart[]> {
    const taken: StatePart[] = [];
    for await (const part of parts) taken.push(part);
    return taken;
  }

  test('is everything at one position, in order, in parts of bounded size, and says how much it was', async () => {
    const at = desk();
    const parts = await all(at.serve(source, never));
    expect(parts.flatMap(({ records }) => records.map((record) => record.key))).toEqual(
      Array.from({ length: rows }, (_, i) => key(i)),
    );
    expect(new Set(parts.map(({ position }) => position))).toEqual(new Set([3n]));
    expect(parts.map(({ total }) => total)).toEqual([...parts.slice(1).map(() => undefined), rows]);
    expect(Math.max(...parts.map(({ records }) => records.length))).toBe(limits.copyPartRecords);
    expect(at.underWay).toBe(0);
  });

  test('ends a part by its bytes too', async () => {
    const large = new Uint8Array(limits.copyPartBytes / 2);
    await source.engine.commit(new Map(Array.from({ length: 9 }, (_, i) => [`a${i}`, large])), 4n);
    const parts = await all(desk().serve(source, never));
    expect(parts.slice(0, 4).map(({ records }) => records.length)).toEqual([2, 2, 2, 2]);
  });

  test('of an empty state is one last part', async () => {
    await source.engine.clear();
    expect(await all(desk().serve(source, never))).toEqual([{ position: 0n, records: [], total: 0 }]);
  });

  test('stays at its point in time while writes go on', async () => {
    const taken: StatePart[] = [];
    for await (const part of desk().serve(source, never)) {
      taken.push(part);
      const position = source.engine.position + 1n;
      await source.engine.commit(
        new Map([
          [key(rows - 1), undefined],
          [`z${position}`, new Uint8Array(1)],
        ]),
        position,
      );
    }
    expect(taken.at(-1)).toMatchObject({ position: 3n, total: rows });
    expect(source.engine.position).toBeGreaterThan(5n);
  });

  test('lets others run between its parts, and within a part that takes long', async () => {
    let now = 0;
    let turns = 0;
    time.elapsedMs = () => (now += limits.copyTurnMs / 10);
    time.defer = (run) => {
      turns++;
      setImmediate(run);
    };
    await all(desk().serve(source, never));
    // The clock is looked at after each record, and when a turn begins.
    expect(turns).toBeGreaterThanOrEqual(Math.floor(rows / 12));
  });

  test('is refused where enough are under way, and those that ended make room', async () => {
    const at = desk({ copiesMax: 2 });
    const first = at.serve(source, never);
    const second = at.serve(source, never);
    await Promise.all([first.next(), second.next()]);
    expect(source.open).toBe(2);
    await expect(at.serve(source, never).next()).rejects.toMatchObject({
      code: 'overloaded',
      retryable: true,
      message: expect.stringContaining('it may give 2') as string,
    });
    await first.return();
    expect([source.open, at.underWay]).toEqual([1, 1]);
    expect((await all(at.serve(source, never))).at(-1)!.total).toBe(rows);
    await second.return();
    expect(at.underWay).toBe(0);
  });

  test('frees everything when its signal aborts, though nobody asks for more', async () => {
    const at = desk();
    const abort = new AbortController();
    const parts = at.serve(source, abort.signal);
    await parts.next();
    abort.abort();
    expect([source.open, at.underWay, time.timers.size]).toEqual([0, 0, 0]);
    expect(await parts.next()).toEqual({ done: true, value: undefined });
    expect(await all(at.serve(source, abort.signal))).toEqual([]);
  });

  test('frees a snapshot that comes after the signal aborted', async () => {
    const at = desk();
    const abort = new AbortController();
    const gate = Promise.withResolvers<void>();
    source.gate = gate.promise;
    const first = at.serve(source, abort.signal).next();
    await new Promise((resolve) => setImmediate(resolve));
    abort.abort();
    expect(at.underWay).toBe(0);
    gate.resolve();
    expect(await first).toEqual({ done: true, value: undefined });
    expect(source.open).toBe(0);
  });

  test('is given up when nobody takes a part for long, and not before', async () => {
    const at = desk({ stallMs: 600 });
    const parts = at.serve(source, never);
    for (let i = 0; i < 3; i++) {
      await parts.next();
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    expect(source.open).toBe(1);
    await expect.poll(() => [source.open, at.underWay, time.timers.size]).toEqual([0, 0, 0]);
    await expect(parts.next()).rejects.toMatchObject({
      code: 'unavailable',
      retryable: true,
      message: expect.stringContaining('nobody took a part for 600 ms') as string,
    });
  });

  test('is given up when it takes long in all, however busy it is', async () => {
    const at = desk({ timeoutMs: 200 });
    const slowly = async (): Promise<void> => {
      for await (const _ of at.serve(source, never)) await new Promise((resolve) => setTimeout(resolve, 60));
    };
    await expect(slowly()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('longer than 200 ms') as string,
    });
    expect(at.underWay).toBe(0);
  });

  test('waits for no receiver once everything is read', async () => {
    const parts = desk({ stallMs: 400 }).serve(source, never);
    for (let step = await parts.next(); step.value?.total === undefined; step = await parts.next());
    expect([source.open, time.timers.size]).toEqual([0, 0]);
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect((await parts.next()).done).toBe(true);
  });

  test('ends with the replica: what has halted is not spread', async () => {
    const at = desk();
    const parts = at.serve(source, never);
    await parts.next();
    source.halted = new StateStoreError('partition_halted', 'it differs from its peers');
    await expect(parts.next()).rejects.toBe(source.halted);
    await expect(at.serve(source, never).next()).rejects.toBe(source.halted);
    expect(at.underWay).toBe(0);
  });

  test('ends with the engine', async () => {
    const parts = desk().serve(source, never);
    await parts.next();
    source.gate = Promise.reject(new StateStoreError('disk_full', 'no room'));
    await expect(desk().serve(source, never).next()).rejects.toMatchObject({ code: 'disk_full' });
    await parts.return();
  });
});
