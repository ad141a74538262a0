// Recomputes from the records everything that apply keeps incrementally: counters, hashes, indexes. For
// tests, and for restore drills: a state that was restored should prove itself before it serves. Foreign records are passed over.
import type { BinaryString } from '../binary-string.ts';
import { StateStoreError } from '../errors.ts';
import { hashAdd, hashToHex, newHash } from '../hash.ts';
import { decodeChanges, parseChangeKey } from '../keyspace/change.ts';
import { checkEntry, decodeEntry, entryExpiry, entryKeyPrefixLength, entryRevision } from '../keyspace/entry.ts';
import { expiryKey, parseExpiryKey } from '../keyspace/expiry.ts';
import {
  decodeIdempotency,
  idempotencyExpiryKey,
  idempotencyKey,
  parseIdempotencyExpiryKey,
} from '../keyspace/idempotency.ts';
import { uint32At } from '../keyspace/numbers.ts';
import * as prefix from '../keyspace/prefix.ts';
import { decodeRetired, parseRetiredKey, retiredKey } from '../keyspace/retired.ts';
import { encodeSession, parseSessionKey } from '../keyspace/session.ts';
import type { StoreState } from '../keyspace/store.ts';
import { encodeStore } from '../keyspace/store.ts';
import { verifyStepRecords } from '../limits.ts';
import { hashEntry } from './context.ts';
import type { EntryTally, Tally } from './entry-tally.ts';
import { newTally } from './entry-tally.ts';
import { OwnRecords } from './own-records.ts';
import type { PartitionState, StateReader } from './state.ts';
import { headOf, prefixRange } from './state.ts';

/** Differences listed at most: the first ones tell what happened. */
const listedMax = 100;
/** A record counts once more for each so many bytes, as a power of two: 256. */
const weightShift = 8;

/**
 * What of the state does not follow from the records, in words; nothing where all is well. Reads every
 * record once: as long as a full scan.
 */
