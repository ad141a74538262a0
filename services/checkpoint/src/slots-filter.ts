// A state for other slots, made of the records of one or more partitions: for a cluster with another number of
// partitions than the one that was checkpointed. Its entries are those of the slots, as they were, with their
// revisions. What says something about a partition as a whole is made anew: head, stores, counters and hashes are
// recounted, stores are numbered anew, the index by expiry follows the entries. What belongs to the log that is
// left is left behind: change records, sessions, remembered requests, what waits to be swept.
//
// Two passes, since head and stores stand before the entries that they count: `countSlots`, then `slotRecords`.
import type { BinaryString, Hash128 } from '@statestore/core';
import {
  hashAdd,
  hashBytes,
  hashToBytes,
  keyspace,
  limits,
  newHash,
  prefixEnd,
  prefixRange,
  slotOf,
  StateStoreError,
} from '@statestore/core';
import type { KeyRange, StateRecord } from './records.ts';
import { entriesRange } from './records.ts';

type StoreState = keyspace.StoreState;

/** A partition that was checkpointed. To be read several times, also in small ranges. */
export interface SlotsSource {
  readonly partition: number;
  /** Its slots, half-open, ascending. */
  readonly slots: readonly SlotRange[];
  /** Its records in the range, in parts, ascending over all of them. */
  read(range: KeyRange): AsyncIterable<readonly StateRecord[]>;
}

export interface SlotRange {
  readonly start: number;
  readonly end: number;
}

interface Numbered {
  /** In the new state. */
  readonly store: StoreState;
  /** By source: what its entries are under there. */
  readonly ordinals: (number | undefined)[];
}

export interface CountedSlots {
  readonly sources: readonly SlotsSource[];
  readonly slots: readonly SlotRange[];
  readonly head: keyspace.HeadFields;
  /** By name, ascending. */
  readonly stores: readonly Numbered[];
}

const maxOf = (a: bigint, b: bigint): bigint => (a > b ? a : b);

function isInSlots(slots: readonly SlotRange[], slot: number): boolean {
  return slots.some(({ start, end }) => slot >= start && slot < end);
}

/**
 * First pass. The new state's position is the greatest of the sources', or `position` where that is greater: its log
 * goes on from there. Throws `invalid_parameter` where the sources do not have all of the slots.
 */
export async function countSlots(
  sources: readonly SlotsSource[],
  slots: readonly SlotRange[],
  position = 1n,
): Promise<CountedSlots> {
  requireSlots(sources, slots);
  const counting = new Counting(sources, slots);
  for (const [at, source] of sources.entries()) await counting.take(at, source);
  return counting.result(position);
}

function requireSlots(sources: readonly SlotsSource[], slots: readonly SlotRange[]): void {
  const all = sources.flatMap((source) => source.slots).toSorted((a, b) => a.start - b.start);
  for (const { start, end } of slots) {
    let next = start;
    for (const range of all) if (range.start <= next && range.end > next) next = range.end;
    if (next >= end) continue;
    throw new StateStoreError(
      'invalid_parameter',
      `slot ${next} is in none of the partitions ${sources.map(({ partition }) => partition).join(', ')}`,
    );
  }
}

class Counting {
  readonly #sources: readonly SlotsSource[];
  readonly #slots: readonly SlotRange[];
  readonly #stores = new Map<string, Numbered>();
  readonly #chain = newHash();
  #position = 0n;
  #clockNanos = 0n;
  #revision = 0n;
  #expired = 0n;

  constructor(sources: readonly SlotsSource[], slots: readonly SlotRange[]) {
    this.#sources = sources;
    this.#slots = slots;
  }

  async take(at: number, source: SlotsSource): Promise<void> {
    const byOrdinal = new Map<number, StoreState>();
    // What cannot be told apart by slots goes with the source's first one.
    const first = isInSlots(this.#slots, source.slots[0]?.start ?? -1);
    for await (const part of source.read({ start: '', end: entriesRange.start }))
      for (const { key, value } of part) {
        if (key === keyspace.headKey) this.#head(value, first);
        else if (key.startsWith(keyspace.storePrefix)) this.#store(at, keyspace.decodeStore(value), byOrdinal, first);
      }
    for await (const part of source.read(entriesRange)) for (const record of part) this.#entry(record, byOrdinal);
  }

  #head(bytes: Uint8Array, first: boolean): void {
    const head = keyspace.decodeHead(bytes);
    this.#position = maxOf(this.#position, head.position);
    this.#clockNanos = maxOf(this.#clockNanos, head.clockNanos);
    this.#revision = maxOf(this.#revision, head.revision);
    if (first) this.#expired += head.expired;
    extend(this.#chain, head.chain);
  }

  #store(at: number, found: StoreState, byOrdinal: Map<number, StoreState>, first: boolean): void {
    const known = this.#stores.get(found.name);
    const numbered = known ?? { store: keyspace.newStore(found.name), ordinals: [] };
    this.#stores.set(found.name, numbered);
    const { store } = numbered;
    if (known === undefined || found.settingsVersion > store.settingsVersion) {
      store.settings = found.settings;
      store.settingsVersion = found.settingsVersion;
    }
    if (first) store.expired += found.expired;
    if (found.ordinal === 0) return;
    numbered.ordinals[at] = found.ordinal;
    byOrdinal.set(found.ordinal, store);
  }

