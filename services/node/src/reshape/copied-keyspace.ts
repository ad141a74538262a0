// One store's entries in some slots, as they are put in a keyspace of the target: made equal to the source's part by part.
import type { BinaryString, Hash128, StateRange, Tally } from '@statestore/core';
import { keyspace, limits, newHash, newTally, prefixRange, tallyAdd, tallySubtract } from '@statestore/core';
import type { CopyTarget, CopyWrites, SourceStore } from './copy-target.ts';
import { joinKeys } from './joined-keys.ts';
import type { ReshapeSource } from './reshape-work.ts';
import type { SlotSet } from './slot-set.ts';

export const userKeyAt = keyspace.entryKeyPrefixLength;

export class CopiedKeyspace {
  /** In the target. */
  readonly ordinal: number;
  /** Undefined: it is not known, and everything under the ordinal is to go. */
  readonly store: string | undefined;
  /** 0: the source has nothing of it. */
  readonly sourceOrdinal: number;
  readonly seed: Hash128;
  /** Of what is there of the slots, as it was copied. */
  readonly tally: Tally = newTally();
  /** Everything was copied once: from then on what changes is taken key by key. */
  isWhole = false;
  /** Counted by reading it back. */
  isProven = false;

  constructor(ordinal: number, store: string | undefined, source: SourceStore | undefined) {
    this.ordinal = ordinal;
    this.store = source?.name ?? store;
    this.sourceOrdinal = source?.ordinal ?? 0;
    this.seed = source?.seed ?? newHash();
  }
}

export interface CopyParts {
  readonly source: ReshapeSource;
  readonly target: CopyTarget;
  readonly slots: SlotSet;
  readonly writes: CopyWrites;
  /** Called for each record of the source. */
  readonly passed: () => void;
}

/** Keys of the keyspace from this user's key on. */
export function restOf(ordinal: number, from: BinaryString): StateRange {
  const prefix = keyspace.entryKeyPrefix(ordinal);
  return { ...prefixRange(prefix), start: prefix + from };
}

const nothing: readonly never[] = [];

/** Of a keyspace that is not whole yet: from this key on. Returns the key that comes next; undefined: it was the last one. */
export function copyPart(parts: CopyParts, copied: CopiedKeyspace, from: BinaryString): BinaryString | undefined {
  const { source, target, slots, writes, passed } = parts;
  const { store, ordinal, sourceOrdinal, tally, seed } = copied;
  const prefix = keyspace.entryKeyPrefix(ordinal);
  const isOfSlots = (key: BinaryString): boolean => store !== undefined && slots.hasKey(store, key);
  const remove = (key: BinaryString): void => writes.setEntry(ordinal, key, target.get(prefix + key), undefined);
  return joinKeys<{ readonly key: BinaryString; readonly value: Uint8Array }>(
    {
      source: sourceOrdinal === 0 ? nothing : source.reader.range(restOf(sourceOrdinal, from)),
      there: target.keys(restOf(ordinal, from)),
      keyOf: ({ key }) => key.slice(userKeyAt),
      thereKeyOf: (key) => key.slice(userKeyAt),
      onlySource(key, { value }) {
        passed();
        if (!isOfSlots(key)) return;
        tallyAdd(tally, seed, key, value);
        writes.setEntry(ordinal, key, undefined, value);
      },
      onlyThere(key) {
        if (target.isOwn || isOfSlots(key)) remove(key);
      },
      both(key, { value }) {
        passed();
        if (isOfSlots(key)) {
          tallyAdd(tally, seed, key, value);
          const before = target.get(prefix + key);
          if (before === undefined || !isEqual(before, value)) writes.setEntry(ordinal, key, before, value);
        } else if (target.isOwn) remove(key);
      },
    },
    limits.reshapeTurnRecords,
  );
}

/** The key as it is in the source now. Of a keyspace that is whole. */
export function copyKey({ source, slots, writes, passed }: CopyParts, copied: CopiedKeyspace, key: BinaryString): void {
  const { store, ordinal, sourceOrdinal, tally, seed } = copied;
  if (store === undefined || !slots.hasKey(store, key)) return;
  passed();
  const value = source.reader.get(keyspace.entryKeyPrefix(sourceOrdinal) + key);
  const before = writes.get(keyspace.entryKeyPrefix(ordinal) + key);
  if (value === before || (value !== undefined && before !== undefined && isEqual(value, before))) return;
  if (before !== undefined) tallySubtract(tally, seed, key, before);
  if (value !== undefined) tallyAdd(tally, seed, key, value);
  writes.setEntry(ordinal, key, before, value);
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
