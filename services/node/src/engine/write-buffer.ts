// The effects of applied batches on their way to the engine. A reader looks through the generation
// that fills, then the one being flushed, then the engine, and so always sees the applied position,
// while the engine gets few large synced commits. When to flush is the partition's business.
//
// Iterators read one point in time only while they are consumed without awaiting.
import type { BinaryString } from '@statestore/core';
import type { Engine, EngineEntry, EngineRange, EngineReader, EngineWrites } from './engine.ts';
import { isEmptyRange } from './engine-rules.ts';
import { Generation } from './generation.ts';
import { mergeRange } from './merged-range.ts';

export class WriteBuffer implements EngineReader {
  readonly #engine: Engine;
  #active: Generation;
  /** Stays after a failed flush: its effects were applied, so readers go on seeing them. */
  #flushing: Generation | undefined;
  #flush: Promise<void> | undefined;
  #written = 0;
  #stored = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#active = new Generation(engine.position);
  }

  /** Position of the last batch whose effects readers see. */
  get appliedPosition(): bigint {
    return this.#active.position;
  }

  /** Position that a crash would go back to, where the engine is durable. */
  get storedPosition(): bigint {
    return this.#engine.position;
  }

  /** How often something was put; what was put first is stored first. */
  get written(): number {
    return this.#written;
  }

  /** Of these, how many are in the engine. */
  get stored(): number {
    return this.#stored;
  }

  /** Estimate of the memory that is held for effects not yet stored. */
  get bytes(): number {
    return this.#active.bytes + (this.#flushing?.bytes ?? 0);
  }

  /**
   * The effects of one batch; or writes beside the state, at the position that is applied. Values are kept as they are:
   * nobody may change them afterwards.
   */
  put(writes: EngineWrites, position: bigint): void {
    this.#written++;
    for (const [key, value] of writes) this.#active.set(key, value);
    this.#active.position = position;
  }

  /**
   * Commits what was put so far. One at a time: while one is under way, it is that one's promise, and
   * what was put since waits for the next. Rejects when the engine fails, and from then on always.
   */
  flush(): Promise<void> {
    if (this.#flush !== undefined) return this.#flush;
    const { writes, position } = this.#active;
    if (writes.size === 0 && position === this.#engine.position) {
      this.#stored = this.#written;
      return Promise.resolve();
    }
    this.#flush = this.#flushActive();
    return this.#flush;
  }

  async #flushActive(): Promise<void> {
    const generation = this.#active;
    const written = this.#written;
    this.#flushing = generation;
    this.#active = new Generation(generation.position);
    await this.#engine.commit(generation.writes, generation.position);
    this.#stored = written;
    this.#flushing = undefined;
    this.#flush = undefined;
  }

  get(key: BinaryString): Uint8Array | undefined {
    const value = this.#active.get(key);
    if (value !== undefined || this.#active.isDeleted(key)) return value;
    const flushing = this.#flushing;
    if (flushing !== undefined) {
      const older = flushing.get(key);
      if (older !== undefined || flushing.isDeleted(key)) return older;
    }
    return this.#engine.get(key);
  }

  has(key: BinaryString): boolean {
    for (const { writes } of this.#generations()) {
      if (writes.has(key)) return writes.get(key) !== undefined;
    }
    return this.#engine.has(key);
  }

  range(range: EngineRange): IterableIterator<EngineEntry> {
    const generations = this.#generations();
    if (generations.length === 0 || isEmptyRange(range)) return this.#engine.range(range);
    const base = this.#engine.range(withoutLimit(range));
    return mergeRange({ base, keyOf: ({ key }) => key, written: (key, value) => ({ key, value }) }, generations, range);
  }

  keys(range: EngineRange): IterableIterator<BinaryString> {
    const generations = this.#generations();
    if (generations.length === 0 || isEmptyRange(range)) return this.#engine.keys(range);
    const base = this.#engine.keys(withoutLimit(range));
    return mergeRange({ base, keyOf: (key) => key, written: (key) => key }, generations, range);
  }

  /** Those that hold anything, newest first. */
  #generations(): readonly Generation[] {
    const active = this.#active;
    const flushing = this.#flushing;
    if (flushing === undefined) return active.writes.size === 0 ? none : [active];
    return active.writes.size === 0 ? [flushing] : [active, flushing];
  }
}

const none: readonly Generation[] = [];

/** Deletes in the buffer may hide any number of the engine's entries. */
function withoutLimit(range: EngineRange): EngineRange {
  return { ...range, limit: Infinity };
}
