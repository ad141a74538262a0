// One LMDB environment (a folder with data.mdb and lock.mdb), and everything that leans on how lmdb-js
// 3.5.6 works inside; lmdb-engine.ts above it knows only promises and errors.
//
//   database entries   the engine's keys and values
//   main database      'position': 8 bytes big-endian, beside LMDB's own record of `entries`
//
// The position stands in the main database because each commit writes that page anyway, and because
// every key is then free for entries.
//
// What one transaction rests on (write.js, writer.cpp of lmdb-js): `batch` encloses its writes in a
// block, and the write thread commits only outside of blocks. Two things could break a block apart: an
// exception between its writes (so keys are checked before), and a synchronous transaction
// on this thread, which takes over the open one. Therefore nothing here ever uses transactionSync or
// openDB after the opening, commits do not overlap, and appends, whose transactions write from this
// thread while the write thread waits for it, come before the commit that ends them.
//
// Durable: with overlappingSync a commit is visible, then synced, then a second meta page says so.
// `flushed` resolves after that; with safeRestore an opening goes back to the last synced one.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { BinaryString } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { Database, RootDatabase, Transaction } from 'lmdb';
import { open } from 'lmdb';
import type { EngineEntry, EngineRange, EngineWrites } from './engine.ts';
import { closedError, isEmptyRange } from './engine-rules.ts';
import { checkHeader, commitFailure } from './lmdb-failure.ts';
import { CommitStage, copyOut } from './value-copies.ts';

const positionKey = 'position';
const appending = { append: true };
const nothing = (): void => undefined;

function bytesOfPosition(position: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, position);
  return bytes;
}

/** Methods of every Buffer that its types leave out. */
interface Latin1Buffer extends Buffer {
  latin1Write(text: string, offset: number): number;
  latin1Slice(start: number, end: number): string;
}

/** Binary strings as LMDB keys. A loop wins for short ones, the native write for long ones. */
const keyEncoder = {
  writeKey(key: BinaryString, target: Latin1Buffer, start: number): number {
    const { length } = key;
    if (length > 48) return start + target.latin1Write(key, start);
    for (let i = 0; i < length; i++) target[start + i] = key.charCodeAt(i);
    return start + length;
  },
  readKey(source: Latin1Buffer, start: number, end: number): BinaryString {
    return source.latin1Slice(start, end);
  },
};

/** What lmdb-js takes and does, and its types do not say. */
interface Untyped {
  readonly lastSize: number;
  /** Waits for writes under way; called by `close`. Without it, `close` is synchronous. */
  _endWrites: (() => Promise<void> | undefined) | undefined;
  getBinaryFast(key: BinaryString, at?: LmdbReadTransaction): Buffer | undefined;
  put(key: BinaryString, value: Uint8Array): Promise<boolean>;
  putSync(key: BinaryString, value: Uint8Array, options: { readonly append: boolean }): boolean;
  transaction<T>(work: () => T): Promise<T>;
  getStats(): { readonly entryCount: number };
}
type Entries = Omit<Database<Uint8Array, BinaryString>, keyof Untyped> & Untyped;
type Root = Omit<RootDatabase<Uint8Array, BinaryString>, keyof Untyped> & Untyped;

/** A point in time that reads can be given. */
export interface LmdbReadTransaction {
  readonly transaction: Transaction;
}

export class LmdbEnvironment {
  readonly path: string;
  readonly #root: Root;
  readonly #entries: Entries;
  readonly #stage = new CommitStage();
  /** Read transactions and iterators that are open. */
  #users = 0;
  #retired: (() => void) | undefined;
  #closed = false;

