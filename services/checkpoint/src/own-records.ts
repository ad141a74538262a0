// What of an engine is the partition's state: where it was split or merged there may be entries beside it that are another
// partition's, more on one replica than on another. Those are not checkpointed.
import type { BinaryString, PartitionState, StateRange, StateReader } from '@statestore/core';
import { keyspace, limits, slotOf, slotRanges } from '@statestore/core';
import type { StateRecord } from './records.ts';

type Slots = readonly { readonly start: number; readonly end: number }[];

/** Of an ordinal: whose entries they are. Undefined: all of them are the state's. */
interface Whose {
  readonly store: string;
  readonly slots: Slots;
}

/** The reader itself where everything in it is the state's. */
export function ownRecordsOf(reader: StateReader, state: PartitionState): StateReader {
  const { slots } = state;
  return slots === undefined || slotRanges.slotCountOf(slots) === limits.slotCount
    ? reader
    : new OwnRecords(reader, state, slots);
}

class OwnRecords implements StateReader {
  readonly #reader: StateReader;
  readonly #state: PartitionState;
  readonly #slots: Slots;
  readonly #retired = new Map<number, Whose | undefined>();

  /* oxlint-disable-next-line max-params -- what is read, and what of it counts */
  constructor(reader: StateReader, state: PartitionState, slots: Slots) {
    this.#reader = reader;
    this.#state = state;
    this.#slots = slots;
    for (const { key, value } of reader.range(prefixOf(keyspace.retiredPrefix)))
      this.#retired.set(keyspace.parseRetiredKey(key), keyspace.decodeRetired(value));
  }

  get(key: BinaryString): Uint8Array | undefined {
    return this.#isOwn(key) ? this.#reader.get(key) : undefined;
  }

  *range({ limit = Infinity, ...range }: StateRange): Generator<StateRecord> {
    if (limit === 0) return;
    let left = limit;
    for (const record of this.#reader.range(range)) {
      if (!this.#isOwn(record.key)) continue;
      yield record;
      if (--left === 0) return;
    }
  }

  *keys({ limit = Infinity, ...range }: StateRange): Generator<BinaryString> {
    if (limit === 0) return;
    let left = limit;
    for (const key of this.#reader.keys(range)) {
      if (!this.#isOwn(key)) continue;
      yield key;
      if (--left === 0) return;
    }
  }

  #isOwn(key: BinaryString): boolean {
    if (key.startsWith(keyspace.entryPrefix))
      return this.#isOwnEntry(keyspace.uint32At(key, 1), key, keyspace.entryKeyPrefixLength);
    if (!key.startsWith(keyspace.expiryPrefix)) return true;
    const { ordinal, key: userKey } = keyspace.parseExpiryKey(key);
    return this.#isOwnEntry(ordinal, userKey, 0);
  }

  #isOwnEntry(ordinal: number, key: BinaryString, from: number): boolean {
    const store = this.#state.storesByOrdinal.get(ordinal);
    if (store !== undefined) return slotRanges.containsSlot(this.#slots, slotOf(store.name, key.slice(from)));
    // Of no store and no clear: what was left of a staging that came to nothing.
    if (!this.#retired.has(ordinal)) return false;
    const whose = this.#retired.get(ordinal);
    return whose === undefined || slotRanges.containsSlot(whose.slots, slotOf(whose.store, key.slice(from)));
  }
}

function prefixOf(prefix: BinaryString): StateRange {
  return { start: prefix, end: String.fromCharCode(prefix.charCodeAt(0) + 1) };
}
