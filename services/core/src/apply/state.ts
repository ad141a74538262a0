// A partition's state as apply holds it in memory: the head, the stores and the sessions. Everything
// here is a function of the batches applied so far and can be read back from the engine (loadState);
// entries, indexes and change records stay in the engine alone.
import type { BinaryString } from '../binary-string.ts';
import { prefixEnd } from '../binary-string.ts';
import { StateStoreError } from '../errors.ts';
import type { Hash128 } from '../hash.ts';
import { hashToBytes, newHash } from '../hash.ts';
import { decodeHead, encodeHead } from '../keyspace/head.ts';
import { headKey, sessionPrefix, storePrefix } from '../keyspace/prefix.ts';
import { decodeHash } from '../keyspace/record.ts';
import type { SessionState } from '../keyspace/session.ts';
import { decodeSession, parseSessionKey } from '../keyspace/session.ts';
import type { StoreState } from '../keyspace/store.ts';
import { decodeStore } from '../keyspace/store.ts';

/** Keys start ≤ key < end, ascending unless `reverse`. */
export interface StateRange {
  readonly start?: BinaryString;
  readonly end?: BinaryString;
  readonly reverse?: boolean;
  readonly limit?: number;
}

/** What apply reads: an engine or a write buffer in front of one, as it was after the batch before. */
export interface StateReader {
  get(key: BinaryString): Uint8Array | undefined;
  range(range: StateRange): Iterable<{ readonly key: BinaryString; readonly value: Uint8Array }>;
  keys(range: StateRange): Iterable<BinaryString>;
}

/** Slots start ≤ slot < end. */
export interface OwnedRange {
  readonly start: number;
  readonly end: number;
}

/** Slots that are about to be another partition's, and what was so when they were fenced. */
export interface Fenced {
  /** 16 bytes. */
  readonly reshape: BinaryString;
  readonly slots: readonly OwnedRange[];
  readonly position: bigint;
  readonly revision: bigint;
  readonly clockNanos: bigint;
  /** 16 bytes. */
  readonly chain: Uint8Array;
  readonly nextOrdinal: number;
}

/** The last reshape that ended here: its slots were given or taken, or it was given up. */
export interface EndedReshape {
  /** 16 bytes. */
  readonly reshape: BinaryString;
  /** Of the fence, where slots were handed over; at which they were absorbed, or it was given up. */
  readonly position: bigint;
  /** Of the reshape; greater than the state's own where it was given up. */
  readonly slotsEpoch: bigint;
  /** Of one that handed slots over: as they were fenced. */
  readonly fenced?: Fenced;
  /** Of one that handed slots over: what was in them. An engine may lack it, since it is not the state's own any more. */
  readonly given?: GivenTotal;
}

/** Of the entries of all stores. */
export interface GivenTotal {
  readonly entries: number;
  readonly bytes: number;
  /** 16 bytes: sum of their hashes. */
  readonly hash: BinaryString;
}

export interface PartitionState {
  /** Position of the last batch applied; 0n before the first. */
  position: bigint;
  /** Nanoseconds since 1970; never runs backwards. */
  clockNanos: bigint;
  /** The last one given to an effect. */
  revision: bigint;
  readonly chain: Hash128;
  /** Sum of all stores' hashes. */
  readonly stateHash: Hash128;
  nextOrdinal: number;
  entries: number;
  bytes: number;
  expired: number;
  /** The oldest position whose change record is kept, if it has one. */
  changesFrom: bigint;
  changesBytes: number;
  /** Slots that it owns, ascending, not touching. Undefined: it was never reshaped, and owns whatever it is sent. */
  slots: readonly OwnedRange[] | undefined;
  /** Epoch of the topology whose reshape changed them last; 0n: none did. */
  slotsEpoch: bigint;
  fenced: Fenced | undefined;
  ended: EndedReshape | undefined;
  /** By name. */
  readonly stores: Map<string, StoreState>;
  /** By ordinal: those that have a keyspace. */
  readonly storesByOrdinal: Map<number, StoreState>;
  /** By id. */
  readonly sessions: Map<BinaryString, SessionState>;
}

export function newState(): PartitionState {
  return {
    position: 0n,
    clockNanos: 0n,
    revision: 0n,
    chain: newHash(),
    stateHash: newHash(),
    nextOrdinal: 1,
    entries: 0,
    bytes: 0,
    expired: 0,
    changesFrom: 1n,
    changesBytes: 0,
    slots: undefined,
    slotsEpoch: 0n,
    fenced: undefined,
    ended: undefined,
    stores: new Map(),
    storesByOrdinal: new Map(),
    sessions: new Map(),
  };
}

/**
 * The state that an engine holds; a new one where it holds none. Throws `data_format` where it is of
 * another layout, `data_corrupt` where it is damaged.
 */
export function loadState(reader: StateReader): PartitionState {
  const state = newState();
  const headBytes = reader.get(headKey);
  if (headBytes === undefined) {
    for (const key of reader.keys({ limit: 1 })) {
      throw new StateStoreError(
        'data_corrupt',
        `the state has records (the first is of kind ${key.charCodeAt(0)}) but no head`,
      );
    }
    return state;
  }
  restoreHead(state, headBytes);
  for (const { value } of reader.range(prefixRange(storePrefix))) {
    const store = decodeStore(value);
    state.stores.set(store.name, store);
    if (store.ordinal !== 0) state.storesByOrdinal.set(store.ordinal, store);
  }
  for (const { key, value } of reader.range(prefixRange(sessionPrefix))) {
    state.sessions.set(parseSessionKey(key), decodeSession(value));
  }
  return state;
}

/**
 * Position, clock, counts and hashes as `headOf` told them, so that they can be told again of a state in which a batch
 * stopped in the middle. Its stores and sessions stay what they are: nothing may be applied to it or read of it.
 */
export function restoreHead(state: PartitionState, bytes: Uint8Array): void {
  const head = decodeHead(bytes);
  state.position = head.position;
  state.clockNanos = head.clockNanos;
  state.revision = head.revision;
  state.chain.set(decodeHash(head.chain, 'the chain'));
  state.stateHash.set(decodeHash(head.stateHash, 'the state hash'));
  state.nextOrdinal = head.nextOrdinal;
  state.entries = Number(head.entries);
  state.bytes = Number(head.bytes);
  state.expired = Number(head.expired);
  state.changesFrom = head.changesFrom;
  state.changesBytes = Number(head.changesBytes);
  state.slots = head.owned?.slots;
  state.slotsEpoch = head.owned?.slotsEpoch ?? 0n;
  state.fenced = head.owned?.fenced;
  state.ended = head.owned?.ended;
}

/** All keys that start with `prefix`. */
export function prefixRange(prefix: BinaryString): StateRange {
  const end = prefixEnd(prefix);
  return end === undefined ? { start: prefix } : { start: prefix, end };
}

export function headOf(state: PartitionState): Uint8Array {
  const { slots, slotsEpoch, fenced, ended } = state;
  return encodeHead({
    owned: slots === undefined ? undefined : { slots, slotsEpoch, fenced, ended },
    position: state.position,
    clockNanos: state.clockNanos,
    revision: state.revision,
    chain: hashToBytes(state.chain),
    stateHash: hashToBytes(state.stateHash),
    nextOrdinal: state.nextOrdinal,
    entries: BigInt(state.entries),
    bytes: BigInt(state.bytes),
    expired: BigInt(state.expired),
    changesFrom: state.changesFrom,
    changesBytes: BigInt(state.changesBytes),
  });
}
