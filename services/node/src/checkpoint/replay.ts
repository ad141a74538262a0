// The batches of an archive applied to a state that was restored, exactly as replicas apply those of their log. So
// what comes of it is the state that they had there, byte for byte, and its chain and hash say so.
import type { ArchivedPart } from '@statestore/checkpoint';
import type { BatchRecord, PartitionState } from '@statestore/core';
import {
  applyBatch,
  bytesFromBinary,
  hashToHex,
  incarnationKey,
  limits,
  loadState,
  StateStoreError,
} from '@statestore/core';
import { noteOfChain } from '../chain-notes.ts';
import { Turns } from '../copy/turns.ts';
import { verifyInTurns } from '../copy/verify-in-turns.ts';
import type { Engine } from '../engine/engine.ts';
import { WriteBuffer } from '../engine/write-buffer.ts';
import { noteOfRecord } from '../last-record.ts';
import { systemTime, type Time } from '../time.ts';

export interface ReplayOptions {
  /** Holds the state that the first batch follows. Nobody else may use it meanwhile. */
  readonly engine: Engine;
  readonly parts: AsyncIterable<ArchivedPart>;
  /** Stops before the first batch that was stored later than this, ns since 1970; undefined: at the end. */
  readonly nanos?: bigint | undefined;
  readonly signal: AbortSignal;
  readonly time?: Time;
  readonly onProgress?: (progress: ReplayProgress) => void;
}

export interface ReplayProgress {
  readonly position: bigint;
  readonly clockNanos: bigint;
  readonly batches: number;
}

export interface Replayed extends ReplayProgress {
  /** 32 hexadecimal digits each. */
  readonly chain: string;
  readonly stateHash: string;
  /** Whether it stopped at a batch of a later time, and not where the archive ends. */
  readonly isStopped: boolean;
}

/** Resolves when the state is in the engine. What the archive or a batch is rejected for, it rejects with. */
export async function replay(options: ReplayOptions): Promise<Replayed> {
  return new Replay(options).run();
}

class Replay {
  readonly #options: ReplayOptions;
  readonly #buffer: WriteBuffer;
  readonly #state: PartitionState;
  readonly #turns: Turns;
  #batches = 0;
  #incarnation: string | undefined;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#buffer = new WriteBuffer(options.engine);
    this.#state = loadState(this.#buffer);
    this.#turns = new Turns(options.time ?? systemTime);
  }

  async run(): Promise<Replayed> {
    const { parts, onProgress } = this.#options;
    let isStopped = false;
    for await (const { incarnation, batches } of parts) {
      isStopped = await this.#part(incarnation, batches);
      onProgress?.(this.#progress);
      if (isStopped) break;
    }
    await this.#buffer.flush();
    const { chain, stateHash } = this.#state;
    return { ...this.#progress, chain: hashToHex(chain), stateHash: hashToHex(stateHash), isStopped };
  }

  get #progress(): ReplayProgress {
    const { position, clockNanos } = this.#state;
    return { position, clockNanos, batches: this.#batches };
  }

  async #part(incarnation: string, batches: readonly BatchRecord[]): Promise<boolean> {
    const { nanos, signal } = this.#options;
    for (const batch of batches) {
      if (nanos !== undefined && batch.timestampNanos > nanos) return true;
      this.#apply(incarnation, batch);
      if (this.#buffer.bytes >= limits.replayCommitBytes) await this.#buffer.flush();
      if (++this.#batches % limits.replayTurnBatches !== 0 || !this.#turns.over) continue;
      await this.#turns.next();
      signal.throwIfAborted();
    }
    return false;
  }

  #apply(incarnation: string, batch: BatchRecord): void {
    const { position } = batch;
    const { writes } = applyBatch(this.#state, this.#buffer, batch);
    this.#buffer.put(writes, position);
    // As the replicas of a cluster do: it can be shown of which history this is a part.
    this.#buffer.put(noteOfRecord(batch), position);
    this.#buffer.put(noteOfChain(this.#state), position);
    if (this.#incarnation === incarnation) return;
    this.#incarnation = incarnation;
    this.#buffer.put(new Map([[incarnationKey, bytesFromBinary(incarnation)]]), position);
  }
}

/** Recounts the state from its own records. Rejects with `data_corrupt` where they differ. */
export async function proveEngine(
  engine: Engine,
  signal: AbortSignal,
  time: Time = systemTime,
): Promise<PartitionState> {
  const state = loadState(engine);
  const [difference] = await verifyInTurns(state, engine, new Turns(time), signal);
  if (difference === undefined) return state;
  throw new StateStoreError(
    'data_corrupt',
    `the state at ${state.position} does not follow from its records: ${difference}`,
  );
}
