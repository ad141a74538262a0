// Whether a replica is what the naive model says: its state, and what readers see.
import { bytesFromBinary, readEntry, readRange } from '@statestore/core';
import { expect } from 'vitest';
import { keys, stores } from './arbitrary-commands.ts';
import type { Model } from './model.ts';
import { slotSet } from './model-reshape.ts';
import type { Replica } from './replica.ts';

/** What readers see of the replica is what the model has, at the state's time and at a later wall clock. */
export function expectSameReads(replica: Replica, model: Model): void {
  for (const wallMs of [0, model.clockMs + 700]) {
    for (const store of stores) {
      const seen = keys.flatMap((key) => {
        const entry = model.live(store, key, wallMs);
        return entry === undefined ? [] : [{ ...entry, key, value: bytesFromBinary(entry.value) }];
      });
      seen.sort((a, b) => (a.key < b.key ? -1 : 1));
      expect([...readRange(replica.state, replica.records, store, {}, wallMs)]).toEqual(seen);
      expect([...readRange(replica.state, replica.records, store, { reverse: true }, wallMs)]).toEqual(
        seen.toReversed(),
      );
      const part = { start: 'k\x00', end: 'l' };
      const inside = seen.filter(({ key }) => key >= part.start && key < part.end);
      expect([...readRange(replica.state, replica.records, store, part, wallMs)]).toEqual(inside);
      for (const key of keys) {
        const entry = readEntry(replica.state, replica.records, store, key, wallMs);
        expect(entry && { ...entry, key }).toEqual(seen.find((one) => one.key === key));
      }
    }
  }
}

export function expectSameState({ state }: Replica, model: Model): void {
  const { data } = model;
  expect([...state.stores.keys()].toSorted()).toEqual([...data.stores.keys()].toSorted());
  for (const [name, store] of data.stores) {
    const { ordinal, entries, bytes, expired, settings, settingsVersion, allowanceEntries, allowanceBytes } =
      state.stores.get(name)!;
    expect({ ordinal, entries, bytes, expired, settings, settingsVersion, allowanceEntries, allowanceBytes }).toEqual({
      ...store,
      entries: store.entries.size,
      bytes: model.bytesOf(store),
    });
  }
  const sessions = [...state.sessions].map(([id, { results, ...session }]) => [
    id,
    { ...session, results: new Map([...results].map(([counter, { result }]) => [counter, result])) },
  ]);
  expect(new Map(sessions as [string, unknown][])).toEqual(data.sessions);
  expect([state.clockNanos, state.revision, state.nextOrdinal, state.expired]).toEqual([
    data.clockNanos,
    data.revision,
    data.nextOrdinal,
    data.expired,
  ]);
  expect(state.changesBytes).toBe(data.changeRecords.reduce((sum, { bytes }) => sum + bytes, 0));
  const { slots, slotsEpoch, fenced, ended } = data.owned;
  expect(state.slots && slotSet(state.slots)).toEqual(slots);
  expect(state.slotsEpoch).toBe(slotsEpoch);
  expect(state.fenced && [state.fenced.reshape, slotSet(state.fenced.slots), state.fenced.position]).toEqual(
    fenced && [fenced.reshape, fenced.slots, fenced.position],
  );
  expect(state.ended && [state.ended.reshape, state.ended.position, state.ended.slotsEpoch]).toEqual(
    ended && [ended.reshape, ended.position, ended.slotsEpoch],
  );
}
