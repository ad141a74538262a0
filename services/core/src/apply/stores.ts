// Commands on a whole store: clear, settings, allowance.
import type { AdjustAllowance, ClearStore, ConfigureStore, StoreSettings } from '../command.ts';
import { hashSubtract } from '../hash.ts';
import { encodeRetired, retiredKey } from '../keyspace/retired.ts';
import { storeKey } from '../keyspace/store.ts';
import { storesMax } from '../limits.ts';
import type { CommandResult } from '../result.ts';
import { commandResult } from '../result.ts';
import type { BatchContext } from './context.ts';

export function isDefault({ defaultTtlMs, quotaEntries, quotaBytes }: StoreSettings): boolean {
  return defaultTtlMs === 0 && quotaEntries === undefined && quotaBytes === undefined;
}

/** O(1): the keyspace is retired, a sweep removes its entries later. Settings stay. */
export function clearStore(context: BatchContext, { store: name }: ClearStore): CommandResult {
  const { state } = context;
  const store = state.stores.get(name);
  if (store === undefined) return commandResult('done');
  const count = store.entries;
  if (store.ordinal !== 0) {
    const { slots } = state;
    const retired = encodeRetired(slots === undefined ? undefined : { store: name, slots });
    context.overlay.put(retiredKey(store.ordinal), retired);
    state.storesByOrdinal.delete(store.ordinal);
  }
  hashSubtract(state.stateHash, store.hash);
  store.hash.fill(0);
  state.entries -= store.entries;
  state.bytes -= store.bytes;
  store.ordinal = 0;
  store.keyPrefix = '';
  store.entries = 0;
  store.bytes = 0;
  const revision = ++state.revision;
  context.changes.push({ kind: 'clear', revision, store: name, key: '' });
  if (isDefault(store.settings)) {
    state.stores.delete(name);
    context.dirtyStores.delete(store);
    context.overlay.delete(storeKey(name));
  } else context.dirtyStores.add(store);
  return commandResult('done', { count });
}

export function configureStore(context: BatchContext, command: ConfigureStore): CommandResult {
  const store = context.store(command.store);
  const known = context.state.stores.has(store.name);
  if (!known && context.state.stores.size >= storesMax) return commandResult('too_many_stores');
  const { settingsVersion } = command;
  // Each version is taken once: whoever had it accepted knows that no one else gives under it.
  if (settingsVersion < store.settingsVersion || (settingsVersion === store.settingsVersion && settingsVersion !== 0))
    return commandResult('precondition_failed');
  store.settings = command.settings;
  store.settingsVersion = settingsVersion;
  store.allowanceEntries = command.allowanceEntries;
  store.allowanceBytes = command.allowanceBytes;
  if (known && store.ordinal === 0 && isDefault(store.settings)) {
    context.state.stores.delete(store.name);
    context.dirtyStores.delete(store);
    context.overlay.delete(storeKey(store.name));
  } else if (known || !isDefault(store.settings)) context.register(store);
  return commandResult('done', { entries: store.entries, bytes: store.bytes });
}

export function adjustAllowance(context: BatchContext, command: AdjustAllowance): CommandResult {
  const store = context.state.stores.get(command.store);
  if ((store?.settingsVersion ?? 0) !== command.settingsVersion) return commandResult('precondition_failed');
  if (store === undefined) return commandResult('done');
  const entries = adjusted(store.allowanceEntries, store.entries, command.entries);
  const bytes = adjusted(store.allowanceBytes, store.bytes, command.bytes);
  if (store.allowanceEntries !== undefined) store.allowanceEntries += entries;
  if (store.allowanceBytes !== undefined) store.allowanceBytes += bytes;
  context.dirtyStores.add(store);
  return commandResult('done', { entries, bytes });
}

/** By how much an allowance changes: what is given as it is, what is taken at most as far as it is unused. */
function adjusted(allowance: number | undefined, used: number, by: number): number {
  if (allowance === undefined) return 0;
  return by >= 0 ? by : 0 - Math.min(-by, Math.max(0, allowance - used));
}
