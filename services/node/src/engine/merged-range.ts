// A range through the write buffer: the generations over the engine, in key order, lazily. Where
// several have a key the newest wins, and a delete there hides it.
import type { BinaryString } from '@statestore/core';
import type { EngineRange } from './engine.ts';
import type { Generation } from './generation.ts';

interface Layer {
  readonly generation: Generation;
  readonly steps: IterableIterator<readonly [BinaryString, undefined]>;
  /** Its next key; undefined: none. */
  key: BinaryString | undefined;
}

/** Takes the entry's key, and the value where a generation has written it. */
export interface MergeSource<T> {
  /** Over the engine, without a limit. */
  readonly base: IterableIterator<T>;
  keyOf(item: T): BinaryString;
  written(key: BinaryString, value: Uint8Array): T;
}

/** `generations`: newest first. */
export function mergeRange<T>(
  source: MergeSource<T>,
  generations: readonly Generation[],
  range: EngineRange,
): IterableIterator<T> {
  return new MergedRange(source, generations, range);
}

class MergedRange<T> implements IterableIterator<T> {
  readonly #source: MergeSource<T>;
  readonly #layers: readonly Layer[];
  readonly #reverse: boolean;
  #left: number;
  /** The engine's next item. */
  #item: T | undefined;
  #itemKey: BinaryString | undefined;

  constructor(source: MergeSource<T>, generations: readonly Generation[], range: EngineRange) {
    const { limit = Infinity, reverse = false, ...bounds } = range;
    this.#source = source;
    this.#reverse = reverse;
    this.#left = limit;
    this.#layers = generations.map((generation) => {
      const layer: Layer = { generation, steps: generation.keys({ ...bounds, reverse }), key: undefined };
      advance(layer);
      return layer;
    });
    this.#advanceBase();
  }

  next(): IteratorResult<T, undefined> {
    while (this.#left > 0) {
      const key = this.#leastKey();
      if (key === undefined) break;
      const item = this.#take(key);
      if (item === undefined) continue;
      this.#left--;
      return { done: false, value: item };
    }
    return this.return();
  }

  return(): IteratorResult<T, undefined> {
    this.#left = 0;
    this.#source.base.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.iterator](): this {
    return this;
  }

  /** The key that comes first in the direction of the walk. */
  #leastKey(): BinaryString | undefined {
    let least = this.#itemKey;
    for (const { key } of this.#layers) {
      if (key !== undefined && (least === undefined || (this.#reverse ? key > least : key < least))) least = key;
    }
    return least;
  }

  /** What the newest holder of the key has, undefined where it is deleted; everyone steps past the key. */
  #take(key: BinaryString): T | undefined {
    let item: T | undefined;
    let found = false;
    for (const layer of this.#layers) {
      if (layer.key !== key) continue;
      if (!found) {
        found = true;
        const value = layer.generation.writes.get(key);
        if (value !== undefined) item = this.#source.written(key, value);
      }
      advance(layer);
    }
    if (this.#itemKey === key) {
      if (!found) item = this.#item;
      this.#advanceBase();
    }
    return item;
  }

  #advanceBase(): void {
    const step = this.#source.base.next();
    this.#item = step.done === true ? undefined : step.value;
    this.#itemKey = step.done === true ? undefined : this.#source.keyOf(step.value);
  }
}

function advance(layer: Layer): void {
  const step = layer.steps.next();
  layer.key = step.done === true ? undefined : step.value[0];
}
