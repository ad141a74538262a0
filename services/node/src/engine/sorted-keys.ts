// A B-tree in key order, and the four walks through it that engines and the write buffer need. Walks
// are hand-made iterators: a generator costs twice as much per entry.
import { createRequire } from 'node:module';
import type { BinaryString } from '@statestore/core';
import type sortedBtree from 'sorted-btree';
import type { EngineRange } from './engine.ts';
import { isEmptyRange } from './engine-rules.ts';

/** Largest node. 64 was the fastest of 32, 64 and 128 at 100,000 random keys. */
const nodeSize = 64;
type BTreeClass = typeof sortedBtree.default;
export type KeyTree<V> = InstanceType<BTreeClass & (new () => sortedBtree.default<BinaryString, V>)>;

// The package is CommonJS with a `default`: Node and Vite make different things of an import of that.
const { default: BTree } = createRequire(import.meta.url)('sorted-btree') as { default: BTreeClass };

const compare = (a: BinaryString, b: BinaryString): number => (a < b ? -1 : a > b ? 1 : 0);

export function newKeyTree<V>(): KeyTree<V> {
  return new BTree<BinaryString, V>(undefined, compare, nodeSize);
}

const done = { done: true, value: undefined } as const;

/** Keys and values of the range. The pair that it yields is its own: it changes with the next step. */
export function walk<V>(tree: KeyTree<V>, range: EngineRange): IterableIterator<readonly [BinaryString, V]> {
  const { start, end, reverse = false, limit = Infinity } = range;
  if (isEmptyRange(range)) return [][Symbol.iterator]();
  const pair: [BinaryString, V] = ['', undefined as V];
  const pairs = reverse ? tree.entriesReversed(end, pair, true) : tree.entries(start, pair);
  let left = limit;
  return {
    next() {
      if (left <= 0) return done;
      left--;
      const step = pairs.next();
      if (step.done === true) return done;
      const key = step.value[0];
      if (reverse ? start !== undefined && key < start : end !== undefined && key >= end) {
        left = 0;
        return done;
      }
      return step;
    },
    return() {
      left = 0;
      return done;
    },
    [Symbol.iterator]() {
      return this;
    },
  };
}
