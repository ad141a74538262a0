// The child of a split as all of its replicas must have it: made at once, of the source as it was when its slots were
// fenced. In two ways, the core's and one that is written for this, so that neither is believed.
import type { BinaryString, Split } from '@statestore/core';
import { bytesFromBinary, hashFromBytes, keyspace, limits, prefixRange } from '@statestore/core';
import {
  childOf,
  childRecords as coreChildRecords,
  stateRecords,
  storesAtFence,
} from '../../../services/core/src/apply/child.ts';
import { decodeIdempotency, idempotencyExpiryKey } from '../../../services/core/src/keyspace/idempotency.ts';
import type { Replica } from '../replica.ts';
import { SortedMap } from '../sorted-map.ts';
import { countedIn, entriesIn } from './reshape-states.ts';

function nameOf({ target: partition, log, slotsEpoch }: Split): Parameters<typeof childOf>[1] {
  return { partition, generation: log.generation, slotsEpoch };
}

/** As nodes make it. */
export function childRecords(source: Replica, split: Split): SortedMap {
  const { fenced, ended } = source.state;
  // After the hand-over nobody may ask for it: what comes of it then is not it.
  const state = { ...source.state, fenced: fenced ?? ended?.fenced };
  return new SortedMap(coreChildRecords(state, source.records, nameOf(split)));
}

/** As it must be. `source`: any that has the fence, and has handed nothing over yet. */
export function expectedChild(source: Replica, split: Split): SortedMap {
  const { state, records } = source;
  const fenced = state.fenced ?? state.ended?.fenced;
  if (fenced === undefined) throw new Error('the source is not fenced');
  const child = new SortedMap();
  const writes = new Map<BinaryString, Uint8Array>();
  const counted = new Map(countedIn(state, records, split.slots).map((each) => [each.name, each]));
  const stores = storesAtFence(state, fenced).map((store) => {
    const { entries = 0, bytes = 0, hash } = counted.get(store.name) ?? {};
    return { ...store, entries, bytes, hash: hash === undefined ? store.hash : hashFromBytes(bytesFromBinary(hash)) };
  });
  for (const [key, value] of stateRecords(childOf(fenced, nameOf(split), stores))) writes.set(key, value);
  for (const { store, key, recordKey, bytes } of entriesIn(state, records, split.slots)) {
    writes.set(recordKey, bytes);
    const expiresAtMs = keyspace.entryExpiry(bytes);
    if (expiresAtMs !== 0) writes.set(keyspace.expiryKey(expiresAtMs, store.ordinal, key), new Uint8Array(0));
  }
  const untilMs = Number(fenced.clockNanos / 1_000_000n) + limits.deduplicationWindowMs;
  for (const { key, value } of records.range(prefixRange(keyspace.idempotencyPrefix))) {
    const { expiresAtMs } = decodeIdempotency(value);
    if (expiresAtMs > untilMs) continue;
    writes.set(key, value);
    writes.set(idempotencyExpiryKey(expiresAtMs, key.slice(1)), new Uint8Array(0));
  }
  child.write(writes);
  return child;
}
