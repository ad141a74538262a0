// What the log of a split's child says to carry on: a state has a name of its own that follows from what it was made
// of, so that every replica of it has the same without having asked anybody.
import { createHash } from 'node:crypto';
import { keyspace } from '@statestore/core';

/** A UUID. `chain`: of the child's head, 16 bytes. */
export function childIncarnation(partition: number, chain: Uint8Array): string {
  const bytes = createHash('sha256')
    .update(`${keyspace.stateFormat}/${partition}/`)
    .update(chain)
    .digest()
    .subarray(0, 16);
  bytes[6] = 0x80 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
