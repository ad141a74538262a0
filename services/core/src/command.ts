// What a client asks of a partition, as plain values. A command travels in a batch through the log
// and is judged at apply, by every replica alike. The wire form is proto/statestore/v1/log.proto.
import type { BinaryString } from './binary-string.ts';
import type { CommandResult } from './result.ts';

/** What must hold of a key's entry. An entry whose expiry has come counts as absent. */
export type Condition =
  | { readonly kind: 'none' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'exists' }
  | { readonly kind: 'revision'; readonly revision: bigint };

/** Expiry of the entry that an operation leaves. */
export type Ttl =
  /** Put: the store's default. Other operations: as it was (a new entry: the store's default). */
  | { readonly kind: 'default' }
  | { readonly kind: 'never' }
  /** After this many ms on the state's clock. */
  | { readonly kind: 'after'; readonly ms: number }
  /** As it was; a new entry gets the store's default. */
  | { readonly kind: 'keep' };

export const noCondition: Condition = { kind: 'none' };
export const defaultTtl: Ttl = { kind: 'default' };

interface OnKey {
  readonly key: BinaryString;
  readonly condition: Condition;
}

export interface Put extends OnKey {
  readonly kind: 'put';
  readonly value: Uint8Array;
  /** Empty: none given. */
  readonly contentType: string;
  readonly ttl: Ttl;
}
export interface Delete extends OnKey {
  readonly kind: 'delete';
}
/** Adds to a decimal integer text of the signed 64-bit range; an absent entry counts as 0. */
export interface Increment extends OnKey {
  readonly kind: 'increment';
  readonly delta: bigint;
  /** Inclusive bounds of the result. */
  readonly min?: bigint;
  readonly max?: bigint;
  readonly ttl: Ttl;
}
/** Adds bytes at the end; an absent entry counts as empty. */
export interface Append extends OnKey {
  readonly kind: 'append';
  readonly value: Uint8Array;
  readonly contentType: string;
  readonly ttl: Ttl;
}
/** RFC 7396; an absent entry counts as `{}`. `value` is the patch, JSON text. */
export interface MergePatch extends OnKey {
  readonly kind: 'mergePatch';
  readonly value: Uint8Array;
  readonly ttl: Ttl;
}
/** Changes only the expiry of an entry that exists; an absent one is left absent. */
export interface Touch extends OnKey {
  readonly kind: 'touch';
  readonly ttl: Ttl;
}

export type Operation = Put | Delete | Increment | Append | MergePatch | Touch;

export interface Check {
  readonly key: BinaryString;
  readonly condition: Condition;
}

/** Operations on keys of one store that lie in this partition. */
export interface Mutate {
  readonly kind: 'mutate';
  readonly store: string;
  /** True: all operations or none, and only where every check and condition holds. */
  readonly atomic: boolean;
  readonly checks: readonly Check[];
  readonly operations: readonly Operation[];
}

/** O(1): the keyspace is retired, sweeps remove it later. */
export interface ClearStore {
  readonly kind: 'clear';
  readonly store: string;
}

export interface StoreSettings {
  /** 0: none. */
  readonly defaultTtlMs: number;
  /** Of the whole store, over all partitions; undefined: unlimited. Bytes count keys and values. */
  readonly quotaEntries: number | undefined;
  readonly quotaBytes: number | undefined;
}

export const defaultStoreSettings: StoreSettings = {
  defaultTtlMs: 0,
  quotaEntries: undefined,
  quotaBytes: undefined,
};

/** Sets a store's settings in this partition, and its part of the quota. */
export interface ConfigureStore {
  readonly kind: 'configure';
  readonly store: string;
  readonly settings: StoreSettings;
  /**
   * Greater than that of the settings before, or the command is refused: of two that change the settings of all
   * partitions at the same time, one gets through everywhere. 0: of a gateway that gave none.
   */
  readonly settingsVersion: number;
  /** This partition's part of the quota. */
  readonly allowanceEntries: number | undefined;
  readonly allowanceBytes: number | undefined;
}

/** Gives (positive) or takes (negative, at most what is unused) quota of this partition. */
export interface AdjustAllowance {
  readonly kind: 'adjustAllowance';
  readonly store: string;
  /** Refused where the settings have another one: what was taken before them is not given after them. */
  readonly settingsVersion: number;
  readonly entries: number;
  readonly bytes: number;
}

/** Removes what the state's clock has passed, and what clears left behind. Readers see no change. */
export interface Sweep {
  readonly kind: 'sweep';
  /** At most this many records. */
  readonly limit: number;
  /** Drops the oldest change records while all of them take more bytes than this. */
  readonly changesKeptBytes: number;
  /** The result counts this store's expired entries; empty: those of every store. */
  readonly countStore: string;
  /**
   * Sessions last used, and idempotency keys judged, while the state's clock stood before this are forgotten. From
   * whoever appends: only it can tell how long ago that was, whatever the log's clock did meanwhile. Absent, of an
   * older version: those that are older than the window by the state's clock.
   */
  readonly forgetBeforeMs?: number;
}

