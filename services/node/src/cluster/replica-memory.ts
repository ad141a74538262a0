// The content of a replica with the memory engine. It lives as long as the node holds the replica, and is saved
// beside as a local snapshot, so that a later process has it from there and the log: a log that carries
// another one on does not begin at the start, and the other replicas may have restarted too.
import { join } from 'node:path';
import { limits } from '@statestore/core';
import type { Engine, EngineWrites } from '../engine/engine.ts';
import { MemoryEngine } from '../engine/memory-engine.ts';
import { openLocalSnapshot, writeLocalSnapshot } from '../local-snapshot.ts';
import type { Time } from '../time.ts';

const snapshotName = 'snapshot';

export interface ReplicaMemoryOptions {
  /** Where the snapshot lies. */
  readonly folder: string;
  readonly time: Time;
  /** Default: limits.replicaSnapshotBytes. */
  readonly snapshotBytes?: number | undefined;
  readonly onSaveFailed: (error: unknown) => void;
}

export class ReplicaMemory {
  /** Closing it does nothing: a partition that closes must not take with it what only this process has. */
  readonly engine: Engine;
  readonly #options: ReplicaMemoryOptions;
  readonly #end: () => Promise<void>;
  #savedPosition: bigint;
  /** Of keys and values, about what a log has to replay. */
  #unsavedBytes = 0;
  #notBeforeMs = 0;
  #saving: Promise<void> | undefined;
  /** What is there may not be used before it is saved. */
  #owed = false;
  #ended = false;

  private constructor(engine: Engine, savedPosition: bigint, options: ReplicaMemoryOptions) {
    this.engine = engine;
    this.#options = options;
    this.#savedPosition = savedPosition;
    this.#end = engine.close.bind(engine);
    engine.close = () => Promise.resolve();
    const commit = engine.commit.bind(engine);
    engine.commit = async (writes, position) => {
      await commit(writes, position);
      this.#committed(writes);
    };
  }

  /** With what was saved; empty where nothing was. Throws `data_corrupt` where that is damaged. */
  static async open(options: ReplicaMemoryOptions): Promise<ReplicaMemory> {
    const engine = new MemoryEngine();
    const snapshot = await openLocalSnapshot(join(options.folder, snapshotName));
    if (snapshot !== undefined) await engine.restore(snapshot.entries, snapshot.position);
    return new ReplicaMemory(engine, engine.position, options);
  }

  /** With what `engine` holds, which `saveTo` wrote to the folder. */
  static over(engine: Engine, options: ReplicaMemoryOptions): ReplicaMemory {
    return new ReplicaMemory(engine, engine.position, options);
  }

  /** With what `engine` holds, and nothing of it is on disk. */
  static unsaved(engine: Engine, options: ReplicaMemoryOptions): ReplicaMemory {
    return new ReplicaMemory(engine, -1n, options);
  }

  /** Resolves with the position of what is on disk then. */
  static async saveTo(folder: string, engine: Engine): Promise<bigint> {
    const snapshot = engine.snapshot();
    try {
      await writeLocalSnapshot(join(folder, snapshotName), snapshot);
      return snapshot.position;
    } finally {
      snapshot.close();
    }
  }

  /** A start would begin from here. */
  get savedPosition(): bigint {
    return this.#savedPosition;
  }

  /** Commits what is worth nothing before it is saved: where that fails, `settle` tries again. */
  async commitAndSave(writes: EngineWrites): Promise<void> {
    this.#owed = true;
    await this.engine.commit(writes, this.engine.position);
    await this.settle();
  }

  /** Saves what must not be used before. */
  async settle(): Promise<void> {
    while (this.#owed) {
      // One that is under way began before what is owed.
      await this.#saving?.catch(() => undefined);
      await this.save();
      this.#owed = false;
    }
  }

  /** Resolves when what is there now is on disk. One at a time. */
  async save(): Promise<void> {
    while (this.#saving !== undefined) await this.#saving.catch(() => undefined);
    this.#saving = this.#saveOnce();
    try {
      await this.#saving;
    } finally {
      this.#saving = undefined;
    }
  }

  async #saveOnce(): Promise<void> {
    const bytes = this.#unsavedBytes;
    this.#savedPosition = await ReplicaMemory.saveTo(this.#options.folder, this.engine);
    this.#unsavedBytes -= bytes;
  }

  #committed(writes: EngineWrites): void {
    for (const [key, value] of writes) this.#unsavedBytes += key.length + (value?.length ?? 0);
    const { time, snapshotBytes = limits.replicaSnapshotBytes, onSaveFailed } = this.#options;
    // As much again as a snapshot takes: so all snapshots together write no more than the commits.
    if (this.#unsavedBytes < Math.max(snapshotBytes, this.engine.statistics().sizeBytes)) return;
    if (this.#saving !== undefined || this.#ended || time.elapsedMs() < this.#notBeforeMs) return;
    this.save().catch((error: unknown) => {
      // The log still has it.
      this.#notBeforeMs = time.elapsedMs() + limits.snapshotRetryMs;
      onSaveFailed(error);
    });
  }

  /** Frees it. Nothing is written to the folder afterwards. Idempotent. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#saving?.catch(() => undefined);
    await this.#end();
  }
}
