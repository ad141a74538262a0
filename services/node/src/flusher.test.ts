// When the write buffer goes to the engine, over an engine that commits when the test lets it.
import type { EngineWrites } from './engine/engine.ts';
import { limits } from '@statestore/core';
import { beforeEach, describe, expect, test } from 'vitest';
import { MemoryEngine } from './engine/memory-engine.ts';
import { WriteBuffer } from './engine/write-buffer.ts';
import { Flusher } from './flusher.ts';
import type { Time } from './time.ts';

/** Each commit waits until the test ends it. */
class HeldEngine extends MemoryEngine {
  readonly held: PromiseWithResolvers<void>[] = [];

  override async commit(writes: EngineWrites, position: bigint): Promise<void> {
    const gate = Promise.withResolvers<void>();
    this.held.push(gate);
    await gate.promise;
    await super.commit(writes, position);
  }
}

let engine: HeldEngine;
let buffer: WriteBuffer;
let flusher: Flusher;
let timers: Map<number, { ms: number; run: () => void }>;
let stored: bigint[];
let failures: unknown[];

beforeEach(() => {
  engine = new HeldEngine();
  buffer = new WriteBuffer(engine);
  timers = new Map();
  stored = [];
  failures = [];
  let ids = 0;
  const time: Time = {
    nowMs: () => 0,
    elapsedMs: () => 0,
    after(ms, run) {
      const id = ids++;
      timers.set(id, { ms, run });
      return { cancel: () => void timers.delete(id) };
    },
    defer: (run) => run(),
  };
  flusher = new Flusher({
    buffer,
    time,
    intervalMs: 50,
    onStored: (position) => stored.push(position),
    onFailed: (error) => failures.push(error),
  });
});

function write(bytes = 1): void | Promise<void> {
  const position = buffer.appliedPosition + 1n;
  buffer.put(new Map([[`k${position}`, new Uint8Array(bytes)]]), position);
  return flusher.written();
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

async function commit(at: number): Promise<void> {
  engine.held[at]!.resolve();
  await settle();
}

function fire(): void {
  const due = [...timers.values()];
  timers.clear();
  for (const { run } of due) run();
}

describe('the flusher', () => {
  test('stores what was written once its interval is over, in one commit; what comes meanwhile in the next', async () => {
    for (let i = 0; i < 3; i++) expect(write()).toBeUndefined();
    expect([...timers.values()].map(({ ms }) => ms)).toEqual([50]);
    expect(engine.held).toHaveLength(0);
    fire();
    void write();
    expect(timers.size).toBe(0);
    await commit(0);
    expect(stored).toEqual([3n]);
    expect(timers.size).toBe(1);
    fire();
    await commit(1);
    expect(stored).toEqual([3n, 4n]);
    expect(timers.size).toBe(0);
  });

  test('does not wait for the interval when the buffer is large, and holds apply only at its bound', async () => {
    expect(write(limits.writeBufferFlushBytes)).toBeUndefined();
    expect(engine.held).toHaveLength(1);
    let full: void | Promise<void> = undefined;
    let count = 0;
    for (; full === undefined && count < 100; count++) full = write(limits.valueBytesMax);
    expect(buffer.bytes).toBeGreaterThanOrEqual(limits.writeBufferBytesMax);
    expect(buffer.bytes).toBeLessThan(limits.writeBufferBytesMax + 2 * limits.valueBytesMax);
    expect(engine.held).toHaveLength(1);
    let goesOn = false;
    void full?.then(() => (goesOn = true));
    await commit(0);
    expect(goesOn).toBe(false);
    await commit(1);
    expect(goesOn).toBe(true);
    expect(buffer.bytes).toBe(0);
  });

  test('a flush covers everything written before it, also during another one', async () => {
    void write();
    const first = flusher.flush();
    void write();
    let done = false;
    const second = flusher.flush().then(() => (done = true));
    await commit(0);
    await first;
    expect([stored, done]).toEqual([[1n], false]);
    await commit(1);
    await second;
    expect(stored).toEqual([1n, 2n]);
    await flusher.flush();
    expect(engine.held).toHaveLength(2);
  });

  test('a failure is told once, ends every wait, and nothing is tried again', async () => {
    void write();
    const waiting = [flusher.flush(), flusher.flush()];
    void write();
    const error = new Error('no room');
    engine.held[0]!.reject(error);
    await Promise.all(waiting);
    await flusher.flush();
    void write();
    fire();
    await settle();
    expect(failures).toEqual([error]);
    expect(engine.held).toHaveLength(1);
    expect(stored).toEqual([]);
  });

  test('closed, it sets no timer, not even at the end of a flush under way', async () => {
    void write();
    fire();
    void write();
    flusher.close();
    await commit(0);
    void write();
    expect(timers.size).toBe(0);
  });
});
