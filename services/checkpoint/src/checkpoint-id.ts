// Ids of checkpoints: UUIDs of version 7, so that they sort by time; and by order of creation in any case, since
// a new one is greater than every listed one, whatever the clock says. "Newer" means a greater id everywhere.
import { StateStoreError } from '@statestore/core';

const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const timeMax = 2 ** 48 - 1;

export function isCheckpointId(text: string): boolean {
  return pattern.test(text);
}

/** Throws `invalid_parameter`: an id becomes a part of names. */
export function requireCheckpointId(text: string): string {
  if (isCheckpointId(text)) return text;
  throw new StateStoreError(
    'invalid_parameter',
    `the checkpoint's id is ${JSON.stringify(text.slice(0, 80))}; it must be a UUID in small letters`,
    { hint: '`statestore checkpoint list` shows them' },
  );
}

export interface NewId {
  readonly nowMs: number;
  /** The new one is greater. */
  readonly after?: string | undefined;
  /** 10 bytes. */
  readonly random: Uint8Array;
}

export function newCheckpointId({ nowMs, after, random }: NewId): string {
  const afterMs = after === undefined ? -1 : Number.parseInt(after.slice(0, 8) + after.slice(9, 13), 16);
  const timeMs = Math.max(Math.floor(nowMs), afterMs + 1);
  if (timeMs > timeMax) throw new StateStoreError('internal', `no id is greater than ${after ?? timeMs}`);
  const tail = Uint8Array.from(random.subarray(0, 10));
  tail[0] = 0x70 | (tail[0]! & 0x0f);
  tail[2] = 0x80 | (tail[2]! & 0x3f);
  const hex = timeMs.toString(16).padStart(12, '0') + Buffer.from(tail).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** Compares by age: the newest first. */
export function newestFirst(a: { readonly id: string }, b: { readonly id: string }): number {
  if (a.id === b.id) return 0;
  return a.id > b.id ? -1 : 1;
}
