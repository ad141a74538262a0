// The data of one replica on this node: opened, described, adopted by a recovered log, replaced by
// others. Nothing here decides when; and nothing serves from it.
import type { BinaryString } from '@statestore/core';
import {
  binaryFromBytes,
  bytesFromBinary,
  hashToHex,
  incarnationKey,
  loadState,
  StateStoreError,
} from '@statestore/core';
import { notedChain } from '../chain-notes.ts';
import type { Engine, EngineKind } from '../engine/engine.ts';
import { MemoryEngine } from '../engine/memory-engine.ts';
import { openEngine } from '../engine/open-engine.ts';
import { lastRecordNanos } from '../last-record.ts';
import type { Time } from '../time.ts';
import type { HeldState } from './judge-log.ts';
import { type Replacement, whyKept } from './judge-replaced.ts';
import type { ReplicaContext } from './replica-context.ts';
import type { Condemned, Prepared } from './replica-folder.ts';
import { ReplicaFolder } from './replica-folder.ts';
import { ReplicaMemory, type ReplicaMemoryOptions } from './replica-memory.ts';

/** What an engine holds, in short. */
export interface ReplicaFacts extends HeldState {
  readonly stateHash: string;
  readonly entries: number;
  readonly bytes: number;
  /** All its slots are another partition's: nobody needs it but who still follows its log. */
  readonly ownsNothing?: boolean;
}

const noHash = '0'.repeat(32);
/** Of an engine that holds nothing. */
export const noFacts: ReplicaFacts = {
  position: 0n,
  incarnation: undefined,
  chain: noHash,
  stateHash: noHash,
  entries: 0,
  bytes: 0,
};

export interface ReplicaStoreOptions {
  readonly partition: number;
  /** partitions/N of the data folder. */
  readonly path: string;
  readonly engine: EngineKind;
  readonly time: Time;
  /** After each commit of the engine. */
  readonly onCommitted: (durationMs: number) => void;
  /** What only this process has could not be saved; it will be tried again. */
  readonly onSaveFailed?: (error: unknown) => void;
  /** Default: limits.replicaSnapshotBytes. */
  readonly snapshotBytes?: number | undefined;
}

/** What an empty engine was filled with, proved already. */
export interface FilledState {
  readonly position: bigint;
  /** 32 hexadecimal digits. */
  readonly chain: string;
  /** UUID of the log that it is of. */
  readonly incarnation: string;
}

/** What is in the folder, of a replica that is not wanted. */
export interface LookedAt extends ReplicaFacts {
  /** What was found of them before. */
  readonly condemned: Condemned | undefined;
  /** They were built for a partition that is to be split off, and followed no log since. */
  readonly prepared: Prepared | undefined;
}

/** An engine that is filled in the course of time, beside the data. */
export interface Beside {
  readonly engine: Engine;
  /** It takes the place of the data, and is closed where it is durable. Nothing of the replica may be open. */
  complete(prepared: Prepared): Promise<void>;
  /** It goes. Idempotent. */
  abandon(): Promise<void>;
}

export interface BuildOptions {
  /** All or nothing; rejects where there is no such state to be had. */
  readonly fill: (engine: Engine) => Promise<FilledState>;
  /** What is replaced. */
  readonly held: HeldState;
  readonly signal: AbortSignal;
}

export interface Built {
  readonly position: bigint;
  /** Why what was replaced is kept aside; undefined: it may go. */
  readonly kept: string | undefined;
}

export class ReplicaStore {
  readonly folder: ReplicaFolder;
  readonly #options: ReplicaStoreOptions;
  /** Not durable: what there is lives as long as the store, and is saved beside. */
  #memory: ReplicaMemory | undefined;
  /** Of saved data that are not open: reading them takes a while, and they stay as they are. */
  #looked: ReplicaFacts | undefined;
  #condemned: Condemned | undefined;

  constructor(options: ReplicaStoreOptions) {
    this.#options = options;
    this.folder = new ReplicaFolder(options.path);
  }

  get durable(): boolean {
    return this.#options.engine !== 'memory';
  }

