// Writes on their way to the engine: a map for reads, and a view in key order that is made only where
// a scan asks for it and then catches up with what was written since, key by key.
import type { BinaryString } from '@statestore/core';
import type { EngineRange } from './engine.ts';
import type { KeyTree } from './sorted-keys.ts';
import { newKeyTree, walk } from './sorted-keys.ts';

/** What a Map entry, a key's and a value's objects take beside their bytes; an estimate. */
const entryOverheadBytes = 200;

export class Generation {
  readonly writes = new Map<BinaryString, Uint8Array | undefined>();
  position: bigint;
  /** Estimate of the memory that the writes take. */
  bytes = 0;
  #hasDeletes = false;
  #tree: KeyTree<undefined> | undefined;
  /** Keys that the tree does not have yet. */
  readonly #unsorted: BinaryString[] = [];

  constructor(position: bigint) {
    this.position = position;
  }

  /** Undefined where it is deleted and where it is not written here. */
  get(key: BinaryString): Uint8Array | undefined {
    // An empty map, too, would have the key's hash computed first.
    return this.writes.size === 0 ? undefined : this.writes.get(key);
  }

  /** Of a key that `get` has no value of. */
  isDeleted(key: BinaryString): boolean {
    return this.#hasDeletes && this.writes.has(key);
  }

  set(key: BinaryString, value: Uint8Array | undefined): void {
    if (value === undefined) this.#hasDeletes = true;
    const { writes } = this;
    const before = writes.size;
    const old = writes.get(key);
    writes.set(key, value);
    this.bytes += (value?.length ?? 0) - (old?.length ?? 0);
    if (writes.size === before) return;
    this.bytes += key.length + entryOverheadBytes;
    if (this.#tree !== undefined) this.#unsorted.push(key);
  }

  /** Keys of the range, deleted ones too. */
  keys(range: EngineRange): IterableIterator<readonly [BinaryString, undefined]> {
    if (this.#tree === undefined) {
      this.#tree = newKeyTree();
      for (const key of this.writes.keys()) this.#tree.set(key, undefined);
    } else {
      for (const key of this.#unsorted) this.#tree.set(key, undefined);
    }
    this.#unsorted.length = 0;
    return walk(this.#tree, range);
  }
}