  readonly #hash: Hash128 = newHash();

  #entry({ key, value }: StateRecord, byOrdinal: ReadonlyMap<number, StoreState>): void {
    const store = byOrdinal.get(keyspace.uint32At(key, 1));
    if (store === undefined) return;
    const userKey = key.slice(keyspace.entryKeyPrefixLength);
    if (!isInSlots(this.#slots, slotOf(store.name, userKey))) return;
    store.entries++;
    store.bytes += userKey.length + value.length - keyspace.entryValueOffset(value);
    keyspace.hashEntry(store.seed, userKey, value, this.#hash);
    hashAdd(store.hash, this.#hash);
  }

  result(position: bigint): CountedSlots {
    const stores = this.#numbered();
    const stateHash = newHash();
    let entries = 0;
    let bytes = 0;
    for (const { store } of stores) {
      hashAdd(stateHash, store.hash);
      entries += store.entries;
      bytes += store.bytes;
      // What one partition did not use of its allowance is dealt out anew: all of them together never have more than before.
      store.allowanceEntries = store.settings.quotaEntries === undefined ? undefined : store.entries;
      store.allowanceBytes = store.settings.quotaBytes === undefined ? undefined : store.bytes;
    }
    const own = maxOf(maxOf(this.#position, position), 1n);
    const head: keyspace.HeadFields = {
      position: own,
      clockNanos: this.#clockNanos,
      revision: this.#revision,
      chain: hashToBytes(this.#chain),
      stateHash: hashToBytes(stateHash),
      nextOrdinal: stores.reduce((last, { store }) => Math.max(last, store.ordinal), 0) + 1,
      entries: BigInt(entries),
      bytes: BigInt(bytes),
      expired: this.#expired,
      changesFrom: own + 1n,
      changesBytes: 0n,
    };
    return { sources: this.#sources, slots: this.#slots, head, stores };
  }

  /** Those that have entries or settings, by name; numbered in the order of the first source that has them, so that it can be read along. */
  #numbered(): Numbered[] {
    const kept = [...this.#stores.values()].filter(({ store }) => store.entries > 0 || hasSettings(store));
    const withEntries = kept.filter(({ store }) => store.entries > 0).toSorted((a, b) => inOrder(a, b));
    for (const [at, { store }] of withEntries.entries()) {
      store.ordinal = at + 1;
      store.keyPrefix = keyspace.entryKeyPrefix(store.ordinal);
    }
    if (kept.length > limits.storesMax)
      throw new StateStoreError(
        'too_many_stores',
        `there are ${kept.length} stores in these slots; one partition may have ${limits.storesMax}`,
      );
    return kept.toSorted((a, b) => (a.store.name < b.store.name ? -1 : 1));
  }
}

function hasSettings({ settings }: StoreState): boolean {
  return settings.defaultTtlMs !== 0 || settings.quotaEntries !== undefined || settings.quotaBytes !== undefined;
}

function inOrder(a: Numbered, b: Numbered): number {
  for (let at = 0; at < Math.max(a.ordinals.length, b.ordinals.length); at++) {
    const [one, other] = [a.ordinals[at], b.ordinals[at]];
    if (one !== undefined || other !== undefined) return (one ?? Infinity) - (other ?? Infinity);
  }
  return 0;
}

/** The chain of the new log begins with those of all sources, so that two states made of other sources differ. */
function extend(chain: Hash128, bytes: Uint8Array): void {
  hashBytes(Buffer.concat([hashToBytes(chain), bytes]), 0, chain);
}

/** Second pass: the records of the new state, in parts, ascending over all of them. */
export async function* slotRecords(counted: CountedSlots): AsyncGenerator<readonly StateRecord[], void> {
  const { head, stores } = counted;
  yield [
    { key: keyspace.headKey, value: keyspace.encodeHead(head) },
    ...stores.map(({ store }) => ({ key: keyspace.storeKey(store.name), value: keyspace.encodeStore(store) })),
  ];
  const numbered = stores
    .filter(({ store }) => store.ordinal !== 0)
    .toSorted((a, b) => a.store.ordinal - b.store.ordinal);
  for (const one of numbered) yield* storeRecords(counted, one);
  yield* expiryRecords(counted);
}

async function* storeRecords(
  { sources, slots }: CountedSlots,
  { store, ordinals }: Numbered,
): AsyncGenerator<readonly StateRecord[], void> {
  const streams = sources.flatMap((source, at) => {
    const ordinal = ordinals[at];
    if (ordinal === undefined) return [];
    const { start, end } = prefixRange(keyspace.entryKeyPrefix(ordinal));
    return [source.read({ start: start!, end: end! })];
  });
  yield* merged(streams, (record) => {
    const userKey = record.key.slice(keyspace.entryKeyPrefixLength);
    if (!isInSlots(slots, slotOf(store.name, userKey))) return undefined;
    return { key: store.keyPrefix + userKey, value: record.value };
  });
}

const expiryRange: KeyRange = { start: keyspace.expiryPrefix, end: prefixEnd(keyspace.expiryPrefix)! };
const noValue = new Uint8Array(0);

async function* expiryRecords({ sources, slots, stores }: CountedSlots): AsyncGenerator<readonly StateRecord[], void> {
  const streams = sources.map((source, at) => {
    const byOrdinal = new Map<number, StoreState>();
    for (const { store, ordinals } of stores) {
      const ordinal = ordinals[at];
      if (ordinal !== undefined && store.ordinal !== 0) byOrdinal.set(ordinal, store);
    }
    return renumbered(source.read(expiryRange), slots, byOrdinal);
  });
  yield* merged(streams, (record) => record);
}

/** Index records with the new ordinals: in order again, since those of one millisecond are sorted. */
async function* renumbered(
  parts: AsyncIterable<readonly StateRecord[]>,
  slots: readonly SlotRange[],
  byOrdinal: ReadonlyMap<number, StoreState>,
): AsyncGenerator<readonly StateRecord[], void> {
  let ms = -1;
  let same: BinaryString[] = [];
  const take = (): readonly StateRecord[] => same.toSorted(byBytes).map((key) => ({ key, value: noValue }));
  for await (const part of parts) {
    for (const record of part) {
      const { expiresAtMs, ordinal, key } = keyspace.parseExpiryKey(record.key);
      const store = byOrdinal.get(ordinal);
      if (store === undefined || !isInSlots(slots, slotOf(store.name, key))) continue;
      if (expiresAtMs !== ms) {
        if (same.length > 0) yield take();
        same = [];
        ms = expiresAtMs;
      }
      same.push(keyspace.expiryKey(expiresAtMs, store.ordinal, key));
    }
  }
  if (same.length > 0) yield take();
}

function byBytes(a: BinaryString, b: BinaryString): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const partRecords = 4096;

/** Streams of ascending keys as one. Two partitions never have the same key: slots are one partition's. */
async function* merged(
  streams: readonly AsyncIterable<readonly StateRecord[]>[],
  as: (record: StateRecord) => StateRecord | undefined,
): AsyncGenerator<readonly StateRecord[], void> {
  const heads = streams.map((stream) => new StreamHead(stream, as));
  try {
    for (const head of heads) await head.next();
    let part: StateRecord[] = [];
    for (;;) {
      let least: StreamHead | undefined;
      for (const head of heads)
        if (head.record !== undefined && (least === undefined || head.record.key < least.record!.key)) least = head;
      if (least === undefined) break;
      part.push(least.record!);
      const wait = least.next();
      if (wait !== undefined) await wait;
      if (part.length < partRecords) continue;
      yield part;
      part = [];
    }
    if (part.length > 0) yield part;
  } finally {
    await Promise.all(heads.map((head) => head.leave()));
  }
}

class StreamHead {
  record: StateRecord | undefined;
  readonly #parts: AsyncIterator<readonly StateRecord[]>;
  readonly #as: (record: StateRecord) => StateRecord | undefined;
  #part: readonly StateRecord[] = [];
  #at = 0;

  constructor(parts: AsyncIterable<readonly StateRecord[]>, as: (record: StateRecord) => StateRecord | undefined) {
    this.#parts = parts[Symbol.asyncIterator]();
    this.#as = as;
  }

  /** To the next record that counts; a promise where the next part has to be waited for. */
  next(): Promise<void> | undefined {
    while (this.#at < this.#part.length) {
      this.record = this.#as(this.#part[this.#at++]!);
      if (this.record !== undefined) return undefined;
    }
    return this.#fetch();
  }

  async #fetch(): Promise<void> {
    this.record = undefined;
    const step = await this.#parts.next();
    if (step.done === true) return;
    this.#part = step.value;
    this.#at = 0;
    await this.next();
  }

  async leave(): Promise<void> {
    await this.#parts.return?.();
  }
}
