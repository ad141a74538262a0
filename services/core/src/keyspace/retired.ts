// Retired keyspaces. Key: 0x03, ordinal (4 bytes); value: empty. Made by a clear, removed by the sweep
// that removed the keyspace's last entry. Ordinals are never used again.
import type { BinaryString } from '../binary-string.ts';
import { uint32At, uint32Key } from './numbers.ts';
import { retiredPrefix } from './prefix.ts';

export function retiredKey(ordinal: number): BinaryString {
  return retiredPrefix + uint32Key(ordinal);
}

export function parseRetiredKey(key: BinaryString): number {
  return uint32At(key, 1);
}
