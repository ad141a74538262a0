// Requests in flight by their id. An id is a slot and the slot's generation, so that a late answer to a
// request that was given up cannot be taken for the answer to another one, the table is an array, and
// its size is the bound.
import { limits } from '@statestore/core';

export class PendingTable<T> {
  readonly capacity: number;
  readonly #generations: number;
  readonly #values: (T | undefined)[] = [];
  readonly #ids: number[] = [];
  readonly #free: number[] = [];

  constructor(capacity: number = limits.linkInFlightMax) {
    this.capacity = capacity;
    this.#generations = Math.floor(2 ** 32 / capacity);
  }

  get size(): number {
    return this.#values.length - this.#free.length;
  }

  /** The value's id, 0 ≤ id < 2^32; undefined where the table is full. */
  add(value: T): number | undefined {
    let slot = this.#free.pop();
    if (slot === undefined) {
      slot = this.#values.length;
      if (slot === this.capacity) return undefined;
      this.#ids.push(slot);
      this.#values.push(value);
      return slot;
    }
    const generation = (Math.floor(this.#ids[slot]! / this.capacity) + 1) % this.#generations;
    const id = generation * this.capacity + slot;
    this.#ids[slot] = id;
    this.#values[slot] = value;
    return id;
  }

  get(id: number): T | undefined {
    const slot = id % this.capacity;
    return this.#ids[slot] === id ? this.#values[slot] : undefined;
  }

  delete(id: number): boolean {
    const slot = id % this.capacity;
    if (this.#ids[slot] !== id || this.#values[slot] === undefined) return false;
    this.#values[slot] = undefined;
    this.#free.push(slot);
    return true;
  }

  /** Ids and values; entries may be deleted meanwhile. */
  *entries(): Generator<[number, T]> {
    for (let slot = 0; slot < this.#values.length; slot++) {
      const value = this.#values[slot];
      if (value !== undefined) yield [this.#ids[slot]!, value];
    }
  }
}
