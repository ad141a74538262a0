// Entries that are counted as they pass say the same of a state as entries that are read back, whatever is wrong with it.
import type { BinaryString, StateReader } from '@statestore/core';
import { EntryTally, keyspace, loadState, StateStoreError, verifySteps } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { SortedMap } from '../sim/sorted-map.ts';
import { laterCommands, States } from './checkpoint-states.ts';

/** Of a store's ordinal that was cleared: see services/core/src/keyspace/prefix.ts. */
const retiredPrefix = '\x03';

type Records = ReadonlyMap<BinaryString, Uint8Array>;

function recordsOf(states: States): Map<BinaryString, Uint8Array> {
  return new Map(Array.from(states.replica.records.range({}), ({ key, value }) => [key, value]));
}

/** What is wrong with it; undefined: it is not even a state. */
function differences(reader: StateReader, passed?: EntryTally): readonly string[] | undefined {
  try {
    const steps = verifySteps(loadState(reader), reader, passed);
    for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value;
  } catch (error) {
    if (error instanceof StateStoreError) return undefined;
    throw error;
  }
}

function tallyOf(records: StateReader): EntryTally {
  const tally = new EntryTally();
  for (const { key, value } of records.range({})) tally.record(key, value);
  return tally;
}

/** Of both ways, where they agree. */
function isState(records: Records): boolean {
  const reader = new SortedMap(records);
  const readBack = differences(reader);
  const passed = differences(reader, tallyOf(reader));
  expect(passed === undefined || passed.length > 0, JSON.stringify({ readBack, passed })).toBe(
    readBack === undefined || readBack.length > 0,
  );
  return readBack?.length === 0;
}

function states(): States {
  const all = new States();
  all.apply(laterCommands());
  return all;
}

const isEntry = (key: BinaryString): boolean => key.startsWith(keyspace.entryPrefix);

describe('entries counted as they pass', () => {
  test('make the same state', () => {
    expect(isState(recordsOf(new States([])))).toBe(true);
    expect(isState(recordsOf(new States()))).toBe(true);
    expect(isState(recordsOf(states()))).toBe(true);
  });

  test('miss each record that is missing', () => {
    const whole = recordsOf(states());
    let refused = 0;
    for (const key of whole.keys()) {
      const records = new Map(whole);
      records.delete(key);
      if (!isState(records)) refused++;
    }
    expect(refused).toBeGreaterThan(60);
  });

  test('find each byte that is another', () => {
    const whole = recordsOf(states());
    let ofEntries = 0;
    for (const [key, value] of whole)
      for (let at = 0; at < value.length; at += isEntry(key) ? 2 : 9) {
        const records = new Map(whole);
        records.set(
          key,
          value.map((byte, i) => (i === at ? byte ^ 0x11 : byte)),
        );
        if (!isState(records) && isEntry(key)) ofEntries++;
      }
    expect(ofEntries).toBeGreaterThan(500);
  });

  test('find an entry that is there twice, under another key, and of a store that is not', () => {
    const whole = recordsOf(states());
    for (const [key, value] of whole) {
      if (!isEntry(key)) continue;
      const more = new Map(whole).set(`${key}\x00`, value);
      expect(isState(more) && !isCleared(key, whole)).toBe(false);
      const moved = new Map(more);
      moved.delete(key);
      expect(isState(moved) && !isCleared(key, whole)).toBe(false);
      const foreign = new Map(whole).set(keyspace.entryKeyPrefix(1000) + key.slice(5), value);
      expect(isState(foreign)).toBe(false);
    }
  });

  test('leave to what is read back only what is no entry', () => {
    const reader = new SortedMap(recordsOf(states()));
    const tally = tallyOf(reader);
    const asked: BinaryString[] = [];
    const told: StateReader = {
      get: (key) => reader.get(key),
      keys: (range) => reader.keys(range),
      *range(range) {
        for (const record of reader.range(range)) {
          asked.push(record.key);
          yield record;
        }
      },
    };
    expect(differences(told, tally)).toEqual([]);
    expect(asked.filter(isEntry)).toEqual([]);
    expect(new Set(asked).size).toBe(Array.from(reader.keys({})).filter((key) => !isEntry(key)).length);
  });
});

/** Of a store that was cleared: nothing is counted of it. */
function isCleared(key: BinaryString, records: Records): boolean {
  return records.has(retiredPrefix + key.slice(1, keyspace.entryKeyPrefixLength));
}
