// The durable engine: an LMDB environment, and around it what the port promises: one commit at a time,
// a failure that stays, snapshots, replacement of the whole content (lmdb-folder.ts says how), and
// bounded resident memory (resident-memory.ts).
//
// A snapshot, and an iterator until it is done or returned, hold a read transaction: LMDB cannot use
// the pages again that were freed since, and the file grows with every commit. Keep them short.
import { rm } from 'node:fs/promises';
import type { BinaryString, StateStoreError } from '@statestore/core';
import { limits } from '@statestore/core';
import type {
  Acceptance,
  Engine,
  EngineEntries,
  EngineEntry,
  EngineRange,
  EngineSnapshot,
  EngineStatistics,
  EngineWrites,
} from './engine.ts';
import { asPart, checkKey, checkOrder, checkPosition, closedError, mayExist } from './engine-rules.ts';
import { LmdbEnvironment } from './lmdb-environment.ts';
import { lmdbFailure } from './lmdb-failure.ts';
import { LmdbFolder } from './lmdb-folder.ts';
import { LmdbSnapshot } from './lmdb-snapshot.ts';
import type { MapWatch } from './resident-memory.ts';
import { ResidentWatch } from './resident-memory.ts';

/** Reads between two looks at resident memory. */
const readsPerLook = 32;
/** What a range counts as: it may touch a few thousand entries. */
const readsPerRange = 32;

export class LmdbEngine implements Engine {
  readonly kind = 'lmdb';
  readonly durable = true;
  readonly #folder: LmdbFolder;
  #environment: LmdbEnvironment;
  #position: bigint;
  /** Ends when everything that was called before has ended. Never rejects. */
  #tail: Promise<unknown> = Promise.resolve();
  /** Calls that write or replace, under way or waiting. */
  #pending = 0;
  #failure: StateStoreError | undefined;
  #closing: Promise<void> | undefined;
  readonly #watch: MapWatch;
  #reads = 0;

  private constructor(folder: LmdbFolder, environment: LmdbEnvironment, watch: MapWatch) {
    this.#folder = folder;
    this.#environment = environment;
    this.#position = environment.position();
    this.#watch = watch;
  }

  /** Uses `<dir>/lmdb`. Throws `data_corrupt` where what is there is no environment. */
  static async open(dir: string, watch: MapWatch = new ResidentWatch()): Promise<LmdbEngine> {
    const folder = await LmdbFolder.open(dir).catch((error: unknown) => {
      throw lmdbFailure(error, 'it cannot be opened', dir);
    });
    const environment = openEnvironment(folder.current);
    try {
      await folder.syncNames();
    } catch (error) {
      environment.close();
      throw lmdbFailure(error, 'it cannot be synced', dir);
    }
    return new LmdbEngine(folder, environment, watch);
  }

  get position(): bigint {
    return this.#position;
  }

  get(key: BinaryString): Uint8Array | undefined {
    const reader = this.#reader();
    return mayExist(key) ? reader.get(key) : undefined;
  }

  has(key: BinaryString): boolean {
    const reader = this.#reader();
    return mayExist(key) && reader.has(key);
  }

  range(range: EngineRange): IterableIterator<EngineEntry> {
    return this.#reader(readsPerRange).range(range);
  }

  keys(range: EngineRange): IterableIterator<BinaryString> {
    return this.#reader(readsPerRange).keys(range);
  }

