// What a gateway asks of nodes. A node implements it (services/node local-node.ts); the link carries it
// over TCP (link-client.ts implements it, link-server.ts serves it); in one process the gateway holds
// the node itself. One contract suite (test/contract/node-service-contract.ts) runs against both.
//
// Failures reject with StateStoreError (core/errors.ts), whose code survives the link. A rejected
// propose has certainly changed nothing unless its code is `outcome_unknown`.
import type { BinaryString, ChangeKind, Command, CommandResult, StoreSettings } from '@statestore/core';

/** A value now or later: local reads answer at once, and a promise each would cost more than the read. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * `strong`: linearizable. `session`: at least what the caller's session was told of. `eventual`: some
 * earlier state.
 */
export type Consistency = 'strong' | 'session' | 'eventual';

export interface ReadOptions {
  readonly consistency: Consistency;
  /** Session reads: wait until this position is applied. */
  readonly atLeast?: bigint;
  /** Of the partition's log, as the caller knows it; a replica of another one answers `moved`. Undefined: of whatever one. */
  readonly generation?: number | undefined;
  /** Eventual reads: the state read was the newest at most this long ago. */
  readonly maxLagMs?: number;
  /**
   * Epoch of the reshape that changed the partition's slots last, as the caller knows it (0n: none did). A replica that has
   * seen a later one answers `moved`; one that has not seen it yet waits for it. Undefined: it does not matter.
   */
  readonly slotsEpoch?: bigint | undefined;
}

/** Where a partition was. Positions of two generations of its log are not the same ones (docs/decisions/0010). */
export interface Place {
  readonly position: bigint;
  /** Of the log that the position is of; undefined: it has none. */
  readonly generation?: number | undefined;
}

/** What apply made of a command, and where: a session that was told of it asks for at least this position. */
export interface Proposed extends CommandResult, Place {}

/** The position is the one that was applied when the replica read. */
export interface Found extends Place {
  readonly entry: Entry | undefined;
}

export interface FoundMany extends Place {
  /** One per key asked for, in order. */
  readonly entries: readonly (Entry | undefined)[];
}

export interface Entry {
  readonly value: Uint8Array;
  /** Empty: none given. */
  readonly contentType: string;
  readonly revision: bigint;
  /** Milliseconds since 1970; 0: never. */
  readonly expiresAtMs: number;
}

export interface KeyedEntry extends Entry {
  readonly key: BinaryString;
}

export interface Scan {
  readonly store: string;
  /** Keys start ≤ key < end; undefined: open. */
  readonly start?: BinaryString;
  readonly end?: BinaryString;
  readonly reverse: boolean;
  /** At most this many entries. */
  readonly limit: number;
  /** At most about this many bytes of keys and values: the page ends after the entry that passes it. */
  readonly bytesMax: number;
  /** False: values are empty. */
  readonly values: boolean;
}

export interface ScanPage extends Place {
  readonly entries: readonly KeyedEntry[];
  /** Whether entries may follow the last one. */
  readonly more: boolean;
}

/**
 * A part of a replica's whole state at one position: the records of its engine, in key order over all
 * parts. The last part, and no other, has the number of records of all.
 */
export interface StatePart {
  readonly position: bigint;
  readonly records: readonly StateRecord[];
  readonly total?: number;
}

export interface StateRecord {
  readonly key: BinaryString;
  readonly value: Uint8Array;
}

export interface StoreInfo {
  readonly store: string;
  readonly entries: number;
  /** Of keys and values. */
  readonly bytes: number;
  /** Entries removed because their time had come. */
  readonly expired: number;
  readonly settings: StoreSettings;
  /** Grows with each change of the settings. */
  readonly settingsVersion: number;
  readonly allowanceEntries: number | undefined;
  readonly allowanceBytes: number | undefined;
}

export interface Change {
  readonly kind: ChangeKind;
  readonly revision: bigint;
  readonly store: string;
  /** Empty for `clear`. */
  readonly key: BinaryString;
}

/** The changes of one position. */
export interface ChangeBatch extends Place {
  /** The state's clock then, ms since 1970. */
  readonly timeMs: number;
  /** Only those that were asked for; a batch may be empty, so that cursors move on. */
  readonly changes: readonly Change[];
  /** Epoch of the reshape that changed the partition's slots last, when the batch was read: perhaps one of after its position. Undefined: none did. */
  readonly slotsEpoch?: bigint | undefined;
}

export interface WatchOptions {
  readonly store: string;
  /** Keys that start with it. */
  readonly prefix: BinaryString;
  /** The first position wanted; undefined: from now on. */
  readonly from?: bigint;
  /** As of ReadOptions. */
  readonly generation?: number | undefined;
  readonly signal: AbortSignal;
}

