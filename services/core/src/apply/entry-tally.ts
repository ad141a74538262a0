// What a state's entries come to, counted as they pass on their way into an engine: whoever put them there need not
// read them back to compare counts and hashes. What else makes a state is verify.ts's to say.
import type { BinaryString } from '../binary-string.ts';
import { StateStoreError } from '../errors.ts';
import type { Hash128 } from '../hash.ts';
import { hashAdd, hashSubtract, newHash } from '../hash.ts';
import { checkEntry, entryExpiry, entryKeyPrefixLength, entryRevision } from '../keyspace/entry.ts';
import { decodeHead } from '../keyspace/head.ts';
import { uint32At } from '../keyspace/numbers.ts';
import { entryPrefix, headKey, retiredPrefix, storePrefix } from '../keyspace/prefix.ts';
import { decodeStore } from '../keyspace/store.ts';
import { hashEntry } from './context.ts';
import { OwnRecords } from './own-records.ts';

/** Of one store's entries. */
export interface Tally {
  entries: number;
  /** Of their keys and values. */
  bytes: number;
  readonly hash: Hash128;
  /** Those that expire. */
  expiring: number;
}

export function newTally(): Tally {
  return { entries: 0, bytes: 0, hash: newHash(), expiring: 0 };
}

const hash = newHash();

/** Counts one entry, as encoded. `seed`: its store's. Throws `data_corrupt` where it is none. */
export function tallyAdd(tally: Tally, seed: Hash128, key: BinaryString, bytes: Uint8Array): void {
  tally.entries++;
  tally.bytes += key.length + bytes.length - checkEntry(bytes);
  if (entryExpiry(bytes) !== 0) tally.expiring++;
  hashEntry(seed, key, bytes, hash);
  hashAdd(tally.hash, hash);
}

/** One that was counted is not there any more. */
export function tallySubtract(tally: Tally, seed: Hash128, key: BinaryString, bytes: Uint8Array): void {
  tally.entries--;
  tally.bytes -= key.length + bytes.length - checkEntry(bytes);
  if (entryExpiry(bytes) !== 0) tally.expiring--;
  hashEntry(seed, key, bytes, hash);
  hashSubtract(tally.hash, hash);
}

const entryByte = entryPrefix.charCodeAt(0);
const storeByte = storePrefix.charCodeAt(0);
const headByte = headKey.charCodeAt(0);
const retiredByte = retiredPrefix.charCodeAt(0);

export class EntryTally {
  readonly byOrdinal = new Map<number, Tally>();
  /** The greatest of an entry. */
  revision = 0n;
  /** The first record that cannot be read. */
  unreadable: { readonly key: BinaryString; readonly why: string } | undefined;
  readonly #seeds = new Map<number, Hash128>();
  readonly #names = new Map<number, string>();
  readonly #retired = new Map<BinaryString, Uint8Array>();
  /** Undefined: all are. */
  #own: OwnRecords | undefined;
  readonly #hash = newHash();
  #ordinal = 0;
  #tally: Tally | undefined;

  /** All records of a state, in the order of their keys: head, stores and retired keyspaces come before entries. */
  record(key: BinaryString, value: Uint8Array): void {
    const kind = key.charCodeAt(0);
    if (kind !== entryByte && kind !== storeByte && kind !== headByte && kind !== retiredByte) return;
    try {
      if (kind === entryByte) this.#entry(key, value);
      else if (kind === storeByte) this.#store(value);
      else if (kind === headByte) this.#head(value);
      else this.#retired.set(key, value);
    } catch (error) {
      if (!(error instanceof StateStoreError)) throw error;
      this.unreadable ??= { key, why: error.message };
    }
  }

  #head(value: Uint8Array): void {
    const slots = decodeHead(value).owned?.slots;
    if (slots === undefined) return;
    this.#own = new OwnRecords(
      slots,
      (ordinal) => this.#names.get(ordinal),
      (key) => this.#retired.get(key),
    );
  }

  #store(value: Uint8Array): void {
    const { name, ordinal, seed } = decodeStore(value);
    if (ordinal === 0) return;
    this.#seeds.set(ordinal, seed);
    this.#names.set(ordinal, name);
  }

  #entry(key: BinaryString, value: Uint8Array): void {
    if (this.#own !== undefined && !this.#own.has(key)) return;
    const valueAt = checkEntry(value);
    const revision = entryRevision(value);
    if (revision > this.revision) this.revision = revision;
    const ordinal = uint32At(key, 1);
    const tally = this.#tallyOf(ordinal);
    const userKey = key.slice(entryKeyPrefixLength);
    tally.entries++;
    tally.bytes += userKey.length + value.length - valueAt;
    if (entryExpiry(value) !== 0) tally.expiring++;
    const seed = this.#seeds.get(ordinal);
    // A cleared store's have none, and count for nothing.
    if (seed === undefined) return;
    hashEntry(seed, userKey, value, this.#hash);
    hashAdd(tally.hash, this.#hash);
  }

  #tallyOf(ordinal: number): Tally {
    if (this.#tally !== undefined && ordinal === this.#ordinal) return this.#tally;
    let tally = this.byOrdinal.get(ordinal);
    if (tally === undefined) this.byOrdinal.set(ordinal, (tally = newTally()));
    this.#ordinal = ordinal;
    return (this.#tally = tally);
  }
}
