// What is in one order of keys and what is in another, side by side, a bounded number of steps at a time: so two
// keyspaces are made equal without holding either, and others run between two calls.
import type { BinaryString } from '@statestore/core';

export interface KeyJoin<T> {
  /** Both ascending by these keys. */
  readonly source: Iterable<T>;
  readonly there: Iterable<BinaryString>;
  keyOf(item: T): BinaryString;
  thereKeyOf(key: BinaryString): BinaryString;
  onlySource(key: BinaryString, item: T): void;
  onlyThere(key: BinaryString): void;
  both(key: BinaryString, item: T): void;
}

/** The key that comes next, which nothing was done with; undefined: both are at their end. Reads at once, without awaiting. */
export function joinKeys<T>(join: KeyJoin<T>, stepsMax: number): BinaryString | undefined {
  const source = join.source[Symbol.iterator]();
  const there = join.there[Symbol.iterator]();
  try {
    let item = source.next();
    let thereItem = there.next();
    for (let steps = 0; ; steps++) {
      const key = item.done === true ? undefined : join.keyOf(item.value);
      const thereKey = thereItem.done === true ? undefined : join.thereKeyOf(thereItem.value);
      if (key === undefined && thereKey === undefined) return undefined;
      const isSource = key !== undefined && (thereKey === undefined || key <= thereKey);
      const isThere = thereKey !== undefined && (key === undefined || thereKey <= key);
      if (steps >= stepsMax) return isSource ? key : thereKey;
      if (isSource && isThere) join.both(key, item.value as T);
      else if (isSource) join.onlySource(key, item.value as T);
      else join.onlyThere(thereKey!);
      if (isSource) item = source.next();
      if (isThere) thereItem = there.next();
    }
  } finally {
    source.return?.();
    there.return?.();
  }
}
