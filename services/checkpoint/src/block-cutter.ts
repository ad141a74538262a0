// Cuts a sequence of records into blocks, so that records that did not change are cut in the same way again,
// whatever changed around them: whether a block ends after a record depends on that record alone, by the hash
// of its key and its size. Ends come on average each limits.checkpointBlockBytesTarget bytes, whether records
// are small or large. Where none came for long, a block ends at a bound; the cuts fall in step again at the
// next one that the keys give.
import type { BinaryString, Hash128 } from '@statestore/core';
import { hashBytes, limits, newHash } from '@statestore/core';
import { BlockWriter } from './block-codec.ts';
import { familyOf } from './records.ts';

export interface CutBlock {
  /** What holds the content; it may be longer. */
  readonly buffer: Buffer;
  readonly bytes: number;
  readonly records: number;
  readonly firstKey: BinaryString;
  readonly lastKey: BinaryString;
}

export interface CutOptions {
  readonly targetBytes?: number;
  readonly maxBytes?: number;
  /** Memory for the next block. */
  readonly allocate?: () => Buffer;
}

const keyBytes = new Uint8Array(limits.engineKeyBytesMax);
const hash: Hash128 = newHash();

/** 0 ≤ n < 2^32, the same for the same key for ever: what it decides is no part of the format, but decides what is uploaded anew. */
function hashOf(key: BinaryString): number {
  const { length } = key;
  for (let i = 0; i < length; i++) keyBytes[i] = key.charCodeAt(i);
  hashBytes(keyBytes, 0, hash, length);
  return hash[0]!;
}

export class BlockCutter {
  /** A record of n bytes ends a block with a probability of n / targetBytes. */
  readonly #scale: number;
  readonly #maxBytes: number;
  readonly #allocate: () => Buffer;
  #writer: BlockWriter | undefined;
  #firstKey: BinaryString = '';
  #lastKey: BinaryString = '';
  #family = -1;
  /** The record that was added last ends its block, which is not handed out yet. */
  #ends = false;

  constructor(options: CutOptions = {}) {
    const { targetBytes = limits.checkpointBlockBytesTarget, maxBytes = limits.checkpointBlockBytesMax } = options;
    this.#scale = 0x1_0000_0000 / targetBytes;
    this.#maxBytes = maxBytes;
    this.#allocate = options.allocate ?? (() => Buffer.allocUnsafeSlow(Math.min(2 * targetBytes, maxBytes)));
  }

  /** Keys must ascend. The block that is complete now, if one is: it may end before this record or with it. */
  add(key: BinaryString, value: Uint8Array | undefined): CutBlock | undefined {
    const family = familyOf(key);
    const size = key.length + (value === undefined ? 0 : value.length);
    // Of two ends at once, the second one comes with the next record.
    const before = family !== this.#family || (this.#writer !== undefined && this.#overfull(size));
    const complete = before ? this.finish() : undefined;
    this.#family = family;
    if (this.#writer === undefined) {
      this.#writer = new BlockWriter(this.#allocate());
      this.#firstKey = key;
    }
    const taken = this.#writer.append(key, value);
    this.#lastKey = key;
    if (hashOf(key) >= taken * this.#scale) return complete;
    if (complete === undefined) return this.finish();
    this.#ends = true;
    return complete;
  }

  #overfull(size: number): boolean {
    return this.#ends || this.#writer!.bytes + size > this.#maxBytes;
  }

  /** What is left, after the last record. */
  finish(): CutBlock | undefined {
    const writer = this.#writer;
    this.#writer = undefined;
    this.#ends = false;
    if (writer === undefined) return undefined;
    const { bytes, records } = writer;
    return { buffer: writer.take(), bytes, records, firstKey: this.#firstKey, lastKey: this.#lastKey };
  }
}
