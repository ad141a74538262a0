// A replica's own hashes at positions that it has passed: of the last ones each, and of the fixed ones for
// longer. Numbers in two arrays, since one is noted with every batch.
import type { Hash128, PartitionState } from '@statestore/core';
import { hashFromBytes, hashToHex } from '@statestore/core';

/** 32 hexadecimal digits each. */
export interface Hashes {
  readonly chain: string;
  readonly stateHash: string;
}

const lanes = 4;

function hashOf(hex: string): Hash128 {
  return hashFromBytes(Buffer.from(hex, 'hex'));
}

export class HashRing {
  readonly #every: bigint;
  readonly #span: bigint;
  readonly #positions: BigInt64Array;
  readonly #hashes: Uint32Array;

  /** Of the positions that are multiples of `every`, the last `capacity`. */
  constructor(capacity: number, every = 1n) {
    this.#every = every;
    this.#span = every * BigInt(capacity);
    this.#positions = new BigInt64Array(capacity).fill(-1n);
    this.#hashes = new Uint32Array(capacity * lanes * 2);
  }

  /** As `note`, of a state that is known by its hashes only. */
  begin({ position, chain, stateHash }: Hashes & { readonly position: bigint }): void {
    this.note({ position, chain: hashOf(chain), stateHash: hashOf(stateHash) });
  }

  note({ position, chain, stateHash }: Pick<PartitionState, 'position' | 'chain' | 'stateHash'>): void {
    if (position % this.#every !== 0n) return;
    const at = this.#at(position);
    this.#positions[at] = position;
    this.#hashes.set(chain, at * lanes * 2);
    this.#hashes.set(stateHash, at * lanes * 2 + lanes);
  }

  /** Undefined where it was not noted, or is too long ago. */
  get(position: bigint): Hashes | undefined {
    const chain = this.chainAt(position);
    if (chain === undefined) return undefined;
    const from = this.#at(position) * lanes * 2 + lanes;
    return { chain: hashToHex(chain), stateHash: hashToHex(this.#hashes.slice(from, from + lanes)) };
  }

  /** A copy. */
  chainAt(position: bigint): Hash128 | undefined {
    const at = this.#at(position);
    if (position % this.#every !== 0n || this.#positions[at] !== position) return undefined;
    return this.#hashes.slice(at * lanes * 2, at * lanes * 2 + lanes);
  }

  #at(position: bigint): number {
    return Number((position % this.#span) / this.#every);
  }
}
