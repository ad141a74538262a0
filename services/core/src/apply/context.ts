// One batch under way: the state that it changes, its writes so far, and the one place where an entry
// is written or removed, so that counters, hashes, the expiry index, revisions and change records
// cannot part from the entries.
import type { BinaryString } from '../binary-string.ts';
import type { Change } from '../change.ts';
import type { Hash128 } from '../hash.ts';
import { hashAdd, hashChained, hashSubtract, newHash } from '../hash.ts';
import { encodeEntry, entryExpiry, entryKeyPrefix, entryValueOffset } from '../keyspace/entry.ts';
import { expiryKey } from '../keyspace/expiry.ts';
import type { StoreState } from '../keyspace/store.ts';
import { newStore } from '../keyspace/store.ts';
import { keyBytesMax } from '../limits.ts';
import { Overlay } from './overlay.ts';
import type { PartitionState, StateReader } from './state.ts';

const keyBuffer = new Uint8Array(keyBytesMax + 16);
const keyHash = newHash();
const entryHash = newHash();
const noValue = new Uint8Array(0);

/** H(store, key, entry as encoded): revision, expiry and content type count. */
export function hashEntry(seed: Hash128, key: BinaryString, bytes: Uint8Array, out: Hash128): void {
  const { length } = key;
  for (let i = 0; i < length; i++) keyBuffer[i] = key.charCodeAt(i);
  hashChained(keyBuffer, seed, keyHash, length);
  hashChained(bytes, keyHash, out);
}

export interface NewEntry {
  readonly value: Uint8Array;
  readonly contentType: string;
  readonly expiresAtMs: number;
}

interface Savepoint {
  readonly revision: bigint;
  readonly nextOrdinal: number;
  readonly entries: number;
  readonly bytes: number;
  readonly expired: number;
  readonly stateHash: Hash128;
  readonly changes: number;
  readonly store: StoreState;
  readonly storeBefore: Pick<StoreState, 'ordinal' | 'keyPrefix' | 'entries' | 'bytes' | 'expired'>;
  readonly storeHash: Hash128;
  readonly known: boolean;
}

export class BatchContext {
  readonly state: PartitionState;
  readonly overlay: Overlay;
  #clockMs: number;
  readonly changes: Change[] = [];
  readonly dirtyStores = new Set<StoreState>();
  readonly dirtySessions = new Set<BinaryString>();
  #entryKeyOf = '';
  #entryKeyPrefix = '';
  #entryKey = '';

  constructor(state: PartitionState, reader: StateReader) {
    this.state = state;
    this.overlay = new Overlay(reader);
    this.#clockMs = Number(state.clockNanos / 1_000_000n);
  }

  /** The state's clock, ms since 1970. */
  get clockMs(): number {
    return this.#clockMs;
  }

  /** Never backwards. */
  moveClock(nanos: bigint): void {
    const { state } = this;
    if (nanos > state.clockNanos) state.clockNanos = nanos;
    this.#clockMs = Number(state.clockNanos / 1_000_000n);
  }

  /** The store of that name; one that is not known yet becomes so with its first entry. */
  store(name: string): StoreState {
    return this.state.stores.get(name) ?? newStore(name);
  }

  register(store: StoreState): void {
    this.state.stores.set(store.name, store);
    this.dirtyStores.add(store);
  }

