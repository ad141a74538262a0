// Entries. Key: 0x10, ordinal of the store (4 bytes), user's key. Value:
//
//   byte 0      flags: bit 0 it expires; bits 1 to 3 content type (table below; 7: spelled out); rest 0
//   8 bytes     revision, big-endian
//   6 bytes     expiry, ms since 1970, big-endian; only where it expires
//   1 + n bytes length and UTF-8 text of the content type; only where it is spelled out
//   the rest    the value
//
// Lives from the put until a delete, until a sweep after its expiry, or until a sweep after its store
// was cleared. Made by hand, not by protobuf, since every read passes here: no copy but one slice.
import { binaryFromBytes, binaryFromText, textFromBinary } from '../binary-string.ts';
import type { BinaryString } from '../binary-string.ts';
import { StateStoreError } from '../errors.ts';
import { uint32Key } from './numbers.ts';
import { entryPrefix } from './prefix.ts';

/** Common content types by number. Persisted, so stable: append only, up to 7. */
const contentTypes: readonly string[] = [
  '',
  'application/octet-stream',
  'application/json',
  'text/plain',
  'application/x-www-form-urlencoded',
  'text/plain; charset=utf-8',
  'application/json; charset=utf-8',
];
const contentTypeNumbers = new Map(contentTypes.map((type, number) => [type, number]));
const spelledOut = 7;
const expires = 1;

export interface StoredEntry {
  readonly revision: bigint;
  /** Milliseconds since 1970; 0: never. */
  readonly expiresAtMs: number;
  /** Empty: none given. */
  readonly contentType: string;
  readonly value: Uint8Array;
}

/** What every entry key of a store starts with. */
export function entryKeyPrefix(ordinal: number): BinaryString {
  return entryPrefix + uint32Key(ordinal);
}

export const entryKeyPrefixLength = 5;

export function encodeEntry(entry: StoredEntry): Uint8Array {
  const { value, expiresAtMs } = entry;
  const typeNumber = contentTypeNumbers.get(entry.contentType) ?? spelledOut;
  const type = typeNumber === spelledOut ? binaryFromText(entry.contentType) : '';
  const header = 9 + (expiresAtMs === 0 ? 0 : 6) + (typeNumber === spelledOut ? 1 + type.length : 0);
  const bytes = allocate(header + value.length);
  bytes[0] = (expiresAtMs === 0 ? 0 : expires) | (typeNumber << 1);
  writeUint32(bytes, 1, Number(entry.revision >> 32n));
  writeUint32(bytes, 5, Number(entry.revision & 0xffff_ffffn));
  let at = 9;
  if (expiresAtMs !== 0) {
    const high = Math.floor(expiresAtMs / 0x1_0000_0000);
    bytes[at] = high >>> 8;
    bytes[at + 1] = high;
    writeUint32(bytes, at + 2, expiresAtMs >>> 0);
    at += 6;
  }
  if (typeNumber === spelledOut) {
    bytes[at++] = type.length;
    for (let i = 0; i < type.length; i++) bytes[at++] = type.charCodeAt(i);
  }
  bytes.set(value, at);
  return bytes;
}

// Small entries are cut from slabs: an ArrayBuffer each would cost more than everything else here. A slab
// lives as long as one of its entries: until the next flush, since engines copy what they keep.
const slabBytes = 64 * 1024;
const slabEntryBytesMax = 4 * 1024;
let slab = new Uint8Array(slabBytes);
let slabUsed = 0;

function allocate(bytes: number): Uint8Array {
  if (bytes > slabEntryBytesMax) return new Uint8Array(bytes);
  if (slabUsed + bytes > slabBytes) {
    slab = new Uint8Array(slabBytes);
    slabUsed = 0;
  }
  slabUsed += bytes;
  return slab.subarray(slabUsed - bytes, slabUsed);
}

function writeUint32(bytes: Uint8Array, at: number, n: number): void {
  bytes[at] = n >>> 24;
  bytes[at + 1] = n >>> 16;
  bytes[at + 2] = n >>> 8;
  bytes[at + 3] = n;
}

function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Expiry of an encoded entry, ms since 1970; 0: never. */
export function entryExpiry(bytes: Uint8Array): number {
  if (bytes.length < 9) throw damaged(bytes);
  if ((bytes[0]! & expires) === 0) return 0;
  return ((bytes[9]! << 8) | bytes[10]!) * 0x1_0000_0000 + readUint32(bytes, 11);
}

export function entryRevision(bytes: Uint8Array): bigint {
  const high = readUint32(bytes, 1);
  const low = BigInt(readUint32(bytes, 5));
  return high === 0 ? low : (BigInt(high) << 32n) | low;
}

/** Where the value starts in an encoded entry. */
export function entryValueOffset(bytes: Uint8Array): number {
  const flags = bytes[0]!;
  const at = 9 + ((flags & expires) === 0 ? 0 : 6);
  return flags >> 1 === spelledOut ? at + 1 + bytes[at]! : at;
}

/** As entryValueOffset. Throws `data_corrupt` where the bytes are no entry. */
export function checkEntry(bytes: Uint8Array): number {
  if (bytes.length < 9) throw damaged(bytes);
  const flags = bytes[0]!;
  const valueAt = entryValueOffset(bytes);
  // Also where the length itself is missing, and valueAt is NaN.
  if (flags > 15 || !(valueAt <= bytes.length)) throw damaged(bytes);
  if (flags >> 1 === spelledOut) typeOf(bytes, typeAtOf(flags), valueAt);
  return valueAt;
}

function typeAtOf(flags: number): number {
  return 9 + ((flags & expires) === 0 ? 0 : 6) + 1;
}

/** The value is a view of `bytes`. Throws `data_corrupt` where they are no entry. */
export function decodeEntry(bytes: Uint8Array): StoredEntry {
  const expiresAtMs = entryExpiry(bytes);
  const valueAt = entryValueOffset(bytes);
  const flags = bytes[0]!;
  // Also where the length itself is missing, and valueAt is NaN.
  if (flags > 15 || !(valueAt <= bytes.length)) throw damaged(bytes);
  const typeNumber = flags >> 1;
  const contentType = typeNumber === spelledOut ? typeOf(bytes, typeAtOf(flags), valueAt) : contentTypes[typeNumber]!;
  return { revision: entryRevision(bytes), expiresAtMs, contentType, value: bytes.subarray(valueAt) };
}

function typeOf(bytes: Uint8Array, start: number, end: number): string {
  try {
    return textFromBinary(binaryFromBytes(bytes.subarray(start, end)));
  } catch {
    throw damaged(bytes);
  }
}

function damaged(bytes: Uint8Array): StateStoreError {
  return new StateStoreError('data_corrupt', `an entry of ${bytes.length} bytes with flags ${bytes[0]} cannot be read`);
}
