// Stores. Key: 0x02, name; value: Store of state.proto. Made by the first write or setting of a store,
// written anew with each batch that changed its counts, removed by a clear where it has no settings.
// State keeps all of them in memory.
import type { BinaryString } from '../binary-string.ts';
import { bytesFromBinary } from '../binary-string.ts';
import type { StoreSettings } from '../command.ts';
import { defaultStoreSettings } from '../command.ts';
import { StoreSchema } from '../gen/statestore/v1/state_pb.ts';
import type { Hash128 } from '../hash.ts';
import { hashBytes, hashToBytes, newHash } from '../hash.ts';
import { entryKeyPrefix } from './entry.ts';
import { storePrefix } from './prefix.ts';
import { WireWriter } from '../wire.ts';
import { decodeHash, decodeRecord } from './record.ts';

export interface StoreState {
  readonly name: string;
  /** 0: no keyspace until the next write. */
  ordinal: number;
  /** entryKeyPrefix(ordinal): read by every operation. */
  keyPrefix: BinaryString;
  entries: number;
  /** Of keys and values. */
  bytes: number;
  expired: number;
  /** Sum of the entries' hashes. */
  readonly hash: Hash128;
  /** Hash of the name: every entry's hash starts from it. */
  readonly seed: Hash128;
  settings: StoreSettings;
  /** Grows with each change of the settings. */
  settingsVersion: number;
  allowanceEntries: number | undefined;
  allowanceBytes: number | undefined;
}

export function storeKey(name: string): BinaryString {
  return storePrefix + name;
}

export function newStore(name: string): StoreState {
  return {
    name,
    ordinal: 0,
    keyPrefix: '',
    entries: 0,
    bytes: 0,
    expired: 0,
    hash: newHash(),
    seed: seedOf(name),
    settings: defaultStoreSettings,
    settingsVersion: 0,
    allowanceEntries: undefined,
    allowanceBytes: undefined,
  };
}

function seedOf(name: string): Hash128 {
  const seed = newHash();
  hashBytes(bytesFromBinary(name), 0, seed);
  return seed;
}

const writer = new WireWriter(512);

/** Written with every batch that changed its counts, and so by hand. */
export function encodeStore(store: StoreState): Uint8Array {
  const { settings, allowanceBytes, allowanceEntries } = store;
  writer.reset();
  writer.uint(12, store.settingsVersion);
  writer.uint(11, store.expired);
  if (allowanceBytes !== undefined) writer.presentUint(10, allowanceBytes);
  if (allowanceEntries !== undefined) writer.presentUint(9, allowanceEntries);
  if (settings.quotaBytes !== undefined) writer.presentUint(8, settings.quotaBytes);
  if (settings.quotaEntries !== undefined) writer.presentUint(7, settings.quotaEntries);
  writer.uint(6, settings.defaultTtlMs);
  writer.bytes(5, hashToBytes(store.hash));
  writer.uint(4, store.bytes);
  writer.uint(3, store.entries);
  writer.uint(2, store.ordinal);
  writer.binary(1, store.name);
  return writer.finish();
}

function numberOf(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

/** Throws `data_corrupt` where the bytes are no store. */
export function decodeStore(bytes: Uint8Array): StoreState {
  const record = decodeRecord(StoreSchema, bytes);
  return {
    name: record.name,
    ordinal: record.ordinal,
    keyPrefix: record.ordinal === 0 ? '' : entryKeyPrefix(record.ordinal),
    entries: Number(record.entries),
    bytes: Number(record.bytes),
    expired: Number(record.expired),
    hash: decodeHash(record.hash, `the hash of store ${record.name}`),
    seed: seedOf(record.name),
    settings: {
      defaultTtlMs: Number(record.defaultTtlMs),
      quotaEntries: numberOf(record.quotaEntries),
      quotaBytes: numberOf(record.quotaBytes),
    },
    settingsVersion: Number(record.settingsVersion),
    allowanceEntries: numberOf(record.allowanceEntries),
    allowanceBytes: numberOf(record.allowanceBytes),
  };
}
