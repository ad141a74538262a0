// What is checkpointed: the records of a partition's engine, in the order of their keys. Which kinds there are
// says services/core/src/keyspace/prefix.ts; here only where entries begin and end matters, and where a block
// always ends, so that what changes with every batch lies in other blocks than what does not.
import type { BinaryString } from '@statestore/core';
import { keyspace } from '@statestore/core';

export interface StateRecord {
  readonly key: BinaryString;
  /** Not to be written into; it may be a view of a larger buffer. */
  readonly value: Uint8Array;
}

/** A record of a layer: undefined deletes what older layers have. */
export interface LayerRecord {
  readonly key: BinaryString;
  readonly value: Uint8Array | undefined;
}

/** start ≤ key < end; an empty end: to the last key. */
export interface KeyRange {
  readonly start: BinaryString;
  readonly end: BinaryString;
}

export function isInRange(key: BinaryString, { start, end }: KeyRange): boolean {
  return key >= start && (end === '' || key < end);
}

/** First byte of the families: a block never holds records of both sides of one of these. */
const cuts: readonly number[] = [
  keyspace.entryPrefix,
  keyspace.expiryPrefix,
  keyspace.changePrefix,
  keyspace.sessionPrefix,
].map((prefix) => prefix.charCodeAt(0));

/** Which family, as a number that grows with the key. */
export function familyOf(key: BinaryString): number {
  const first = key.charCodeAt(0);
  let family = 0;
  while (family < cuts.length && first >= cuts[family]!) family++;
  return family;
}

/** Where the entries are. */
export const entriesRange: KeyRange = {
  start: keyspace.entryPrefix,
  end: String.fromCharCode(keyspace.entryPrefix.charCodeAt(0) + 1),
};
