// The entries of a state as text, whatever else its engine holds: what partitions that were split and merged have in common.
import type { SlotRange, StateReader } from '@statestore/core';
import { loadState, OwnRecords, prefixRange, slotOf, slotRanges, verifyState } from '@statestore/core';

/** Of a state's own, or of these slots. */
export function entriesOf(reader: StateReader, slots?: readonly SlotRange[]): string[] {
  const state = loadState(reader);
  if (slots === undefined && verifyState(state, reader).length > 0) throw new Error(verifyState(state, reader)[0]);
  const own = OwnRecords.of(state, reader);
  return [...state.stores.values()].flatMap(({ name, keyPrefix, ordinal }) =>
    ordinal === 0
      ? []
      : [...reader.range(prefixRange(keyPrefix))].flatMap(({ key, value }) => {
          const userKey = key.slice(keyPrefix.length);
          const counts =
            slots === undefined ? own?.has(key) !== false : slotRanges.containsSlot(slots, slotOf(name, userKey));
          return counts ? [`${name}/${userKey}=${Buffer.from(value).toString('hex')}`] : [];
        }),
  );
}
