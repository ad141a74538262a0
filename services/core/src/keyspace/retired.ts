// Retired keyspaces. Key: 0x03, ordinal (4 bytes); value: RetiredKeyspace of state.proto, empty where the partition was
// never reshaped. Made by a clear, removed by the sweep that removed the keyspace's last entry. Ordinals are never used
// again. Beside the entries that were cleared there may be foreign ones, more on one replica than on another: those of
// slots that the partition did not own when the store was cleared.
import type { OwnedRange } from '../apply/state.ts';
import type { BinaryString } from '../binary-string.ts';
import { WireReader, WireWriter } from '../wire.ts';
import { uint32At, uint32Key } from './numbers.ts';
import { readRange, writeRanges } from './owned.ts';
import { retiredPrefix } from './prefix.ts';

export function retiredKey(ordinal: number): BinaryString {
  return retiredPrefix + uint32Key(ordinal);
}

export function parseRetiredKey(key: BinaryString): number {
  return uint32At(key, 1);
}

export interface RetiredKeyspace {
  readonly store: string;
  /** Owned when it was cleared. */
  readonly slots: readonly OwnedRange[];
}

const noValue = new Uint8Array(0);
const writer = new WireWriter(512);

/** Undefined: all of its records are the state's own. */
export function encodeRetired(retired: RetiredKeyspace | undefined): Uint8Array {
  if (retired === undefined) return noValue;
  writer.reset();
  writeRanges(writer, 2, retired.slots);
  writer.binary(1, retired.store);
  return writer.finish();
}

/** Throws `data_corrupt` where the bytes are no such record. */
export function decodeRetired(bytes: Uint8Array): RetiredKeyspace | undefined {
  if (bytes.length === 0) return undefined;
  const r = new WireReader(bytes);
  const slots: OwnedRange[] = [];
  let store = '';
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) store = r.binary();
    else if (field === 2) slots.push(readRange(r));
    else r.skip();
  }
  return { store, slots };
}