  commit(writes: EngineWrites, position: bigint): Promise<void> {
    return this.#exclusive(async () => {
      checkPosition(position, this.#position);
      for (const key of writes.keys()) checkKey(key);
      await this.#write(() => this.#environment.commit(writes, position));
      this.#position = position;
    });
  }

  put(key: BinaryString, value: Uint8Array): Promise<void> {
    return this.#exclusive(async () => {
      checkKey(key);
      await this.#write(() => this.#environment.commit(new Map([[key, value]]), this.#position));
    });
  }

  delete(key: BinaryString): Promise<boolean> {
    return this.#exclusive(async () => {
      checkKey(key);
      if (!this.#environment.has(key)) return false;
      await this.#write(() => this.#environment.commit(new Map([[key, undefined]]), this.#position));
      return true;
    });
  }

  snapshot(): EngineSnapshot {
    this.#check();
    return new LmdbSnapshot(this.#environment);
  }

  restore(entries: EngineEntries, position: bigint, accept?: Acceptance): Promise<void> {
    return this.#exclusive(() => this.#replace(entries, position, { accept }));
  }

  clear(): Promise<void> {
    return this.restore([], 0n);
  }

  /** `sizeBytes` is the size of the file: pages that LMDB keeps free for later writes count. */
  statistics(): EngineStatistics {
    this.#check();
    return { sizeBytes: this.#environment.fileBytes(), length: this.#environment.length() };
  }

  /** Copies the content in key order into a new file, whose pages are then full. Commits wait for it. */
  compact(): Promise<{ readonly beforeBytes: number; readonly afterBytes: number }> {
    return this.#exclusive(async () => {
      const beforeBytes = this.#environment.fileBytes();
      // A copy that runs out of room would be a failed commit, and so the end of the engine.
      await this.#folder.checkRoom(beforeBytes);
      const length = this.#environment.length();
      const source = new LmdbSnapshot(this.#environment);
      try {
        await this.#replace(source.range({}), this.#position, { length });
      } finally {
        source.close();
      }
      return { beforeBytes, afterBytes: this.#environment.fileBytes() };
    });
  }

  /** Commits are synced before they resolve, so it only waits for them. */
  sync(): Promise<void> {
    return this.#exclusive(async () => undefined);
  }

  close(): Promise<void> {
    this.#closing ??= this.#tail.then(() => this.#environment.close());
    return this.#closing;
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closing !== undefined) throw closedError();
  }

  #reader(reads = 1): LmdbEnvironment {
    this.#check();
    this.#reads += reads;
    if (this.#reads >= readsPerLook) {
      this.#limitResidentMemory();
      // It may have failed to open the file again: what there is then is closed, and reading it would crash.
      this.#check();
    }
    return this.#environment;
  }

  /** One after the other, in the order of the calls. */
  async #exclusive<T>(work: () => Promise<T>): Promise<T> {
    this.#check();
    this.#pending++;
    const result = this.#tail.then(() => {
      if (this.#failure !== undefined) throw this.#failure;
      return work();
    });
    this.#tail = result.then(
      () => this.#settle(),
      () => this.#settle(),
    );
    return result;
  }

  #settle(): void {
    this.#pending--;
    this.#limitResidentMemory();
  }

  async #write(commit: () => Promise<void>): Promise<void> {
    try {
      await commit();
    } catch (error) {
      this.#failure = error as StateStoreError;
      throw error;
    }
  }

  /** Fills a new environment and puts it in force. `length`: how many entries it must have then. */
  async #replace(
    entries: EngineEntries,
    position: bigint,
    { length, accept }: { readonly length?: number; readonly accept?: Acceptance | undefined },
  ): Promise<void> {
    const path = await this.#folder.next();
    const next = openEnvironment(path);
    try {
      const count = await this.#fill(next, entries, position);
      if (next.length() !== count || next.position() !== position || (length !== undefined && length !== count)) {
        const wanted = `${length ?? count} at ${position}`;
        throw lmdbFailure(undefined, `a copy has ${next.length()} entries at ${next.position()}, not ${wanted}`, path);
      }
      if (accept !== undefined) await show(next, accept);
      await this.#folder.replace();
    } catch (error) {
      next.close();
      await rm(path, { recursive: true, force: true });
      throw error;
    }
    const old = this.#environment;
    this.#environment = next;
    this.#position = position;
    old.retire(() => void rm(old.path, { recursive: true, force: true }).catch(() => undefined));
  }

  /** Reads what comes next while what came before is written. Resolves with the number of entries when all are on disk. */
  async #fill(next: LmdbEnvironment, entries: EngineEntries, position: bigint): Promise<number> {
    const underWay: Promise<void>[] = [];
    let part: EngineEntry[] = [];
    let bytes = 0;
    let count = 0;
    let last: BinaryString | undefined;
    const write = async (): Promise<void> => {
      const added = part;
      if (underWay.length >= limits.engineBulkUnderWayMax) await underWay.shift();
      // A commit without room would be the end of the engine, though what is in force is well. Values of half a page
      // take a whole one.
      await this.#folder.checkRoom(2 * bytes * limits.engineBulkUnderWayMax);
      const written = this.#write(() => next.append(added));
      // Heard of when it is waited for.
      written.catch(() => undefined);
      underWay.push(written);
      part = [];
      bytes = 0;
    };
    try {
      for await (const item of entries) {
        for (const entry of asPart(item)) {
          const { key, value } = entry;
          checkOrder(key, last);
          last = key;
          part.push(entry);
          bytes += key.length + value.length;
          count++;
          if (bytes >= limits.engineBulkBytes || part.length >= limits.engineBulkEntries) await write();
        }
      }
      if (part.length > 0) await write();
    } finally {
      await Promise.allSettled(underWay);
    }
    await Promise.all(underWay);
    await this.#write(() => next.commit(new Map(), position));
    return count;
  }

  #limitResidentMemory(): void {
    this.#reads = 0;
    if (this.#pending > 0 || this.#failure !== undefined || this.#closing !== undefined) return;
    const environment = this.#environment;
    if (environment.inUse || !this.#watch.isDue(() => environment.fileBytes())) return;
    environment.close();
    try {
      this.#environment = openEnvironment(environment.path);
    } catch (error) {
      this.#failure = error as StateStoreError;
    }
  }
}

async function show(environment: LmdbEnvironment, accept: Acceptance): Promise<void> {
  const content = new LmdbSnapshot(environment);
  try {
    await accept(content);
  } finally {
    content.close();
  }
}

function openEnvironment(path: string): LmdbEnvironment {
  try {
    return new LmdbEnvironment(path);
  } catch (error) {
    throw lmdbFailure(error, 'it cannot be opened', path);
  }
}
