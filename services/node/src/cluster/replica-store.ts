// The data of one replica on this node: opened, described, adopted by a recovered log, replaced by a peer's.
// Nothing here decides when; and nothing serves from it.
import type { BinaryString } from '@statestore/core';
import {
  binaryFromBytes,
  bytesFromBinary,
  hashToHex,
  incarnationKey,
  loadState,
  StateStoreError,
} from '@statestore/core';
import { copyFromPeer } from '../copy/copy-from-peer.ts';
import type { Engine, EngineKind } from '../engine/engine.ts';
import { openEngine } from '../engine/open-engine.ts';
import type { Time } from '../time.ts';
import type { HeldState } from './judge-log.ts';
import type { Peer } from './node-options.ts';
import type { Condemned } from './replica-folder.ts';
import { ReplicaFolder } from './replica-folder.ts';

/** What an engine holds, in short. */
export interface ReplicaFacts extends HeldState {
  readonly stateHash: string;
  readonly entries: number;
  readonly bytes: number;
}

export interface ReplicaStoreOptions {
  readonly partition: number;
  /** partitions/N of the data folder. */
  readonly path: string;
  readonly engine: EngineKind;
  readonly time: Time;
  /** After each commit of the engine. */
  readonly onCommitted: (durationMs: number) => void;
}

export interface BuildOptions {
  readonly peer: Peer;
  readonly incarnation: string;
  /** An older copy would be of no use. */
  readonly positionMin: bigint;
  readonly signal: AbortSignal;
}

export class ReplicaStore {
  readonly folder: ReplicaFolder;
  readonly #options: ReplicaStoreOptions;
  /** Not durable: what there is lives as long as the store. */
  #memory: { readonly engine: Engine; readonly end: () => Promise<void> } | undefined;
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
    if (this.durable) {
      await this.folder.open();
      this.#condemned = await this.folder.condemned();
    }
    const engine = this.#memory?.engine ?? (await openEngine(this.#options.engine, this.folder.dataPath));
    if (!this.durable && this.#memory === undefined) this.#keep(engine);
    try {
      const facts = factsOf(engine);
      if (this.durable) this.#watchCommits(engine);
      return { engine, facts, ...(this.#condemned === undefined ? {} : { condemned: this.#condemned }) };
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  /** A partition that is closed must not take with it what only this process has. */
  #keep(engine: Engine): void {
    const end = engine.close.bind(engine);
    engine.close = () => Promise.resolve();
    this.#watchCommits(engine);
    this.#memory = { engine, end };
  }

  /** The data may not be served any more, not by a later process either. */
  async condemn(condemned: Condemned): Promise<void> {
    this.#condemned = condemned;
    if (this.durable) await this.folder.condemn(condemned);
  }

  /** Of what is in the folder now, without keeping it open. Undefined where there is nothing. */
  async look(): Promise<ReplicaFacts | undefined> {
    if (!this.durable || !this.folder.hasData()) return undefined;
    const { engine, facts } = await this.open();
    await engine.close();
    return facts;
  }

  /** The log that carries on from exactly here is from now on the one that the data are of. */
  async adopt(engine: Engine, incarnation: string): Promise<void> {
    await engine.commit(new Map([[incarnationKey, bytesFromBinary(incarnation)]]), engine.position);
  }

  /**
   * Replaces the data by a peer's. No engine may be open. Rejects as copyFromPeer does; the data are then as
   * they were.
   */
  async build({ peer, incarnation, positionMin, signal }: BuildOptions): Promise<bigint> {
    const { partition, time, engine: kind } = this.#options;
    const path = this.durable ? await this.folder.startBuilding() : this.folder.dataPath;
    const engine = await openEngine(kind, path);
    try {
      const source = peer.copyState(partition, { signal });
      const expect = { positionMin, incarnation };
      const { position } = await copyFromPeer({ source, engine, expect, signal, time });
      await this.#replace(engine);
      return position;
    } catch (error) {
      await engine.close();
      if (this.durable) await this.folder.abandonBuilding();
      throw error;
    }
  }

  async #replace(engine: Engine): Promise<void> {
    if (!this.durable) {
      await this.#memory?.end();
      this.#keep(engine);
    } else {
      await engine.close();
      if (this.#condemned?.kept === true) await this.folder.setAside(this.#condemned.why);
      await this.folder.finishBuilding();
    }
    this.#condemned = undefined;
  }

  /** The data go, for good; `kept`: they are only set aside, for this reason. */
  async remove(kept?: string): Promise<void> {
    await this.close();
    if (kept === undefined) await this.folder.remove();
    else await this.folder.setAside(kept);
  }

  async close(): Promise<void> {
    await this.#memory?.end();
    this.#memory = undefined;
  }

  #watchCommits(engine: Engine): void {
    const { time, onCommitted } = this.#options;
    const commit = engine.commit.bind(engine);
    engine.commit = async (writes, position) => {
      const beganMs = time.elapsedMs();
      await commit(writes, position);
      onCommitted(time.elapsedMs() - beganMs);
    };
  }
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
    stateHash: hashToHex(state.stateHash),
    entries: state.entries,
    bytes: state.bytes,
  };
}
