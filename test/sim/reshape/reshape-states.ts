// What is read out of a state's records for a split or a merge, and put into another one's: the plain way, all at once,
// with every record looked at. What nodes do in rounds is held against the same words (test/contract).
import type { BinaryString, PartitionState, StateReader } from '@statestore/core';
import { hashAdd, hashToBytes, keyspace, newHash, slotOf } from '@statestore/core';
import { binaryFromBytes } from '@statestore/core';
import type { GivenStore, SlotRange } from '@statestore/core';
import { containsSlot } from '../../../services/core/src/slot-ranges.ts';
import type { SortedMap } from '../sorted-map.ts';

type Records = Map<BinaryString, Uint8Array | undefined>;

const slots = new Map<string, number>();

export function slotOfKey(store: string, key: BinaryString): number {
  const name = `${store}\x00${key}`;
  let slot = slots.get(name);
  if (slot === undefined) slots.set(name, (slot = slotOf(store, key)));
  return slot;
}

export interface SlotEntry {
  readonly store: keyspace.StoreState;
  readonly key: BinaryString;
  readonly recordKey: BinaryString;
  readonly bytes: Uint8Array;
}

/** Of stores that there are, in key order. */
export function* entriesIn(
  state: PartitionState,
  reader: StateReader,
  wanted: readonly SlotRange[],
): Generator<SlotEntry, void> {
  for (const { key: recordKey, value } of reader.range({ start: keyspace.entryPrefix, end: keyspace.expiryPrefix })) {
    const store = state.storesByOrdinal.get(keyspace.uint32At(recordKey, 1));
    if (store === undefined) continue;
    const key = recordKey.slice(keyspace.entryKeyPrefixLength);
    if (containsSlot(wanted, slotOfKey(store.name, key))) yield { store, key, recordKey, bytes: value };
  }
}

/** By name, ascending. */
export function countedIn(state: PartitionState, reader: StateReader, wanted: readonly SlotRange[]): GivenStore[] {
  const hashes = new Map<string, { entries: number; bytes: number; hash: Uint32Array }>();
  const hash = newHash();
  for (const { store, key, bytes } of entriesIn(state, reader, wanted)) {
    let sum = hashes.get(store.name);
    if (sum === undefined) hashes.set(store.name, (sum = { entries: 0, bytes: 0, hash: newHash() }));
    sum.entries++;
    sum.bytes += key.length + bytes.length - keyspace.entryValueOffset(bytes);
    keyspace.hashEntry(store.seed, key, bytes, hash);
    hashAdd(sum.hash, hash);
  }
  return [...hashes]
    .map(([name, { entries, bytes, hash: sum }]) => ({
      name,
      entries,
      bytes,
      hash: binaryFromBytes(hashToBytes(sum)),
    }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** What removes all entries of these slots, and their records of expiry. */
export function removalOf(state: PartitionState, reader: StateReader, wanted: readonly SlotRange[]): Records {
  const writes: Records = new Map();
  for (const { store, key, recordKey, bytes } of entriesIn(state, reader, wanted)) {
    writes.set(recordKey, undefined);
    const expiresAtMs = keyspace.entryExpiry(bytes);
    if (expiresAtMs !== 0) writes.set(keyspace.expiryKey(expiresAtMs, store.ordinal, key), undefined);
  }
  return writes;
}

/** The source's entries of these slots, under the target's ordinals; those of stores that have none are left out. */
export function stagedOf(
  source: { readonly state: PartitionState; readonly reader: StateReader },
  wanted: readonly SlotRange[],
  ordinalOf: (store: string) => number,
): Records {
  const writes: Records = new Map();
  for (const { store, key, bytes } of entriesIn(source.state, source.reader, wanted)) {
    const ordinal = ordinalOf(store.name);
    if (ordinal === 0) continue;
    writes.set(keyspace.entryKeyPrefix(ordinal) + key, bytes);
    const expiresAtMs = keyspace.entryExpiry(bytes);
    if (expiresAtMs !== 0) writes.set(keyspace.expiryKey(expiresAtMs, ordinal, key), new Uint8Array(0));
  }
  return writes;
}

/** The records that are the state's own, as text: what replicas at one position have in common. */
export function ownRecords(state: PartitionState, records: SortedMap): string[] {
  const owned = state.slots;
  const hex = (text: string): string => Array.from(text, (c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join('');
  const result: string[] = [];
  for (const { key, value } of records.range({})) {
    if (!isOwn(state, key, owned)) continue;
    result.push(`${hex(key)}=${hex(binaryFromBytes(value))}`);
  }
  return result;
}

function isOwn(state: PartitionState, record: BinaryString, owned: readonly SlotRange[] | undefined): boolean {
  const kind = record[0]!;
  if (owned === undefined || (kind !== keyspace.entryPrefix && kind !== keyspace.expiryPrefix)) return true;
  const at = kind === keyspace.entryPrefix ? 1 : 7;
  const store = state.storesByOrdinal.get(keyspace.uint32At(record, at));
  // Of a cleared store: some of it may be what was staged.
  if (store === undefined) return false;
  return containsSlot(owned, slotOfKey(store.name, record.slice(at + 4)));
}
