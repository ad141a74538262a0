// Where entries of another partition's slots are put: an engine of its own, or one that a partition runs on. And the
// writes on their way there, in commits of bounded size.
import type { BinaryString, StateRange } from '@statestore/core';
import { keyspace, limits } from '@statestore/core';

export type Writes = ReadonlyMap<BinaryString, Uint8Array | undefined>;

/** A store of the source, as of now or as of the fence. */
export interface SourceStore {
  readonly name: string;
  /** 0: it has no keyspace. */
  readonly ordinal: number;
  readonly seed: Uint32Array;
}

export interface CopyTarget {
  /** Whether everything in it was put there by the copy: what is not of the slots does not belong there. */
  readonly isOwn: boolean;
  get(key: BinaryString): Uint8Array | undefined;
  range(range: StateRange): Iterable<{ readonly key: BinaryString; readonly value: Uint8Array }>;
  keys(range: StateRange): Iterable<BinaryString>;
  /** Of the keyspace that this store's entries are put in; 0: it has none yet. */
  ordinalOf(store: SourceStore): number;
  /** Whether entries under this ordinal may be written and removed now. */
  isLive(ordinal: number): boolean;
  /** Ordinals under which something of the slots may lie; with the store's name, where that is known. */
  found(): Iterable<{ readonly ordinal: number; readonly store?: string }>;
  /** All or none of them. Throws or rejects where it may not be written to any more. */
  write(writes: Writes): void | Promise<void>;
}

const noValue = new Uint8Array(0);

export class CopyWrites {
  readonly #target: CopyTarget;
  #writes = new Map<BinaryString, Uint8Array | undefined>();
  #bytes = 0;

  constructor(target: CopyTarget) {
    this.#target = target;
  }

  /** As it will be. */
  get(key: BinaryString): Uint8Array | undefined {
    return this.#writes.has(key) ? this.#writes.get(key) : this.#target.get(key);
  }

  set(key: BinaryString, value: Uint8Array | undefined): void {
    this.#writes.set(key, value);
    this.#bytes += key.length + (value?.length ?? 0);
  }

  /** An entry and its record in the index by expiry; `before`: as it is now. */
  /* oxlint-disable-next-line max-params -- which entry, what it was and what it is to be */
  setEntry(ordinal: number, key: BinaryString, before: Uint8Array | undefined, value: Uint8Array | undefined): void {
    const expiredMs = before === undefined ? 0 : keyspace.entryExpiry(before);
    const expiresMs = value === undefined ? 0 : keyspace.entryExpiry(value);
    if (expiredMs !== expiresMs && expiredMs !== 0) this.set(keyspace.expiryKey(expiredMs, ordinal, key), undefined);
    this.set(keyspace.entryKeyPrefix(ordinal) + key, value);
    if (expiresMs !== 0) this.set(keyspace.expiryKey(expiresMs, ordinal, key), noValue);
  }

  get isFull(): boolean {
    return this.#writes.size >= limits.reshapeCommitRecords || this.#bytes >= limits.reshapeCommitBytes;
  }

  /** To be called between whole entries. */
  async flush(): Promise<void> {
    if (this.#writes.size > 0) await this.#target.write(this.take());
  }

  /** What is not written yet: it is the caller's to write then. */
  take(): Writes {
    const writes = this.#writes;
    this.#writes = new Map();
    this.#bytes = 0;
    return writes;
  }
}
