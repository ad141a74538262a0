// What became of a range is what makes the earlier records the present ones, and is not much more than that.
import type { BinaryString } from '@statestore/core';
import { limits } from '@statestore/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SortedRecords } from './checkpoints.testing.ts';
import { damaged } from './damage.ts';
import { PreviousDamaged, RangeChanges } from './range-changes.ts';
import type { KeyRange, LayerRecord, StateRecord } from './records.ts';
import { isInRange } from './records.ts';

type Records = ReadonlyMap<BinaryString, Uint8Array>;

const everything: KeyRange = { start: '', end: '' };

function readerOf(records: Records): SortedRecords {
  const reader = new SortedRecords();
  reader.write(records);
  return reader;
}

const inside = (records: Records, range: KeyRange): StateRecord[] =>
  [...readerOf(records).range({})].filter(({ key }) => isInRange(key, range));

async function* inParts(records: readonly StateRecord[], size: number): AsyncGenerator<readonly StateRecord[]> {
  for (let at = 0; at < records.length; at += size) yield records.slice(at, at + size);
}

interface Became {
  readonly changes: RangeChanges;
  readonly written: readonly LayerRecord[];
}

async function became(
  before: Records,
  now: Records,
  { range = everything, partSize = 100, compareFromBytes = 0 } = {},
): Promise<Became> {
  const old = inside(before, range);
  const bytes = old.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  const read = () => inParts(old, partSize);
  const changes = new RangeChanges(readerOf(now), range, { read, records: old.length, bytes });
  const written: LayerRecord[] = [];
  for await (const part of changes.parts(compareFromBytes))
    for (const record of part) if (record !== undefined) written.push(record);
  return { changes, written };
}

/** As a reader lays them over each other. */
function laidOver(before: readonly StateRecord[], { changes, written }: Became): Map<BinaryString, Uint8Array> {
  const { replaced } = changes;
  const left = before.filter(({ key }) => replaced === undefined || !isInRange(key, replaced));
  const result = new Map(left.map(({ key, value }) => [key, value]));
  for (const { key, value } of written) {
    if (value === undefined) result.delete(key);
    else result.set(key, value);
  }
  return result;
}

const key = fc.string({ unit: fc.constantFrom('\x00', 'a', 'b', '\xff'), minLength: 1, maxLength: 3 });
const records = fc
  .array(fc.tuple(key, fc.uint8Array({ maxLength: 2 })), { maxLength: 60, size: 'max' })
  .map((some): Records => new Map(some));
const bound = fc.constantFrom('', 'a', 'a\xff', 'b');
const ranges = fc
  .tuple(bound, bound)
  .map(([a, b]): KeyRange => (a < b || b === '' ? { start: a, end: b } : { start: b, end: a }));

function numbered(count: number, value = 0): Map<BinaryString, Uint8Array> {
  const name = (n: number): string => String(n).padStart(6, '0');
  return new Map(Array.from({ length: count }, (_, n) => [name(n), new Uint8Array([value])]));
}

describe('what became of a range', () => {
  test('makes the present records of the earlier ones, ascending, and counts them', async () => {
    let whole = 0;
    let compared = 0;
    const how = fc.record({ partSize: fc.integer({ min: 1, max: 20 }), compareFromBytes: fc.constantFrom(0, 0, 30) });
    await fc.assert(
      fc.asyncProperty(records, records, fc.boolean(), ranges, how, async (old, other, mostStays, range, how) => {
        const now = mostStays ? new Map([...old, ...[...other].slice(0, 3)].slice(1)) : other;
        const result = await became(old, now, { range, ...how });
        if (result.changes.replaced === undefined) compared++;
        else whole++;
        const wanted = inside(now, range);
        expect(laidOver(inside(old, range), result)).toEqual(new Map(wanted.map(({ key, value }) => [key, value])));
        expect(result.changes.records).toBe(wanted.length);
        const keys = result.written.map((record) => record.key);
        expect(keys).toEqual([...new Set(keys)].toSorted((one, two) => (one < two ? -1 : 1)));
      }),
      { numRuns: 500 },
    );
    expect(Math.min(whole, compared)).toBeGreaterThan(100);
  });

  test('is what differs, and nothing where nothing does', async () => {
    const before = numbered(1000);
    expect((await became(before, before)).written).toEqual([]);
    const now = new Map(before);
    now.delete('000003');
    now.set('000700', new Uint8Array([9]));
    now.set('0005005', new Uint8Array(0));
    const { written, changes } = await became(before, now);
    expect(written.map((record) => [record.key, record.value?.[0]])).toEqual([
      ['000003', undefined],
      ['0005005', undefined],
      ['000700', 9],
    ]);
    expect(written.map((record) => record.value?.length)).toEqual([undefined, 0, 1]);
    expect([changes.records, changes.replaced]).toEqual([1000, undefined]);
  });

  test('is all of it from where it pays no more to compare', async () => {
    const before = numbered(1000);
    const { written, changes } = await became(before, numbered(1000, 1), { partSize: 100 });
    expect(written).toHaveLength(1000);
    expect(changes.replaced).toEqual({ start: '000501', end: '' });
    // What was removed at the front, as expired entries are, does not make it so.
    const later = new Map([...before].slice(400));
    const moved = await became(before, later, { partSize: 100 });
    expect([moved.written.length, moved.changes.replaced]).toEqual([400, undefined]);
  });

  test('is all of it where little was there: nothing is read then', async () => {
    const read = (): never => {
      throw new Error('it was read');
    };
    const few = { read, records: 2, bytes: limits.checkpointCompareFromBytes - 1 };
    const range = { start: '0', end: '1' };
    const changes = new RangeChanges(readerOf(numbered(5)), range, few);
    let count = 0;
    for await (const part of changes.parts(limits.checkpointCompareFromBytes)) for (const _ of part) count++;
    expect([count, changes.records, changes.replaced]).toEqual([5, 5, range]);
  });

  test('tells damage of what was there from everything else that goes wrong', async () => {
    const failing = async (error: Error): Promise<unknown> => {
      async function* read(): AsyncGenerator<readonly StateRecord[]> {
        yield [...readerOf(numbered(1)).range({})];
        throw error;
      }
      const changes = new RangeChanges(readerOf(numbered(3)), everything, { read, records: 3, bytes: 100 });
      try {
        for await (const part of changes.parts(0)) for (const _ of part);
      } catch (caught) {
        return caught;
      }
      return undefined;
    };
    const damage = damaged('blocks/1/2', 'it is missing');
    expect(await failing(damage)).toBeInstanceOf(PreviousDamaged);
    expect(await failing(damage)).toMatchObject({ cause: damage, message: 'blocks/1/2: it is missing' });
    const other = new Error('no answer');
    expect(await failing(other)).toBe(other);
  });
});