  /** Opens the folder, makes it where it is absent. Throws `data_corrupt` where it holds something else. */
  constructor(path: string) {
    this.path = path;
    checkHeader(path);
    const options = {
      path,
      encoder: this.#stage.encoder,
      keyEncoder,
      maxDbs: 1,
      maxReaders: limits.engineReadersMax,
      // lmdb-js would begin with 128 KiB and map anew again and again, without unmapping the old maps
      // [measured: 690 MB of resident pages for 305 MB of files]. Address space costs nothing.
      mapSize: limits.engineMapBytes,
      // 8 KiB pages made files 7% larger and commits 9% slower here: values are small.
      pageSize: 4096,
      safeRestore: true,
      overlappingSync: true,
      // Commits come whole and one at a time: nothing is gained by waiting for more.
      eventTurnBatching: false,
      commitDelay: 0,
    };
    this.#root = open(options) as unknown as Root;
    this.#entries = this.#root.openDB({ name: 'entries', encoder: options.encoder, keyEncoder } as {
      name: string;
    }) as unknown as Entries;
  }

  get(key: BinaryString, at?: LmdbReadTransaction): Uint8Array | undefined {
    const bytes = this.#entries.getBinaryFast(key, at);
    return bytes && copyOut(bytes, this.#entries.lastSize);
  }

  has(key: BinaryString, at?: LmdbReadTransaction): boolean {
    return this.#entries.getBinaryFast(key, at) !== undefined;
  }

  range(range: EngineRange, at?: LmdbReadTransaction): IterableIterator<EngineEntry> {
    if (isEmptyRange(range)) return [][Symbol.iterator]();
    const entries = this.#entries.getRange(bounds(range, at));
    return this.#guard(entries[Symbol.iterator]() as unknown as IterableIterator<EngineEntry>);
  }

  keys(range: EngineRange, at?: LmdbReadTransaction): IterableIterator<BinaryString> {
    if (isEmptyRange(range)) return [][Symbol.iterator]();
    return this.#guard(
      this.#entries.getKeys(bounds(range, at))[Symbol.iterator]() as unknown as IterableIterator<BinaryString>,
    );
  }

  /** 0n where nothing was committed yet. */
  position(at?: LmdbReadTransaction): bigint {
    const bytes = this.#root.getBinaryFast(positionKey, at);
    if (bytes === undefined) return 0n;
    if (this.#root.lastSize !== 8)
      throw new StateStoreError('data_corrupt', `the position in ${this.path} is not of 8 bytes`);
    return bytes.readBigUInt64BE(0);
  }

  length(): number {
    return this.#entries.getStats().entryCount;
  }

  fileBytes(): number {
    return statSync(join(this.path, 'data.mdb')).size;
  }

  /**
   * All writes and the position in one transaction; resolves when it is synced. Keys must have been
   * checked, and the commit before must have ended.
   */
  async commit(writes: EngineWrites, position: bigint): Promise<void> {
    const entries = this.#entries;
    const keys = [...writes.keys()].sort();
    const ended = this.#stage.begin(writes.values());
    const done = entries.batch(() => {
      for (const key of keys) {
        const value = writes.get(key);
        if (value === undefined) void entries.remove(key);
        else void entries.put(key, value);
      }
      void this.#root.put(positionKey, bytesOfPosition(position));
    });
    await this.#settled(ended, async () => {
      await done;
      await this.#root.flushed;
    });
  }

  /**
   * Entries whose keys ascend from the last one on, which fills pages whole, in one transaction. Resolves when it
   * is visible; what is to survive a crash needs a `commit` behind it. Keys must have been checked. The next one may
   * begin while this one is under way: LMDB's thread then takes both in one transaction.
   *
   * The entries are put on this thread, as soon as LMDB's thread has begun the transaction; that one writes the pages.
   * As a block, each key with this flag would have a promise of its own: all in all twice the CPU.
   */
  async append(added: readonly EngineEntry[]): Promise<void> {
    const entries = this.#entries;
    const done = this.#root.transaction(() => {
      const written = this.#stage.begin(added.map(({ value }) => value));
      let refused = 0;
      for (const { key, value } of added) if (!entries.putSync(key, value, appending)) refused++;
      written();
      return refused;
    });
    await this.#settled(nothing, async () => {
      const refused = await done;
      if (refused > 0) throw new StateStoreError('data_corrupt', `LMDB refused an appended key in ${this.path}`);
    });
  }

  async #settled(ended: () => void, end: () => Promise<void>): Promise<void> {
    try {
      await end();
    } catch (error) {
      throw await commitFailure(error, this.path);
    } finally {
      ended();
    }
  }

  /** Holds the present content for reads until `endRead`. */
  beginRead(): LmdbReadTransaction {
    // The shared read transaction may be older than a commit that has ended meanwhile.
    this.#root.resetReadTxn();
    const transaction = this.#root.useReadTransaction();
    this.#users++;
    return { transaction };
  }

  endRead({ transaction }: LmdbReadTransaction): void {
    if (!this.#closed) transaction.done();
    this.#release();
  }

  /** Whether a read transaction or an iterator is open. */
  get inUse(): boolean {
    return this.#users > 0;
  }

  /** Closes it as soon as nobody reads from it any more, then calls `closed`. */
  retire(closed: () => void): void {
    this.#retired = closed;
    if (this.#users === 0) this.#end();
  }

  /**
   * Closes it now; open iterators and read transactions end. Only where no commit is under way.
   * Synchronous, so that an environment can be replaced with no read falling in between.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#root._endWrites = undefined;
    void this.#root.close();
  }

  #release(): void {
    this.#users--;
    if (this.#users === 0 && this.#retired !== undefined) this.#end();
  }

  #end(): void {
    this.close();
    this.#retired?.();
    this.#retired = undefined;
  }

  /** A step of a cursor whose environment is closed would read freed memory. */
  #guard<T>(steps: IterableIterator<T>): IterableIterator<T> {
    let ended = false;
    this.#users++;
    const end = (): IteratorResult<T, undefined> => {
      if (!ended) {
        ended = true;
        if (!this.#closed) steps.return?.();
        this.#release();
      }
      return { done: true, value: undefined };
    };
    return {
      next: () => {
        if (ended) return end();
        if (this.#closed) throw closedError();
        const step = steps.next();
        return step.done === true ? end() : step;
      },
      return: end,
      [Symbol.iterator]() {
        return this;
      },
    };
  }
}

/** lmdb-js counts `start` as the first bound met: in reverse that is the end, which is exclusive. */
function bounds(range: EngineRange, at: LmdbReadTransaction | undefined): object {
  const { start, end, reverse = false, limit = Infinity } = range;
  const shared = { limit, reverse, transaction: at?.transaction };
  if (!reverse) return { ...shared, start, end };
  return {
    ...shared,
    start: end,
    end: start === '' ? undefined : start,
    exclusiveStart: end !== undefined,
    inclusiveEnd: true,
  };
}
