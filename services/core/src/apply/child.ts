// What a split's child begins with: a pure function of its source's state at the fence, and of the entries in the slots
// there. Entries of fenced slots stay as they are until they are handed over, and so does what else the child gets: what
// came since then can be told from what was there.
import type { BinaryString } from '../binary-string.ts';
import { bytesFromBinary } from '../binary-string.ts';
import type { RememberedRecord } from '../command.ts';
import type { Hash128 } from '../hash.ts';
import { hashAdd, hashChained, hashFromBytes } from '../hash.ts';
import { entryKeyPrefix, entryKeyPrefixLength } from '../keyspace/entry.ts';
import { parseExpiryKey } from '../keyspace/expiry.ts';
import {
  decodeIdempotency,
  idempotencyExpiryEnd,
  idempotencyExpiryKey,
  idempotencyKey,
  parseIdempotencyExpiryKey,
} from '../keyspace/idempotency.ts';
import { expiryPrefix, headKey, idempotencyExpiryPrefix } from '../keyspace/prefix.ts';
import type { StoreState } from '../keyspace/store.ts';
import { encodeStore, newStore, storeKey } from '../keyspace/store.ts';
import { deduplicationWindowMs } from '../limits.ts';
import { containsSlot } from '../slot-ranges.ts';
import { slotOf } from '../slots.ts';
import { tallyAdd } from './entry-tally.ts';
import { givenAllowance } from './fence.ts';
import type { Fenced, PartitionState, StateReader } from './state.ts';
import { headOf, newState, prefixRange } from './state.ts';
import { isDefault } from './stores.ts';

export interface ChildName {
  readonly partition: number;
  /** Of its log. */
  readonly generation: number;
  /** Of the split. */
  readonly slotsEpoch: bigint;
}

/** Where the child's chain begins: as no other log's does. */
export function childChain(fenced: Fenced, { partition, generation }: Omit<ChildName, 'slotsEpoch'>): Hash128 {
  const chain = hashFromBytes(fenced.chain);
  hashChained(bytesFromBinary(`split/${partition}/${generation}`), hashFromBytes(fenced.chain), chain);
  return chain;
}

/** The source's stores as they were at the fence, still in force, but with nothing in them; by name, ascending. */
export function storesAtFence(source: Readonly<PartitionState>, { nextOrdinal }: Fenced): StoreState[] {
  const stores: StoreState[] = [];
  for (const { name, ordinal, settings, settingsVersion, allowanceEntries, allowanceBytes } of source.stores.values()) {
    const isLater = ordinal >= nextOrdinal;
    // One without a keyspace was there for its settings, which do not change under a fence.
    if (isLater && isDefault(settings)) continue;
    const store = { ...newStore(name), settings, settingsVersion, allowanceEntries, allowanceBytes };
    if (!isLater && ordinal !== 0) Object.assign(store, { ordinal, keyPrefix: entryKeyPrefix(ordinal) });
    stores.push(store);
  }
  return stores.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The child's state. `stores`: those at the fence, with entries, bytes and hash of what is in the slots, and the source's
 * allowances: of these the child gets what is in use there, and the hand-over takes the same from the source.
 */
export function childOf(fenced: Fenced, child: ChildName, stores: readonly Readonly<StoreState>[]): PartitionState {
  const state = newState();
  const { position, revision, clockNanos, nextOrdinal, slots } = fenced;
  const { slotsEpoch } = child;
  Object.assign(state, { position, revision, clockNanos, nextOrdinal, slots, slotsEpoch, changesFrom: position + 1n });
  state.chain.set(childChain(fenced, child));
  for (const of of stores) {
    const { allowanceEntries, allowanceBytes, entries, bytes } = of;
    const store: StoreState = { ...of, hash: of.hash.slice(), expired: 0 };
    if (allowanceEntries !== undefined) store.allowanceEntries = givenAllowance(allowanceEntries, entries);
    if (allowanceBytes !== undefined) store.allowanceBytes = givenAllowance(allowanceBytes, bytes);
    state.stores.set(store.name, store);
    if (store.ordinal !== 0) state.storesByOrdinal.set(store.ordinal, store);
    state.entries += entries;
    state.bytes += bytes;
    hashAdd(state.stateHash, store.hash);
  }
  return state;
}

/** Head and stores of a state, as records, ascending. */
export function* stateRecords(state: PartitionState): Generator<readonly [BinaryString, Uint8Array], void> {
  yield [headKey, headOf(state)];
  const stores = [...state.stores.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const store of stores) yield [storeKey(store.name), encodeStore(store)];
}

const clockMsOf = ({ clockNanos }: Fenced): number => Number(clockNanos / 1_000_000n);

/** What was remembered of clients' requests at the fence, in the order in which it is forgotten. The fence is still in force. */
export function* rememberedAtFence(fenced: Fenced, reader: StateReader): Generator<RememberedRecord, void> {
  const end = idempotencyExpiryEnd(clockMsOf(fenced) + deduplicationWindowMs);
  for (const indexKey of reader.keys({ start: idempotencyExpiryPrefix, end })) {
    const id = parseIdempotencyExpiryKey(indexKey);
    yield { id, ...decodeIdempotency(reader.get(idempotencyKey(id))!) };
  }
}

const noValue = new Uint8Array(0);

/** All records of the child, in no order: the whole function in one go, which builders must come to bit by bit. */
export function* childRecords(
  source: Readonly<PartitionState>,
  reader: StateReader,
  child: ChildName,
): Generator<readonly [BinaryString, Uint8Array], void> {
  const { fenced } = source;
  if (fenced === undefined) return;
  const stores = storesAtFence(source, fenced);
  for (const store of stores) {
    const { name, ordinal, hash, seed } = store;
    if (ordinal === 0) continue;
    const tally = { entries: 0, bytes: 0, hash, expiring: 0 };
    for (const { key, value } of reader.range(prefixRange(entryKeyPrefix(ordinal)))) {
      const userKey = key.slice(entryKeyPrefixLength);
      if (!containsSlot(fenced.slots, slotOf(name, userKey))) continue;
      tallyAdd(tally, seed, userKey, value);
      yield [key, value];
    }
    Object.assign(store, { entries: tally.entries, bytes: tally.bytes });
  }
  const names = new Map(stores.map(({ ordinal, name }) => [ordinal, name]));
  for (const key of reader.keys(prefixRange(expiryPrefix))) {
    const { ordinal, key: userKey } = parseExpiryKey(key);
    const name = ordinal === 0 ? undefined : names.get(ordinal);
    if (name !== undefined && containsSlot(fenced.slots, slotOf(name, userKey))) yield [key, noValue];
  }
  for (const { id, expiresAtMs } of rememberedAtFence(fenced, reader)) {
    yield [idempotencyKey(id), reader.get(idempotencyKey(id))!];
    yield [idempotencyExpiryKey(expiresAtMs, id), noValue];
  }
  yield* stateRecords(childOf(fenced, child, stores));
}