/** Does nothing; that it was applied proves that everything before it was. */
export interface Barrier {
  readonly kind: 'barrier';
}

/** Slots start ≤ slot < end. As of topology.ts. */
type Slots = readonly { readonly start: number; readonly end: number }[];

export interface OfReshape {
  /** 16 bytes: the reshape's UUID. Doing it again for the same one changes nothing, and answers `done`. */
  readonly reshape: BinaryString;
}

/** From here on no entry of these slots changes, until they are handed over or it is cancelled. */
export interface Fence extends OfReshape {
  readonly kind: 'fence';
  readonly slots: Slots;
  /** What the partition owns by the topology; counts where its state does not say so yet. */
  readonly ownedBefore: Slots;
  /**
   * Epoch of the topology that the reshape was added with. One that is not later than that of the last reshape that ended
   * here is refused: it comes late, from someone who was away.
   */
  readonly slotsEpoch: bigint;
}

/** Cancels a fence. Refused where the reshape handed its slots over already. */
export interface Unfence extends OfReshape {
  readonly kind: 'unfence';
  /** As of Fence. */
  readonly slotsEpoch: bigint;
  /** The reshape is given up: it ends here, and a fence of it that comes later is refused. False: it may be tried again. */
  readonly forGood: boolean;
  /** As of Fence: only a state that says what it owns says what ended there. */
  readonly ownedBefore: Slots;
}

export interface GivenStore {
  readonly name: string;
  /** Of its entries in the slots. */
  readonly entries: number;
  readonly bytes: number;
  /** 16 bytes: sum of their hashes. */
  readonly hash: BinaryString;
}

/** The fenced slots are another partition's from here on: counters and hashes become less by what is in them. */
export interface HandOver extends OfReshape {
  readonly kind: 'handOver';
  readonly slotsEpoch: bigint;
  /** Of the fence as of which the stores were counted: under another one it is refused, since it comes late. */
  readonly fencedPosition: bigint;
  readonly stores: readonly GivenStore[];
}

/** Gives stores a keyspace where they have none, so that entries can be staged in it. Nothing is to be staged before the first one. */
export interface PrepareAbsorb extends OfReshape {
  readonly kind: 'prepareAbsorb';
  readonly stores: readonly string[];
  /** As of Fence: before it says so, a state cannot tell what is staged from what it owns. */
  readonly ownedBefore: Slots;
}

export interface RememberedRecord {
  /** 16 bytes each, as of Idempotency. */
  readonly id: BinaryString;
  readonly fingerprint: BinaryString;
  readonly expiresAtMs: number;
  readonly result: CommandResult;
}

/** Requests that another partition was sent under clients' keys, and their results. */
export interface Remember extends OfReshape {
  readonly kind: 'remember';
  readonly records: readonly RememberedRecord[];
}

export interface AbsorbedStore extends GivenStore {
  /** Of its keyspace here; 0: it has no entries. Another one than it has: refused, since what was staged is not in it. */
  readonly ordinal: number;
  readonly expired: number;
  readonly settings: StoreSettings;
  readonly settingsVersion: number;
  readonly allowanceEntries: number | undefined;
  readonly allowanceBytes: number | undefined;
}

/** The slots of a partition that ends are this one's from here on; their entries are staged in every replica's engine. */
export interface Absorb extends OfReshape {
  readonly kind: 'absorb';
  readonly slots: Slots;
  readonly slotsEpoch: bigint;
  /** As of Fence. */
  readonly ownedBefore: Slots;
  /** Of the partition that ends. */
  readonly revision: bigint;
  readonly clockNanos: bigint;
  readonly expired: number;
  readonly stores: readonly AbsorbedStore[];
}

export type ReshapeCommand = Fence | Unfence | HandOver | PrepareAbsorb | Remember | Absorb;

export type CommandBody = Mutate | ClearStore | ConfigureStore | AdjustAllowance | Sweep | Barrier | ReshapeCommand;

/**
 * Exactly-once identity, as in RIFL (Lee et al., SOSP 2015): a session numbers its commands, and
 * tells with each the first one that it has no answer to, so that apply remembers only results
 * that may still be asked for.
 */
export interface SessionStamp {
  /** 16 bytes. */
  readonly session: BinaryString;
  /** 1 to 2^31. */
  readonly counter: number;
  readonly firstUnanswered: number;
  /** True until the session's first answer from the partition: only then may it be made there. */
  readonly opens: boolean;
}

/** A client's own key for its request. */
export interface Idempotency {
  /** 16-byte hash of scope and key. */
  readonly id: BinaryString;
  /** 16-byte hash of the request. */
  readonly fingerprint: BinaryString;
}

export interface Command {
  readonly stamp?: SessionStamp;
  readonly idempotency?: Idempotency;
  /** What the sender takes the partition's slots to be; where they are others the command is answered `moved`. Undefined: it does not matter. */
  readonly slotsEpoch?: bigint;
  readonly body: CommandBody;
}

/** One log message. */
export interface Batch {
  readonly partition: number;
  /** 16 random bytes, drawn when the proposer started. */
  readonly proposer: BinaryString;
  readonly number: number;
  readonly commands: readonly Command[];
}
