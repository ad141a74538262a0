// Expiry index. Key: 0x20, expiry (6 bytes), ordinal (4 bytes), user's key; value: empty. One for each
// entry that expires, written and removed with it: a sweep finds what is due at the front.
import type { BinaryString } from '../binary-string.ts';
import { timeAt, timeKey, uint32At, uint32Key } from './numbers.ts';
import { expiryPrefix } from './prefix.ts';

export function expiryKey(expiresAtMs: number, ordinal: number, key: BinaryString): BinaryString {
  return expiryPrefix + timeKey(expiresAtMs) + uint32Key(ordinal) + key;
}

/** Exclusive end of the range of what has expired at `clockMs`: expiry ≤ clock. */
export function expiryEnd(clockMs: number): BinaryString {
  return expiryPrefix + timeKey(clockMs + 1);
}

export function parseExpiryKey(key: BinaryString): { expiresAtMs: number; ordinal: number; key: BinaryString } {
  return { expiresAtMs: timeAt(key, 1), ordinal: uint32At(key, 7), key: key.slice(11) };
}