  /** The engine is the caller's to close. Throws `data_corrupt`, `data_format` where its data cannot be used. */
  async open(): Promise<{ readonly engine: Engine; readonly facts: ReplicaFacts; readonly condemned?: Condemned }> {
    if (this.durable || this.#memory === undefined) {
      await this.folder.open();
      this.#condemned = await this.folder.condemned();
    }
    this.#looked = undefined;
    const condemned = this.#condemned;
    if (condemned === undefined) return this.#openData();
    try {
      return { ...(await this.#openData()), condemned };
    } catch {
      // Nobody may use them, so that nothing is to be opened. What they are of, nobody can say any more.
      const engine = new MemoryEngine();
      this.#condemned = { ...condemned, kept: true };
      return { engine, facts: factsOf(engine), condemned: this.#condemned };
    }
  }

  async #openData(): Promise<{ readonly engine: Engine; readonly facts: ReplicaFacts }> {
    const engine = this.durable
      ? this.#watchCommits(await openEngine(this.#options.engine, this.folder.dataPath))
      : await this.#openMemory();
    try {
      return { engine, facts: factsOf(engine) };
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  async #openMemory(): Promise<Engine> {
    if (this.#memory === undefined) {
      this.#memory = await ReplicaMemory.open(this.#memoryOptions());
      this.#watchCommits(this.#memory.engine);
    }
    await this.#memory.settle();
    return this.#memory.engine;
  }

  #memoryOptions(): ReplicaMemoryOptions {
    const { time, snapshotBytes, onSaveFailed = () => undefined } = this.#options;
    const folder = this.folder.dataPath;
    return { folder, time, onSaveFailed, snapshotBytes };
  }

  /** The data may not be served any more, not by a later process either. What was found of them first stays. */
  async condemn(condemned: Condemned): Promise<void> {
    const first = this.#condemned ?? condemned;
    this.#condemned = { ...first, kept: first.kept === true || condemned.kept === true };
    await this.folder.condemn(this.#condemned);
  }

  /** Of what is in the folder now, without keeping it open. Undefined where there is nothing. */
  async look(): Promise<LookedAt | undefined> {
    if (!this.folder.hasData()) return undefined;
    const facts = this.#looked ?? (await this.#lookInto());
    const noted = await this.folder.prepared();
    const isPrepared = isOf(noted, facts.incarnation);
    return { ...facts, condemned: this.#condemned, prepared: isPrepared ? noted : undefined };
  }

  async #lookInto(): Promise<ReplicaFacts> {
    const { engine, facts } = await this.open();
    await engine.close();
    if (this.#memory === undefined) return facts;
    try {
      if (this.#memory.savedPosition !== facts.position) await this.#memory.save();
    } catch (error) {
      // What only this process has stays in memory, then.
      this.#options.onSaveFailed?.(error);
      return facts;
    }
    await this.close();
    this.#looked = facts;
    return facts;
  }

  /** The log that carries on from exactly here is from now on the one that the data are of. */
  async adopt(engine: Engine, incarnation: string): Promise<void> {
    const writes = new Map([[incarnationKey, bytesFromBinary(incarnation)]]);
    // The log that is adopted does not have what came before: from now on that must survive a restart.
    if (this.#memory !== undefined) await this.#memory.commitAndSave(writes);
    else await engine.commit(writes, engine.position);
  }

  /**
   * Replaces the data by what `fill` gives. No engine may be open. Rejects as `fill` does, and with `disk_full` where
   * the data may have to be kept and as many are kept as there may be; the data are then as they were.
   */
  async build({ fill, held, signal }: BuildOptions): Promise<Built> {
    const { engine: kind } = this.#options;
    // Those that were only found to be wrong most often go: whether they do is known when the copy is there.
    const isWorthless = this.#condemned === undefined ? held.position === 0n : this.#condemned.kept !== true;
    if (!isWorthless) await this.folder.checkRoomForKept();
    const path = await this.folder.startBuilding();
    const engine = await openEngine(kind, path);
    try {
      const { position, chain, incarnation } = await fill(engine);
      const by: Replacement = { position, chain, chainAt: (at) => notedChain(engine, at), incarnation };
      const kept = whyKept({ ...held, condemned: this.#condemned, durable: this.durable }, by);
      if (!this.durable) await ReplicaMemory.saveTo(path, engine);
      if (kept !== undefined) await this.folder.checkRoomForKept();
      signal.throwIfAborted();
      await this.#replace(engine, kept);
      return { position, kept };
    } catch (error) {
      await engine.close();
      await this.folder.abandonBuilding();
      throw error;
    }
  }

  /**
   * An empty engine for a partition that is not there yet. What is left of an earlier one of its number goes, or is kept
   * aside where nothing shows that it may go. Rejects with `disk_full` where as much is kept as there may be.
   */
  async beginBeside(): Promise<Beside> {
    await this.folder.finishInterrupted();
    await this.#makeWay();
    const path = await this.folder.startBuilding();
    const engine = await openEngine(this.#options.engine, path);
    let isOver = false;
    return {
      engine,
      complete: async (prepared) => {
        await this.folder.notePrepared(prepared);
        if (this.durable) await engine.close();
        isOver = true;
        await this.close();
        await this.folder.finishBuilding();
        this.#condemned = undefined;
        if (this.durable) return;
        // Saved when the log is there that carries it on: until then it is worth nothing.
        this.#memory = ReplicaMemory.unsaved(engine, this.#memoryOptions());
        this.#watchCommits(engine);
      },
      abandon: async () => {
        if (isOver) return;
        isOver = true;
        await engine.close();
        await this.folder.abandonBuilding();
      },
    };
  }

  async #makeWay(): Promise<void> {
    if (!this.folder.hasData()) return;
    const found = await this.look().catch(() => undefined);
    if (found !== undefined && mayGo(found)) return this.remove();
    const why = `a partition of this number is to be split off, and these data are of log ${found?.incarnation ?? 'nobody knows which'}`;
    await this.remove(why);
  }

  /** `kept`: why what there is now is kept. */
  async #replace(engine: Engine, kept: string | undefined): Promise<void> {
    if (this.durable) await engine.close();
    if (kept !== undefined) await this.#memory?.save();
    await this.close();
    await this.folder.finishBuilding(kept);
    this.#condemned = undefined;
    if (this.durable) return;
    this.#memory = ReplicaMemory.over(engine, this.#memoryOptions());
    this.#watchCommits(engine);
  }

  /** The data go, for good; `kept`: they are only set aside, for this reason. */
  async remove(kept?: string): Promise<void> {
    if (kept !== undefined) await this.#memory?.save();
    await this.close();
    this.#looked = undefined;
    if (kept === undefined) await this.folder.remove();
    else await this.folder.setAside(kept);
  }

  async close(): Promise<void> {
    await this.#memory?.end();
    this.#memory = undefined;
  }

  #watchCommits(engine: Engine): Engine {
    const { time, onCommitted } = this.#options;
    const commit = engine.commit.bind(engine);
    engine.commit = async (writes, position) => {
      const beganMs = time.elapsedMs();
      await commit(writes, position);
      onCommitted(time.elapsedMs() - beganMs);
    };
    return engine;
  }
}

/** Whether data of this incarnation are what was noted to be prepared. */
export function isOf(noted: Prepared | undefined, incarnation: string | undefined): boolean {
  return noted !== undefined && (noted.incarnation === incarnation || noted.log === incarnation);
}

/** Of a node's replica of this partition. */
export function replicaStore(
  partition: number,
  { partitionPath, options, time, recorder }: Pick<ReplicaContext, 'partitionPath' | 'options' | 'time' | 'recorder'>,
  onSaveFailed: (error: unknown) => void,
): ReplicaStore {
  return new ReplicaStore({
    partition,
    path: partitionPath(partition),
    engine: options.engine,
    time,
    onCommitted: (durationMs) => recorder.committed(durationMs),
    snapshotBytes: options.replicaSnapshotBytes,
    onSaveFailed,
  });
}

/** Of data of a partition that is not there: whether they are certainly of no use to anybody. */
export function mayGo({ position, incarnation, condemned, prepared, ownsNothing }: LookedAt): boolean {
  if (condemned?.kept === true) return false;
  return prepared !== undefined || ownsNothing === true || (position === 0n && incarnation === undefined);
}

function factsOf(engine: Engine): ReplicaFacts {
  const state = loadState(engine);
  if (state.position !== engine.position) {
    const message = `the engine says position ${engine.position}, its head ${state.position}`;
    throw new StateStoreError('data_corrupt', message);
  }
  const kept: BinaryString | undefined = engine.has(incarnationKey)
    ? binaryFromBytes(engine.get(incarnationKey)!)
    : undefined;
  return {
    position: state.position,
    incarnation: kept,
    chain: hashToHex(state.chain),
    lastNanos: lastRecordNanos(engine, state.position),
    stateHash: hashToHex(state.stateHash),
    entries: state.entries,
    bytes: state.bytes,
    ownsNothing: state.slots?.length === 0,
  };
}