  /** An entry is looked up and then written: the same string both times is joined and hashed once. */
  #keyOf({ keyPrefix }: StoreState, key: BinaryString): BinaryString {
    if (key !== this.#entryKeyOf || keyPrefix !== this.#entryKeyPrefix) {
      this.#entryKeyOf = key;
      this.#entryKeyPrefix = keyPrefix;
      this.#entryKey = keyPrefix + key;
    }
    return this.#entryKey;
  }

  /** The entry as encoded, expired or not. */
  entryBytes(store: StoreState, key: BinaryString): Uint8Array | undefined {
    return store.ordinal === 0 ? undefined : this.overlay.get(this.#keyOf(store, key));
  }

  /** Writes an entry over `before` (as encoded, expired or not); returns its revision. */
  writeEntry(store: StoreState, key: BinaryString, before: Uint8Array | undefined, entry: NewEntry): bigint {
    const { state } = this;
    if (store.ordinal === 0) this.giveKeyspace(store);
    if (before !== undefined) this.#subtract(store, key, before);
    const revision = ++state.revision;
    const { value, contentType, expiresAtMs } = entry;
    const bytes = encodeEntry({ revision, expiresAtMs, contentType, value });
    this.overlay.put(this.#keyOf(store, key), bytes);
    if (expiresAtMs !== 0) this.overlay.put(expiryKey(expiresAtMs, store.ordinal, key), noValue);
    hashEntry(store.seed, key, bytes, entryHash);
    hashAdd(store.hash, entryHash);
    hashAdd(state.stateHash, entryHash);
    store.entries++;
    state.entries++;
    store.bytes += key.length + value.length;
    state.bytes += key.length + value.length;
    this.dirtyStores.add(store);
    this.changes.push({ kind: 'put', revision, store: store.name, key });
    return revision;
  }

  /** Removes an entry; returns the revision of the removal. */
  removeEntry(store: StoreState, key: BinaryString, before: Uint8Array, kind: 'delete' | 'expire'): bigint {
    this.#subtract(store, key, before);
    this.overlay.delete(this.#keyOf(store, key));
    if (kind === 'expire') {
      store.expired++;
      this.state.expired++;
    }
    const revision = ++this.state.revision;
    this.dirtyStores.add(store);
    this.changes.push({ kind, revision, store: store.name, key });
    return revision;
  }

  #subtract(store: StoreState, key: BinaryString, before: Uint8Array): void {
    const { state } = this;
    hashEntry(store.seed, key, before, entryHash);
    hashSubtract(store.hash, entryHash);
    hashSubtract(state.stateHash, entryHash);
    const bytes = key.length + before.length - entryValueOffset(before);
    store.entries--;
    state.entries--;
    store.bytes -= bytes;
    state.bytes -= bytes;
    const expiresAtMs = entryExpiry(before);
    if (expiresAtMs !== 0) this.overlay.delete(expiryKey(expiresAtMs, store.ordinal, key));
  }

  giveKeyspace(store: StoreState): void {
    store.ordinal = this.state.nextOrdinal++;
    store.keyPrefix = entryKeyPrefix(store.ordinal);
    this.state.storesByOrdinal.set(store.ordinal, store);
    this.register(store);
  }

  /** Where `rollback` goes back to: for a transaction on one store. */
  savepoint(store: StoreState): Savepoint {
    this.overlay.begin();
    const { state } = this;
    const { ordinal, keyPrefix, entries, bytes, expired } = store;
    return {
      revision: state.revision,
      nextOrdinal: state.nextOrdinal,
      entries: state.entries,
      bytes: state.bytes,
      expired: state.expired,
      stateHash: state.stateHash.slice(),
      changes: this.changes.length,
      store,
      storeBefore: { ordinal, keyPrefix, entries, bytes, expired },
      storeHash: store.hash.slice(),
      known: state.stores.has(store.name),
    };
  }

  rollback(to: Savepoint): void {
    this.overlay.rollback();
    const { state } = this;
    const { store } = to;
    if (store.ordinal !== to.storeBefore.ordinal) state.storesByOrdinal.delete(store.ordinal);
    state.revision = to.revision;
    state.nextOrdinal = to.nextOrdinal;
    state.entries = to.entries;
    state.bytes = to.bytes;
    state.expired = to.expired;
    state.stateHash.set(to.stateHash);
    this.changes.length = to.changes;
    Object.assign(store, to.storeBefore);
    store.hash.set(to.storeHash);
    if (!to.known) {
      state.stores.delete(store.name);
      this.dirtyStores.delete(store);
    }
  }
}
