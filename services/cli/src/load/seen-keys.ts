// Which keys occurred before: 64 bits of hash a key in one flat table, since a Set of a hundred million
// strings does not fit in memory and ends at 16.7 million anyway. Two keys of one hash would count
// as a duplicate falsely: about 3 in 10,000 inputs of 100 million keys.
import { binaryFromText, bytesFromBinary, hashBytes, newHash } from '@statestore/core';

export class SeenKeys {
  #table = new BigUint64Array(1 << 16);
  #count = 0;
  readonly #hash = newHash();

  /** True where the key was there already. */
  add(key: string): boolean {
    hashBytes(bytesFromBinary(binaryFromText(key)), 1, this.#hash);
    // 0 marks a free place.
    const mark = (BigInt(this.#hash[1]!) << 32n) | BigInt(this.#hash[0]!) || 1n;
    const seen = !this.#place(mark);
    if (!seen && ++this.#count * 2 > this.#table.length) this.#grow();
    return seen;
  }

  #place(mark: bigint): boolean {
    const mask = this.#table.length - 1;
    for (let at = Number(mark & 0xffff_ffffn) & mask; ; at = (at + 1) & mask) {
      const there = this.#table[at]!;
      if (there === mark) return false;
      if (there !== 0n) continue;
      this.#table[at] = mark;
      return true;
    }
  }

  #grow(): void {
    const old = this.#table;
    this.#table = new BigUint64Array(old.length * 2);
    for (const mark of old) if (mark !== 0n) this.#place(mark);
  }
}
