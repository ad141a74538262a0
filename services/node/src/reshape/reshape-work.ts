// What building a split's child and staging a merge have in common: they go along with a source that is being written to,
// in rounds, and are complete when the source's slots are fenced. Who decides when is the driver's.
import type { BinaryString, Fenced, GivenStore, PartitionState, RememberedRecord, StateReader } from '@statestore/core';

/** A running replica whose slots are read, as it is applied now: its readers look through its write buffer. */
export interface ReshapeSource {
  readonly partition: number;
  readonly generation: number;
  readonly state: PartitionState;
  readonly reader: StateReader;
}

/** A running replica that entries are staged in: foreign until it absorbs their slots. */
export interface ReshapeTarget extends ReshapeSource {
  /** Writes into its engine, beside its state; a promise where its write buffer is full: to be waited for. */
  stage(writes: ReadonlyMap<BinaryString, Uint8Array | undefined>): void | Promise<void>;
  /** Resolves when what was staged is durable. */
  sync(): Promise<void>;
}

export interface RoundDone {
  /** Of the source: everything up to it is taken over. */
  readonly position: bigint;
  /** Records read in this round: entries at first, then keys that changed. */
  readonly records: number;
  /** So far. */
  readonly entries: number;
  readonly bytes: number;
  /** 0 to 1. */
  readonly part: number;
}

export interface ReshapeWork {
  /**
   * Takes over what changed since the last one, at first everything; in turns, so that clients are served beside it.
   * Rejects with the signal's reason, and with what the engine or the source says.
   */
  round(signal: AbortSignal, onProgress?: (done: RoundDone) => void): Promise<RoundDone>;
  /** Frees what it holds; what is built stays. Idempotent. */
  close(): Promise<void>;
}

/** A child that is complete, and durable where its engine is. */
export interface BuiltChild {
  readonly position: bigint;
  /** 32 hexadecimal digits. */
  readonly chain: string;
  readonly stateHash: string;
  /** UUID that follows from the chain: what its log continues. */
  readonly incarnation: string;
  readonly entries: number;
  readonly bytes: number;
  /** What the source gives away. */
  readonly stores: readonly GivenStore[];
}

export interface SplitWork extends ReshapeWork {
  /**
   * When the fence is applied in the source: the last round, and the head. What no round has read back yet is read back and
   * recounted; rejects with `data_corrupt` where that does not fit, with `unavailable` where the fence is not in force any
   * more and this very work had not read stores and remembered requests under it.
   */
  finish(fenced: Fenced, signal: AbortSignal): Promise<BuiltChild>;
}

/** The source's entries, complete and durable in the target's engine. */
export interface StagedMerge {
  /** By name, ascending; with the ordinals that they were staged under. */
  readonly stores: readonly (GivenStore & { readonly ordinal: number; readonly expired: number })[];
  /** Stores that have entries and no keyspace in the target yet: it is to be prepared for them, and finish called again. */
  readonly unprepared: readonly string[];
  /** What the source remembers of clients' requests. */
  readonly remembered: readonly RememberedRecord[];
  readonly revision: bigint;
  readonly clockNanos: bigint;
}

export interface MergeWork extends ReshapeWork {
  /** Names of stores that the target is to be prepared for, known so far. */
  unprepared(): readonly string[];
  /** When the fence is applied in the source. As of SplitWork. */
  finish(fenced: Fenced, signal: AbortSignal): Promise<StagedMerge>;
}