/** What a replica is to write of its partition into the repository of its node. */
export interface CheckpointOrder {
  readonly checkpointId: string;
  /** A checkpoint that was listed when this one began, whose blocks may be referred to. */
  readonly previous?: string;
  /** Of the partition, as the topology has it. */
  readonly generation: number;
  readonly slots: readonly { readonly start: number; readonly end: number }[];
  /** Epoch of the reshape that changed them last, as the topology has it. A replica that did not see it yet refuses; of one that is further, its own slots are written. Undefined: none did. */
  readonly slotsEpoch?: bigint | undefined;
  /** Everything anew, without a layer on the previous one. */
  readonly full: boolean;
  /** Of zstd. */
  readonly level: number;
  /** From the call on. */
  readonly deadlineMs: number;
}

/** How far it is; the last item, and no other, has what was written. */
export interface CheckpointItem {
  readonly records: number;
  /** Of keys and values. */
  readonly bytes: number;
  /** 0 to 1: of what is to be read. */
  readonly part: number;
  readonly uploadedBytes: number;
  readonly reusedBytes: number;
  /** PartitionSummary of checkpoint.proto, encoded. */
  readonly summary?: Uint8Array;
}

/** `copying`: the replica is being built from a peer; it serves nothing yet. */
export type PartitionState = 'starting' | 'copying' | 'running' | 'halted' | 'stopped';

/** Why a replica halted. */
export type HaltCause =
  | 'engine_failed'
  | 'log_failed'
  /** The log begins after what this replica has: it is to be rebuilt. */
  | 'log_trimmed'
  /** The log ends before what this replica has, is another one, or is gone: it is to be recovered. */
  | 'log_regressed'
  | 'log_corrupt'
  /** Its hashes differ from those of its peers: it is to be rebuilt. */
  | 'diverged';

export interface PartitionStatus {
  readonly partition: number;
  readonly state: PartitionState;
  /** Undefined unless it halted. */
  readonly haltCause?: HaltCause;
  /** Why it halted, in words; empty otherwise. */
  readonly reason: string;
  readonly engine: string;
  readonly incarnation: string;
  readonly appliedPosition: bigint;
  readonly storedPosition: bigint;
  readonly revision: bigint;
  /** The state's clock, ms since 1970. */
  readonly clockMs: number;
  /** 32 hexadecimal digits each. */
  readonly chain: string;
  readonly stateHash: string;
  readonly entries: number;
  readonly bytes: number;
  readonly expired: number;
  readonly stores: number;
  readonly engineBytes: number;
  readonly logBytes: number;
  readonly queuedCommands: number;
  readonly writeBufferBytes: number;
}

export interface OperationCounts {
  /** Since the process started. */
  readonly operations: Readonly<Record<string, number>>;
  readonly hits: number;
  readonly misses: number;
}

export interface NodeStatus {
  readonly version: string;
  readonly partitions: readonly PartitionStatus[];
  readonly counts: OperationCounts;
}

export interface NodeService {
  /** Resolves when the command is durable and applied here. `generation`: as of ReadOptions. */
  propose(partition: number, command: Command, generation?: number): Promise<Proposed>;
  get(partition: number, store: string, key: BinaryString, options: ReadOptions): MaybePromise<Found>;
  getMany(
    partition: number,
    store: string,
    keys: readonly BinaryString[],
    options: ReadOptions,
  ): MaybePromise<FoundMany>;
  scan(partition: number, scan: Scan, options: ReadOptions): MaybePromise<ScanPage>;
  /** Undefined where this partition has no such store. `slotsEpoch`: as of ReadOptions; nodes leave it to the gateway's routing. */
  store(partition: number, store: string, slotsEpoch?: bigint): MaybePromise<StoreInfo | undefined>;
  stores(partition: number, slotsEpoch?: bigint): MaybePromise<readonly StoreInfo[]>;
  /**
   * Changes from a position on, for ever, until the signal aborts. Throws `cursor_expired` where they
   * are no longer kept, `invalid_cursor` where the position lies in the future.
   */
  watch(partition: number, options: WatchOptions): AsyncIterable<ChangeBatch>;
  /** Resolves when everything applied so far is in the engine and on disk. */
  sync(partition: number): Promise<void>;
  compact(partition: number): Promise<{ readonly beforeBytes: number; readonly afterBytes: number }>;
  status(): MaybePromise<NodeStatus>;
  /**
   * The whole state of the partition at one position, for a replica that is built anew. Ends early,
   * without a last part, when the signal aborts. Throws `overloaded` where the node gives enough copies
   * already, `unavailable` where parts are taken too slowly or the connection breaks: all of these may be
   * asked for anew, from the first part on.
   */
  copyState(partition: number, options: { readonly signal: AbortSignal }): AsyncIterable<StatePart>;
  /**
   * Writes the partition's part of a checkpoint, of one position at which everything is that was applied before the
   * call. Tells how far it is about once a second. Ends early, without a last item, when the signal aborts. Throws
   * `checkpoints_not_configured` where the node has no repository, `overloaded` where it writes enough already,
   * `unavailable` where the connection breaks or the deadline passes, what the repository says, why a replica halted.
   * It may be asked for anew, here or elsewhere, under the same id.
   */
  writeCheckpoint(
    partition: number,
    options: CheckpointOrder & { readonly signal: AbortSignal },
  ): AsyncIterable<CheckpointItem>;
}
