// The plainest ordered map: what engines and the write buffer are compared with, and the histories
// that they are given.
import type { BinaryString } from '@statestore/core';
import fc from 'fast-check';
import type { EngineEntry, EngineRange, EngineReader, EngineWrites } from '../../services/node/src/engine/engine.ts';

export function bytesOf(...bytes: readonly number[]): Uint8Array {
  return Uint8Array.from(bytes);
}

export class Model {
  readonly entries: ReadonlyMap<BinaryString, Uint8Array>;
  readonly position: bigint;

  constructor(entries: ReadonlyMap<BinaryString, Uint8Array> = new Map(), position = 0n) {
    this.entries = entries;
    this.position = position;
  }

  with(writes: EngineWrites, position: bigint): Model {
    const entries = new Map(this.entries);
    for (const [key, value] of writes) {
      if (value === undefined) entries.delete(key);
      else entries.set(key, value);
    }
    return new Model(entries, position);
  }

  sorted(): EngineEntry[] {
    return [...this.entries].map(([key, value]) => ({ key, value })).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  answers({ start, end, reverse = false, limit = Infinity }: EngineRange): Answers {
    const within = this.sorted().filter(
      ({ key }) => (start === undefined || key >= start) && (end === undefined || key < end),
    );
    if (reverse) within.reverse();
    const range = within.slice(0, limit);
    return {
      range,
      keys: range.map(({ key }) => key),
      points: probes(start, end).map((key) => [this.entries.has(key), this.entries.get(key)]),
    };
  }
}

interface Answers {
  readonly range: readonly EngineEntry[];
  readonly keys: readonly BinaryString[];
  readonly points: readonly (readonly [boolean, Uint8Array | undefined])[];
}

export function answers(reader: EngineReader, range: EngineRange): Answers {
  return {
    range: [...reader.range(range)].map(({ key, value }) => ({ key, value: Uint8Array.from(value) })),
    keys: [...reader.keys(range)],
    points: probes(range.start, range.end).map((key) => {
      const value = reader.get(key);
      return [reader.has(key), value && Uint8Array.from(value)];
    }),
  };
}

function probes(...keys: readonly (BinaryString | undefined)[]): BinaryString[] {
  return ['a', 'b', '\0', '\xff', ...keys.filter((key) => key !== undefined && key !== '').map(String)];
}

/** Few and alike, so that histories meet the same keys again. */
const charArbitrary = fc.constantFrom('\0', 'a', 'b', '\x7f', '\x80', '\xff');
export const keyArbitrary: fc.Arbitrary<BinaryString> = fc.string({ unit: charArbitrary, minLength: 1, maxLength: 3 });
const valueArbitrary = fc.oneof(
  fc.uint8Array({ maxLength: 6 }),
  fc.constantFrom(5000, 1024, 1025, 9000).map((n) => new Uint8Array(n).fill(n)),
);
export const writesArbitrary: fc.Arbitrary<EngineWrites> = fc
  .array(fc.tuple(keyArbitrary, fc.option(valueArbitrary, { nil: undefined })), { maxLength: 12 })
  .map((pairs) => new Map(pairs));
const boundArbitrary = fc.option(fc.oneof(keyArbitrary, fc.constant('')), { nil: undefined });
export const rangeArbitrary: fc.Arbitrary<EngineRange> = fc
  .tuple(boundArbitrary, boundArbitrary, fc.boolean(), fc.option(fc.nat({ max: 6 }), { nil: undefined }))
  .map(([start, end, reverse, limit]) => ({
    ...(start === undefined ? {} : { start }),
    ...(end === undefined ? {} : { end }),
    ...(limit === undefined ? {} : { limit }),
    reverse,
  }));
