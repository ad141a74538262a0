// A merge in the partition that takes slots: stores get the keyspaces that entries are staged in, what the other one
// remembers of clients' requests is remembered here, and then all of its slots are this one's. What is staged is not
// looked at: whoever proposes says what it comes to, and a replica that has not staged it must not apply it.
import { bytesFromBinary } from '../binary-string.ts';
import type { Absorb, AbsorbedStore, PrepareAbsorb, Remember } from '../command.ts';
import { hashAdd, hashFromBytes } from '../hash.ts';
import { decodeIdempotency, encodeIdempotency, idempotencyExpiryKey, idempotencyKey } from '../keyspace/idempotency.ts';
import type { StoreState } from '../keyspace/store.ts';
import { deduplicationWindowMs, ordinalMax, storesMax } from '../limits.ts';
import type { CommandResult } from '../result.ts';
import { commandResult } from '../result.ts';
import { joined, meet } from '../slot-ranges.ts';
import type { BatchContext } from './context.ts';
import { endOf, isLate } from './fence.ts';
import type { PartitionState } from './state.ts';
import { isDefault } from './stores.ts';

const noValue = new Uint8Array(0);
const done = commandResult('done');
const refused = commandResult('precondition_failed');

export function prepareAbsorb(context: BatchContext, command: PrepareAbsorb): CommandResult {
  const { state } = context;
  if (endOf(state, command) !== undefined) return done;
  if (state.fenced !== undefined) return refused;
  const owned = state.slots ?? joined(command.ownedBefore);
  if (owned.length === 0) return refused;
  const stores = command.stores.map((name) => context.store(name)).filter(({ ordinal }) => ordinal === 0);
  const unknown = stores.filter(({ name }) => !state.stores.has(name));
  if (state.stores.size + unknown.length > storesMax) return commandResult('too_many_stores');
  if (state.nextOrdinal + stores.length - 1 > ordinalMax) return commandResult('too_many_stores');
  state.slots = owned;
  for (const { name } of stores) {
    // Anew, since it may be named twice.
    const store = context.store(name);
    if (store.ordinal === 0) context.giveKeyspace(store);
  }
  return done;
}

export function remember(context: BatchContext, command: Remember): CommandResult {
  const { overlay, state } = context;
  if (endOf(state, command) !== undefined) return done;
  // What another partition is to get of these is settled by then.
  if (state.fenced !== undefined) return refused;
  // Remembered now, by this clock: the other one may have been behind or ahead, by any time. So nothing is ever remembered
  // for longer than a window, and what comes later stands behind what came before in the index.
  const untilMs = context.clockMs + deduplicationWindowMs;
  for (const { id, fingerprint, expiresAtMs, result } of command.records) {
    const key = idempotencyKey(id);
    const bytes = overlay.get(key);
    if (bytes !== undefined) {
      const before = decodeIdempotency(bytes);
      // Of a merge that was tried before, or of a request to both: the later one counts.
      if (before.expiresAtMs >= expiresAtMs) continue;
      overlay.delete(idempotencyExpiryKey(before.expiresAtMs, id));
    }
    overlay.put(key, encodeIdempotency({ fingerprint, expiresAtMs: untilMs, result }));
    overlay.put(idempotencyExpiryKey(untilMs, id), noValue);
  }
  return done;
}

export function absorb(context: BatchContext, command: Absorb): CommandResult {
  const { state } = context;
  const { reshape, slotsEpoch, stores } = command;
  const end = endOf(state, command);
  if (end !== undefined) return end === 'done' ? done : refused;
  if (state.fenced !== undefined || isLate(state, slotsEpoch)) return refused;
  const owned = state.slots ?? joined(command.ownedBefore);
  const slots = joined(command.slots);
  if (slots.length === 0 || owned.length === 0 || meet(owned, slots) || !canTake(state, stores)) return refused;
  for (const store of stores) take(context, store);
  if (command.revision > state.revision) state.revision = command.revision;
  context.moveClock(command.clockNanos);
  state.expired += command.expired;
  state.slots = joined([...owned, ...slots]);
  state.slotsEpoch = slotsEpoch;
  state.ended = { reshape, position: state.position, slotsEpoch };
  return done;
}

/** Whether the entries are staged under the ordinals that these stores have now. */
function canTake(state: PartitionState, stores: readonly AbsorbedStore[]): boolean {
  const names = new Set<string>();
  let unknown = 0;
  for (const { name, ordinal, entries, hash } of stores) {
    if (names.has(name) || hash.length !== 16) return false;
    names.add(name);
    const store = state.stores.get(name);
    if (store === undefined) unknown++;
    if (entries > 0 && (ordinal === 0 || store?.ordinal !== ordinal)) return false;
  }
  return state.stores.size + unknown <= storesMax;
}

function take(context: BatchContext, from: AbsorbedStore): void {
  const { state } = context;
  const store = context.store(from.name);
  takeSettings(store, from);
  // With nothing in it and nothing set, it is nobody's.
  if (!state.stores.has(from.name) && isDefault(store.settings)) return;
  const hash = hashFromBytes(bytesFromBinary(from.hash));
  store.entries += from.entries;
  state.entries += from.entries;
  store.bytes += from.bytes;
  state.bytes += from.bytes;
  store.expired += from.expired;
  hashAdd(store.hash, hash);
  hashAdd(state.stateHash, hash);
  context.register(store);
}

/** Those of the newer version count; what was allowed under one is not allowed under another. */
function takeSettings(store: StoreState, from: AbsorbedStore): void {
  const { settings, settingsVersion } = store;
  const isSame = settingsVersion === from.settingsVersion;
  // Version 0 is of a gateway that gave none: any that were set count more than none.
  if (from.settingsVersion > settingsVersion || (isSame && isDefault(settings) && !isDefault(from.settings))) {
    store.settings = from.settings;
    store.settingsVersion = from.settingsVersion;
    store.allowanceEntries = from.allowanceEntries;
    store.allowanceBytes = from.allowanceBytes;
  } else if (isSame) {
    store.allowanceEntries = sum(store.allowanceEntries, from.allowanceEntries);
    store.allowanceBytes = sum(store.allowanceBytes, from.allowanceBytes);
  }
}

function sum(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b;
}
