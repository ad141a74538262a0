// Where the memory engine keeps values. An ArrayBuffer for each costs 350 bytes beside a value of 128,
// so small ones share blocks. A block whose values are mostly replaced would be kept alive by the last
// of them: therefore blocks count what is live, and the engine moves the rest out of poor ones.
import type { BinaryString } from '@statestore/core';
import { limits } from '@statestore/core';

interface Block {
  readonly bytes: Uint8Array;
  used: number;
  live: number;
  /** Keys that were placed here, also those that have been replaced since. */
  readonly keys: BinaryString[];
}

/** Larger values have a buffer of their own. */
const sharedBytesMax = limits.memoryBlockBytes / 8;

export interface PoorBlock {
  /** Some of them have been replaced or deleted since: ask `isIn`. */
  readonly keys: readonly BinaryString[];
  isIn(value: Uint8Array): boolean;
}

export class ValueBlocks {
  readonly #blocks = new Map<ArrayBufferLike, Block>();
  readonly #poor: Block[] = [];
  #current: Block | undefined;

  /** A copy of the value, which the caller keeps under this key. */
  place(key: BinaryString, value: Uint8Array): Uint8Array {
    const { length } = value;
    if (length > sharedBytesMax) return value.slice();
    let block = this.#current;
    if (block === undefined || block.used + length > block.bytes.length) {
      this.#current = undefined;
      if (block !== undefined) this.#judge(block);
      block = { bytes: new Uint8Array(limits.memoryBlockBytes), used: 0, live: 0, keys: [] };
      this.#blocks.set(block.bytes.buffer, block);
      this.#current = block;
    }
    const placed = block.bytes.subarray(block.used, block.used + length);
    placed.set(value);
    block.used += length;
    block.live += length;
    block.keys.push(key);
    return placed;
  }

  /** A placed value is no longer kept under its key. */
  release(value: Uint8Array): void {
    const block = this.#blocks.get(value.buffer);
    if (block === undefined) return;
    block.live -= value.length;
    if (block !== this.#current) this.#judge(block);
  }

  /** A block that is no longer counted, since little is left in it: place that anew elsewhere. */
  takePoor(): PoorBlock | undefined {
    const block = this.#poor.pop();
    return block && { keys: block.keys, isIn: (value) => value.buffer === block.bytes.buffer };
  }

  #judge(block: Block): void {
    if (block.live * 2 > block.used) return;
    this.#blocks.delete(block.bytes.buffer);
    if (block.live > 0) this.#poor.push(block);
  }
}
