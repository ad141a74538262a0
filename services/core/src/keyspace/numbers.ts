// Numbers inside keys: big-endian, so that their order as bytes is their order as numbers.
import type { BinaryString } from '../binary-string.ts';

/** 4 bytes; 0 ≤ n < 2^32. */
export function uint32Key(n: number): BinaryString {
  return String.fromCharCode(n >>> 24, (n >>> 16) & 0xff, (n >>> 8) & 0xff, n & 0xff);
}

export function uint32At(key: BinaryString, at: number): number {
  return (
    ((key.charCodeAt(at) << 24) |
      (key.charCodeAt(at + 1) << 16) |
      (key.charCodeAt(at + 2) << 8) |
      key.charCodeAt(at + 3)) >>>
    0
  );
}

/** The latest time that timeKey can write. */
export const timeMsMax = 2 ** 48 - 1;

/** 6 bytes: milliseconds since 1970 until the year 10889, timeMsMax. */
export function timeKey(ms: number): BinaryString {
  const high = Math.floor(ms / 0x1_0000_0000);
  return String.fromCharCode((high >>> 8) & 0xff, high & 0xff) + uint32Key(ms >>> 0);
}

export function timeAt(key: BinaryString, at: number): number {
  return ((key.charCodeAt(at) << 8) | key.charCodeAt(at + 1)) * 0x1_0000_0000 + uint32At(key, at + 2);
}

/** 8 bytes. */
export function uint64Key(n: bigint): BinaryString {
  return uint32Key(Number(n >> 32n)) + uint32Key(Number(n & 0xffff_ffffn));
}

export function uint64At(key: BinaryString, at: number): bigint {
  return (BigInt(uint32At(key, at)) << 32n) | BigInt(uint32At(key, at + 4));
}
