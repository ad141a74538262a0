// What every engine refuses, in one place, so that none of them is more lenient than another.
import type { BinaryString } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { EngineEntry, EngineRange } from './engine.ts';

/** Throws `invalid_key` where LMDB would take the key wrongly or not at all. */
export function checkKey(key: BinaryString): void {
  const { length } = key;
  if (length === 0) throw new StateStoreError('invalid_key', 'an engine key is empty; it may be 1 byte or more');
  if (length > limits.engineKeyBytesMax) {
    throw new StateStoreError(
      'invalid_key',
      `an engine key has ${length} bytes; it may have ${limits.engineKeyBytesMax}`,
    );
  }
}

export function checkPosition(position: bigint, stored: bigint): void {
  if (position >= stored) return;
  throw new StateStoreError(
    'data_corrupt',
    `position ${position} comes after ${stored}: positions must not run backwards`,
  );
}

/** Keys of a restore must ascend; `last` is the one before, undefined for the first. */
export function checkOrder(key: BinaryString, last: BinaryString | undefined): void {
  checkKey(key);
  if (last === undefined || last < key) return;
  throw new StateStoreError('data_corrupt', 'the entries of a restore are not in ascending order of their keys');
}

/** What a restore is given, as a part of it. */
export function asPart(item: EngineEntry | readonly EngineEntry[]): readonly EngineEntry[] {
  return 'key' in item ? [item] : item;
}

/** True where no key can lie in the range. Throws `invalid_key` where a bound is longer than a key may be. */
export function isEmptyRange(range: EngineRange): boolean {
  const { start, end, limit } = range;
  for (const bound of [start, end]) if (bound !== undefined && bound.length > 0) checkKey(bound);
  if (limit !== undefined && limit <= 0) return true;
  return end !== undefined && end <= (start ?? '');
}

/** Whether a read can find anything under this key at all. */
export function mayExist(key: BinaryString): boolean {
  return key.length > 0 && key.length <= limits.engineKeyBytesMax;
}

export function closedError(): StateStoreError {
  return new StateStoreError('shutting_down', 'the engine is closed');
}