export function verifyState(state: PartitionState, reader: StateReader): string[] {
  const steps = verifySteps(state, reader);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/**
 * As verifyState, a few records at a time, so that others may run between them: state and reader must stay
 * as they are until it ends. Large records count as several. `passed`: the entries as they were put there, which are
 * not read again then, but for those that the index by expiry names.
 */
export function* verifySteps(
  state: PartitionState,
  reader: StateReader,
  passed?: EntryTally,
): Generator<undefined, string[]> {
  const verification = new Verification(state, reader);
  let weight = 0;
  for (const { key, value } of passed === undefined ? reader.range({}) : besidesEntries(reader)) {
    if (verification.differences.length >= listedMax) return verification.differences;
    try {
      verification.record(key, value);
    } catch (error) {
      if (!(error instanceof StateStoreError)) throw error;
      verification.differ(`${shown(key)}: ${error.message}`);
    }
    weight += 1 + (value.length >> weightShift);
    if (weight < verifyStepRecords) continue;
    weight = 0;
    yield undefined;
  }
  if (passed !== undefined) verification.entries(passed);
  verification.finish();
  return verification.differences;
}

function* besidesEntries(
  reader: StateReader,
): Generator<{ readonly key: BinaryString; readonly value: Uint8Array }, void> {
  const { start, end } = prefixRange(prefix.entryPrefix);
  yield* reader.range({ end: start! });
  yield* reader.range({ start: end! });
}

class Verification {
  readonly differences: string[] = [];
  readonly #state: PartitionState;
  readonly #reader: StateReader;
  readonly #tallies = new Map<StoreState, Tally>();
  readonly #seen = { head: 0, stores: 0, sessions: 0, changesBytes: 0 };
  readonly #hash = newHash();
  /** Records of the index by expiry that are an entry's, by ordinal. */
  readonly #indexed = new Map<number, number>();
  #lastChange = 0n;
  /** Undefined: all records are. */
  readonly #own: OwnRecords | undefined;

  constructor(state: PartitionState, reader: StateReader) {
    this.#state = state;
    this.#reader = reader;
    this.#own = OwnRecords.of(state, reader);
  }

  differ(what: string): void {
    this.differences.push(what);
  }

  #expect(what: string, found: unknown, expected: unknown): void {
    if (found !== expected) this.differ(`${what} is ${String(found)}; the records say ${String(expected)}`);
  }

  record(key: BinaryString, value: Uint8Array): void {
    if (this.#own !== undefined && !this.#own.has(key)) return;
    const handler = this.#handlers[key.charCodeAt(0)];
    if (handler === undefined) this.differ(`${shown(key)}: no kind of record begins so`);
    else handler(key, value);
  }

  readonly #handlers = byFirstByte({
    // The engine's own, and the node's.
    '\x00': () => undefined,
    [prefix.incarnationKey]: () => undefined,
    [prefix.lastRecordKey]: () => undefined,
    [prefix.chainNotePrefix]: () => undefined,
    [prefix.headKey]: (key, value) => {
      this.#seen.head++;
      if (key !== prefix.headKey) this.differ(`${shown(key)}: a second head`);
      else if (!equal(value, headOf(this.#state))) this.differ('the head that is stored is not that of the state');
    },
    [prefix.storePrefix]: (key, value) => this.#store(key, value),
    [prefix.retiredPrefix]: (key, value) => this.#retired(key, value),
    [prefix.entryPrefix]: (key, value) => this.#entry(key, value),
    [prefix.expiryPrefix]: (key) => this.#expiry(key),
    [prefix.changePrefix]: (key, value) => this.#change(key, value),
    [prefix.sessionPrefix]: (key, value) => this.#session(key, value),
    [prefix.idempotencyPrefix]: (key, value) => {
      const { expiresAtMs } = decodeIdempotency(value);
      if (!this.#has(idempotencyExpiryKey(expiresAtMs, key.slice(1))))
        this.differ(`${shown(key)}: not in the index by expiry`);
    },
    [prefix.idempotencyExpiryPrefix]: (key) => {
      const id = parseIdempotencyExpiryKey(key);
      const record = this.#reader.get(idempotencyKey(id));
      const expiresAtMs = record === undefined ? undefined : decodeIdempotency(record).expiresAtMs;
      if (expiresAtMs === undefined || idempotencyExpiryKey(expiresAtMs, id) !== key)
        this.differ(`${shown(key)}: of no record`);
    },
  });

  #has(key: BinaryString): boolean {
    return this.#reader.get(key) !== undefined;
  }

  #store(key: BinaryString, value: Uint8Array): void {
    const store = this.#state.stores.get(key.slice(1));
    this.#seen.stores++;
    if (store === undefined) return this.differ(`${shown(key)}: the state knows no such store`);
    if (!equal(value, encodeStore(store))) this.differ(`store ${store.name}: what is stored is not what the state has`);
    const { ordinal } = store;
    if (ordinal === 0) return;
    this.#expect(
      `store ${store.name}: the owner of its ordinal`,
      this.#state.storesByOrdinal.get(ordinal)?.name,
      store.name,
    );
    if (ordinal >= this.#state.nextOrdinal)
      this.differ(`store ${store.name}: ordinal ${ordinal} was not given out yet`);
    if (this.#has(retiredKey(ordinal))) this.differ(`store ${store.name}: ordinal ${ordinal} is retired`);
  }

  #retired(key: BinaryString, value: Uint8Array): void {
    decodeRetired(value);
    const ordinal = parseRetiredKey(key);
    if (ordinal === 0 || ordinal >= this.#state.nextOrdinal)
      this.differ(`retired ordinal ${ordinal} was not given out`);
  }

  #entry(key: BinaryString, value: Uint8Array): void {
    const ordinal = uint32At(key, 1);
    const valueAt = checkEntry(value);
    const revision = entryRevision(value);
    if (revision > this.#state.revision) this.differ(`${shown(key)}: revision ${revision} is of the future`);
    const store = this.#state.storesByOrdinal.get(ordinal);
    if (store === undefined) {
      if (!this.#has(retiredKey(ordinal)))
        this.differ(`${shown(key)}: of ordinal ${ordinal}, which is no store's and not retired`);
      return;
    }
    const userKey = key.slice(entryKeyPrefixLength);
    const expiresAtMs = entryExpiry(value);
    if (expiresAtMs !== 0 && !this.#has(expiryKey(expiresAtMs, ordinal, userKey))) {
      this.differ(`${shown(key)}: expires at ${expiresAtMs} and is not in the index`);
    }
    const tally = this.#tallyOf(store);
    tally.entries++;
    tally.bytes += userKey.length + value.length - valueAt;
    hashEntry(store.seed, userKey, value, this.#hash);
    hashAdd(tally.hash, this.#hash);
  }

  /** Instead of the records of all entries; after all others. */
  entries({ byOrdinal, revision, unreadable }: EntryTally): void {
    if (unreadable !== undefined) this.differ(`${shown(unreadable.key)}: ${unreadable.why}`);
    if (revision > this.#state.revision) this.differ(`an entry's revision ${revision} is of the future`);
    for (const [ordinal, tally] of byOrdinal) {
      const store = this.#state.storesByOrdinal.get(ordinal);
      if (store === undefined) {
        if (!this.#has(retiredKey(ordinal)))
          this.differ(`${tally.entries} entries of ordinal ${ordinal}, which is no store's and not retired`);
        continue;
      }
      this.#tallies.set(store, tally);
      // Each record of the index names another entry: where there are as many, none is left out.
      this.#expect(
        `store ${store.name}: entries in the index by expiry`,
        this.#indexed.get(ordinal) ?? 0,
        tally.expiring,
      );
    }
  }

  #tallyOf(store: StoreState): Tally {
    const known = this.#tallies.get(store);
    if (known !== undefined) return known;
    const tally = newTally();
    this.#tallies.set(store, tally);
    return tally;
  }

  #expiry(key: BinaryString): void {
    const { expiresAtMs, ordinal, key: userKey } = parseExpiryKey(key);
    const entry = this.#reader.get(prefix.entryPrefix + key.slice(7, 11) + userKey);
    const actual = entry === undefined ? undefined : decodeEntry(entry).expiresAtMs;
    if (actual === expiresAtMs) this.#indexed.set(ordinal, (this.#indexed.get(ordinal) ?? 0) + 1);
    else
      this.differ(`${shown(key)}: the entry of ordinal ${ordinal} expires at ${actual}, its index says ${expiresAtMs}`);
  }

  #change(key: BinaryString, value: Uint8Array): void {
    this.#seen.changesBytes += key.length + value.length;
    const position = parseChangeKey(key);
    const { changesFrom, position: applied, revision: last } = this.#state;
    if (position < changesFrom || position > applied) {
      this.differ(`changes of position ${position}: they are kept from ${changesFrom} to ${applied}`);
    }
    for (const { revision } of decodeChanges(value).changes) {
      if (revision <= this.#lastChange || revision > last)
        this.differ(`changes of position ${position}: revision ${revision} out of order`);
      this.#lastChange = revision;
    }
  }

  #session(key: BinaryString, value: Uint8Array): void {
    const session = this.#state.sessions.get(parseSessionKey(key));
    this.#seen.sessions++;
    if (session === undefined) return this.differ(`${shown(key)}: the state knows no such session`);
    if (!equal(value, encodeSession(session))) this.differ(`${shown(key)}: what is stored is not what the state has`);
  }

  /** After all records. */
  finish(): void {
    const state = this.#state;
    const total = newTally();
    for (const store of state.stores.values()) {
      const tally = this.#tallyOf(store);
      this.#compare(`store ${store.name}`, store, store.hash, tally);
      total.entries += tally.entries;
      total.bytes += tally.bytes;
      hashAdd(total.hash, tally.hash);
    }
    this.#compare('the partition', state, state.stateHash, total);
    this.#expect('the number of stores', state.stores.size, this.#seen.stores);
    this.#expect('the number of sessions', state.sessions.size, this.#seen.sessions);
    this.#expect('the size of all changes', state.changesBytes, this.#seen.changesBytes);
    this.#expect('the number of heads', state.position === 0n ? 0 : 1, this.#seen.head);
    const withKeyspace = [...state.stores.values()].filter(({ ordinal }) => ordinal !== 0).length;
    this.#expect('the number of ordinals in use', state.storesByOrdinal.size, withKeyspace);
  }

  #compare(
    whose: string,
    kept: { readonly entries: number; readonly bytes: number },
    hash: Uint32Array,
    tally: Tally,
  ): void {
    this.#expect(`${whose}: entries`, kept.entries, tally.entries);
    this.#expect(`${whose}: bytes`, kept.bytes, tally.bytes);
    this.#expect(`${whose}: hash`, hashToHex(hash), hashToHex(tally.hash));
  }
}

type RecordHandler = (key: BinaryString, value: Uint8Array) => void;

function byFirstByte(handlers: Readonly<Record<BinaryString, RecordHandler>>): readonly (RecordHandler | undefined)[] {
  const all: (RecordHandler | undefined)[] = Array.from({ length: 256 });
  for (const [prefix, handler] of Object.entries(handlers)) all[prefix.charCodeAt(0)] = handler;
  return all;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function shown(key: BinaryString): string {
  let hex = '';
  for (let i = 0; i < Math.min(key.length, 40); i++) hex += key.charCodeAt(i).toString(16).padStart(2, '0');
  return `record ${hex}${key.length > 40 ? '…' : ''}`;
}
