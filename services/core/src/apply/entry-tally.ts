// What a state's entries come to, counted as they pass on their way into an engine: whoever put them there need not
// read them back to compare counts and hashes. What else makes a state is verify.ts's to say.
import type { BinaryString } from '../binary-string.ts';
import { StateStoreError } from '../errors.ts';
import type { Hash128 } from '../hash.ts';
import { hashAdd, newHash } from '../hash.ts';
import { checkEntry, entryExpiry, entryKeyPrefixLength, entryRevision } from '../keyspace/entry.ts';
import { uint32At } from '../keyspace/numbers.ts';
import { entryPrefix, storePrefix } from '../keyspace/prefix.ts';
import { decodeStore } from '../keyspace/store.ts';
import { hashEntry } from './context.ts';

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

const entryByte = entryPrefix.charCodeAt(0);
const storeByte = storePrefix.charCodeAt(0);

export class EntryTally {
  readonly byOrdinal = new Map<number, Tally>();
  /** The greatest of an entry. */
  revision = 0n;
  /** The first record that cannot be read. */
  unreadable: { readonly key: BinaryString; readonly why: string } | undefined;
  readonly #seeds = new Map<number, Hash128>();
  readonly #hash = newHash();
  #ordinal = 0;
  #tally: Tally | undefined;

  /** All records of a state, in the order of their keys: those of stores come before entries. */
  record(key: BinaryString, value: Uint8Array): void {
    const kind = key.charCodeAt(0);
    if (kind !== entryByte && kind !== storeByte) return;
    try {
      if (kind === entryByte) this.#entry(key, value);
      else this.#store(value);
    } catch (error) {
      if (!(error instanceof StateStoreError)) throw error;
      this.unreadable ??= { key, why: error.message };
    }
  }

  #store(value: Uint8Array): void {
    const { ordinal, seed } = decodeStore(value);
    if (ordinal !== 0) this.#seeds.set(ordinal, seed);
  }

  #entry(key: BinaryString, value: Uint8Array): void {
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
