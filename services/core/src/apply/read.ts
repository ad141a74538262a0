// What readers see of a state: entries whose time has not come, in key order. Pure, as apply is; the
// reader's clock is a parameter.
import type { BinaryString } from '../binary-string.ts';
import type { StoredEntry } from '../keyspace/entry.ts';
import { decodeEntry, entryExpiry } from '../keyspace/entry.ts';
import { expiryPrefix } from '../keyspace/prefix.ts';
import type { PartitionState, StateReader, StateRange } from './state.ts';
import { prefixRange } from './state.ts';
import { prefixEnd } from '../binary-string.ts';
import { containsSlot } from '../slot-ranges.ts';
import { slotOf } from '../slots.ts';

/**
 * The entry that a reader sees, undefined where there is none. `wallMs`: the reader's clock; what
 * either it or the state's clock has passed is hidden.
 */
export function readEntry(
  state: PartitionState,
  reader: StateReader,
  store: string,
  key: BinaryString,
  wallMs: number,
): StoredEntry | undefined {
  return ownsKey(state, store, key) ? readOwnEntry(state, reader, store, key, wallMs) : undefined;
}

/** As `readEntry`, of a key that is known to be the partition's. */
export function readOwnEntry(
  state: PartitionState,
  reader: StateReader,
  store: string,
  key: BinaryString,
  wallMs: number,
): StoredEntry | undefined {
  const known = state.stores.get(store);
  if (known === undefined || known.ordinal === 0) return undefined;
  const bytes = reader.get(known.keyPrefix + key);
  if (bytes === undefined || isExpired(state, bytes, wallMs)) return undefined;
  return decodeEntry(bytes);
}

/** Whether the key's slot is the partition's; of one that was never reshaped, all are. */
export function ownsKey({ slots }: Readonly<PartitionState>, store: string, key: BinaryString): boolean {
  return slots === undefined || containsSlot(slots, slotOf(store, key));
}

function isExpired(state: PartitionState, bytes: Uint8Array, wallMs: number): boolean {
  const expiresAtMs = entryExpiry(bytes);
  return expiresAtMs !== 0 && (expiresAtMs <= wallMs || expiresAtMs <= Number(state.clockNanos / 1_000_000n));
}

/** Whether there is any entry whose time may come. */
export function mayExpire(reader: StateReader): boolean {
  for (const _ of reader.keys({ ...prefixRange(expiryPrefix), limit: 1 })) return true;
  return false;
}

export interface EntryRange {
  /** Keys start ≤ key < end; undefined: open. */
  readonly start?: BinaryString;
  readonly end?: BinaryString;
  readonly reverse?: boolean;
}

/** The entries of a store that a reader sees, in key order (or against it). Consume it without awaiting. */
export function* readRange(
  state: PartitionState,
  reader: StateReader,
  store: string,
  range: EntryRange,
  wallMs: number,
): IterableIterator<StoredEntry & { readonly key: BinaryString }> {
  const known = state.stores.get(store);
  if (known === undefined || known.ordinal === 0) return;
  const { slots } = state;
  const prefix = known.keyPrefix;
  const end = range.end === undefined ? prefixEnd(prefix) : prefix + range.end;
  const bounds: StateRange = {
    start: prefix + (range.start ?? ''),
    ...(end === undefined ? {} : { end }),
    ...(range.reverse === true ? { reverse: true } : {}),
  };
  for (const { key, value } of reader.range(bounds)) {
    if (isExpired(state, value, wallMs)) continue;
    const userKey = key.slice(prefix.length);
    if (slots !== undefined && !containsSlot(slots, slotOf(store, userKey))) continue;
    const entry = decodeEntry(value);
    yield { key: userKey, ...entry };
  }
}
