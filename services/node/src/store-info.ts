// What a node tells of a store of one partition.
import type { PartitionState } from '@statestore/core';
import type { StoreInfo } from '@statestore/link';

/** Undefined where the partition has no such store. */
export function storeInfo({ stores }: Readonly<PartitionState>, name: string): StoreInfo | undefined {
  const store = stores.get(name);
  if (store === undefined) return undefined;
  const { entries, bytes, expired, settings, settingsVersion, allowanceEntries, allowanceBytes } = store;
  return { store: name, entries, bytes, expired, settings, settingsVersion, allowanceEntries, allowanceBytes };
}
