// The engine port: an ordered map from keys to bytes that a partition keeps its state in. One
// contract suite (test/contract/engine-contract.ts) says what every engine must do. Engines know
// nothing of stores, expiry or revisions: that is apply's.
import type { BinaryString } from '@statestore/core';

export type EngineKind = 'lmdb' | 'memory';

/** A half-open range of keys, start ≤ key < end. */
export interface EngineRange {
  /** Inclusive; undefined: from the first key. */
  readonly start?: BinaryString;
  /** Exclusive; undefined: to the last key. */
  readonly end?: BinaryString;
  /** True: from the greatest key down. The bounds stay as they are. */
  readonly reverse?: boolean;
  /** At most this many entries. */
  readonly limit?: number;
}

export interface EngineEntry {
  readonly key: BinaryString;
  readonly value: Uint8Array;
}

/** One by one, or in parts, which is faster where there are many. */
export type EngineEntries = Iterable<EngineEntry> | AsyncIterable<EngineEntry> | AsyncIterable<readonly EngineEntry[]>;

/** What can be read: an engine, one of its snapshots, or the write buffer in front of it. */
export interface EngineReader {
  /** The value, owned by the caller: it stays as it is whatever happens later. */
  get(key: BinaryString): Uint8Array | undefined;
  has(key: BinaryString): boolean;
  /**
   * Entries in key order. The iterator reads one point in time as long as it is consumed without
   * awaiting; it may be left early (`return` frees what it holds). Values are owned by the caller.
   */
  range(range: EngineRange): IterableIterator<EngineEntry>;
  /** As `range`, without reading values. */
  keys(range: EngineRange): IterableIterator<BinaryString>;
}

/** Judges a content that is not yet in force and does not change meanwhile: where it throws, it never comes in force. */
export type Acceptance = (content: EngineReader) => Promise<void>;

/** New values by key; undefined deletes. */
export type EngineWrites = ReadonlyMap<BinaryString, Uint8Array | undefined>;

/** A point in time that stays readable while writes go on. Close it: a held one keeps space. */
export interface EngineSnapshot extends EngineReader {
  readonly position: bigint;
  close(): void;
}

export interface EngineStatistics {
  /** Bytes that the content takes: file size (lmdb), sum of keys and values (memory). */
  readonly sizeBytes: number;
  /** Number of keys. */
  readonly length: number;
}

export interface Engine extends EngineReader {
  readonly kind: EngineKind;
  /** Whether what was committed is there after a crash. False: the log must hold everything. */
  readonly durable: boolean;
  /** Position of the last commit; 0n where there was none. */
  readonly position: bigint;
  /**
   * Applies all writes and the position, or none of them, and resolves when they survive a crash (where
   * the engine is durable). Reads see them at the latest then. Commits are not to overlap: the caller waits for one before
   * the next. Position must not run backwards. The first failure is final: the engine refuses
   * everything afterwards, since its memory can no longer be trusted (lmdb-js, FIELD NOTES).
   */
  commit(writes: EngineWrites, position: bigint): Promise<void>;
  /** A single write outside of any log, position unchanged. For tools and tests. */
  put(key: BinaryString, value: Uint8Array): Promise<void>;
  /** Resolves with whether the key was there. */
  delete(key: BinaryString): Promise<boolean>;
  snapshot(): EngineSnapshot;
  /**
   * Replaces the whole content by these entries (ascending keys, none twice) and the position, all or
   * nothing: after a crash in the middle either the old or the new content is there, or the start
   * says that a restore was not finished (`data_corrupt`). Where `entries` or `accept` throws, that is
   * thrown, and the old content stays in use; so it does where the disk has no room (`disk_full`).
   */
  restore(entries: EngineEntries, position: bigint, accept?: Acceptance): Promise<void>;
  /** Removes every key; the position becomes 0. */
  clear(): Promise<void>;
  statistics(): EngineStatistics;
  /** Gives free space back to the file system; resolves with the sizes. Reads go on meanwhile. */
  compact(): Promise<{ readonly beforeBytes: number; readonly afterBytes: number }>;
  /** Resolves when everything committed is on disk. */
  sync(): Promise<void>;
  /** Waits for what is under way, then frees everything. Idempotent. */
  close(): Promise<void>;
}
