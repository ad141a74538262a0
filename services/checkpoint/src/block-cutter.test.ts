import { fromBinary, toBinary, create } from '@bufbuild/protobuf';
import { binaryFromBytes, bytesFromBinary } from '@statestore/core';
import { BlockSchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlockWriter, decodeBlock } from './block-codec.ts';
import type { CutBlock } from './block-cutter.ts';
import { BlockCutter } from './block-cutter.ts';
import type { LayerRecord } from './records.ts';

const key = fc.uint8Array({ minLength: 1, maxLength: 60 }).map(binaryFromBytes);
const value = fc.option(
  fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.nat(300).map((n) => new Uint8Array(n)),
  ),
  {
    nil: undefined,
  },
);
const records = fc
  .uniqueArray(fc.record({ key, value }), { selector: (one) => one.key, maxLength: 60 })
  .map((some): LayerRecord[] => some.toSorted((a, b) => (a.key < b.key ? -1 : 1)));

function contentOf({ buffer, bytes }: CutBlock): Uint8Array {
  return new Uint8Array(buffer.subarray(0, bytes));
}

function cutAll(some: readonly LayerRecord[], options: { targetBytes: number; maxBytes: number }): CutBlock[] {
  const cutter = new BlockCutter(options);
  const blocks = some.flatMap((one) => cutter.add(one.key, one.value) ?? []);
  return [...blocks, ...[cutter.finish() ?? []].flat()];
}

describe("a block's content", () => {
  test('is the message of the schema, to the byte, and is read back', () => {
    fc.assert(
      fc.property(records, (some) => {
        const writer = new BlockWriter(Buffer.alloc(16));
        for (const one of some) writer.append(one.key, one.value);
        const content = new Uint8Array(writer.take().subarray(0, writer.bytes));
        const message = create(BlockSchema, {
          records: some.map((one) => ({
            key: bytesFromBinary(one.key),
            ...(one.value === undefined ? {} : { value: one.value }),
          })),
        });
        expect(content).toEqual(toBinary(BlockSchema, message));
        expect(fromBinary(BlockSchema, content).records).toHaveLength(some.length);
        expect(decodeBlock(content)).toEqual(some);
      }),
    );
  });

  test('of long keys and large values is read back', () => {
    const writer = new BlockWriter(Buffer.alloc(1024));
    const large = [
      { key: 'a'.repeat(1978), value: new Uint8Array(1024 * 1024 + 300).fill(7) },
      { key: 'b'.repeat(1024), value: new Uint8Array(0) },
    ];
    for (const one of large) writer.append(one.key, one.value);
    expect(decodeBlock(new Uint8Array(writer.take().subarray(0, writer.bytes)))).toEqual(large);
  });

  test('is refused where it is cut short, and never read beyond its end', () => {
    fc.assert(
      fc.property(records, fc.nat(), (some, at) => {
        fc.pre(some.length > 0);
        const writer = new BlockWriter(Buffer.alloc(16));
        for (const one of some) writer.append(one.key, one.value);
        const content = new Uint8Array(writer.take().subarray(0, writer.bytes));
        const short = content.slice(0, at % content.length);
        const read = decodeBlock(short);
        // Only between two records there is nothing to see: the number of records and the hash tell.
        if (read !== undefined) expect(read).toEqual(some.slice(0, read.length));
      }),
    );
  });

  test('is refused where keys do not ascend, or are empty', () => {
    const of = (...keys: string[]): Uint8Array => {
      const message = create(BlockSchema, { records: keys.map((one) => ({ key: bytesFromBinary(one) })) });
      return toBinary(BlockSchema, message);
    };
    expect(decodeBlock(of('a', 'b'))).toHaveLength(2);
    for (const wrong of [of('b', 'a'), of('a', 'a'), of('')]) expect(decodeBlock(wrong)).toBeUndefined();
    for (const junk of ['08', '0a', '0a00', '0a0108', '0a04120161', '0a8080808001'])
      expect(decodeBlock(new Uint8Array(Buffer.from(junk, 'hex'))), junk).toBeUndefined();
  });
});

describe('blocks', () => {
  const sizes = { targetBytes: 300, maxBytes: 1200 };

  test('hold all records in order, none more than its bound but by one record', () => {
    fc.assert(
      fc.property(records, (some) => {
        const blocks = cutAll(some, sizes);
        expect(blocks.flatMap((block) => decodeBlock(contentOf(block)))).toEqual(some);
        for (const block of blocks) {
          const own = decodeBlock(contentOf(block))!;
          expect([block.records, block.firstKey, block.lastKey]).toEqual([own.length, own[0]!.key, own.at(-1)!.key]);
          if (own.length > 1) expect(block.bytes).toBeLessThanOrEqual(sizes.maxBytes + 4 * own.length);
        }
      }),
    );
  });

  test('far from a change are the same as before it', () => {
    const some = Array.from({ length: 5000 }, (_, n) => ({
      key: `\x10\0\0\0\x01key-${String(n).padStart(6, '0')}`,
      value: new Uint8Array(50 + (n % 100)).fill(n),
    }));
    const options = { targetBytes: 4096, maxBytes: 16_384 };
    const names = (list: readonly LayerRecord[]): Set<string> =>
      new Set(cutAll(list, options).map((block) => Buffer.from(contentOf(block)).toString('latin1')));
    const before = names(some);
    expect(before.size).toBeGreaterThan(80);
    const inserted = some.toSpliced(2500, 0, { key: `${some[2499]!.key}x`, value: new Uint8Array(10) });
    const removed = some.toSpliced(1000, 1);
    const changed = some.with(4000, { key: some[4000]!.key, value: new Uint8Array(3000) });
    for (const after of [inserted, removed, changed].map(names))
      expect([...after].filter((name) => !before.has(name)).length).toBeLessThanOrEqual(2);
  });

  test('have about the size that is aimed at, for small and for large records', () => {
    for (const valueBytes of [10, 500, 20_000]) {
      const count = 20_000_000 / (valueBytes + 20);
      const cutter = new BlockCutter({ targetBytes: 100_000, maxBytes: 400_000 });
      const bytes: number[] = [];
      for (let n = 0; n < count; n++) {
        const block = cutter.add(`\x10\0\0\0\x01${String(n).padStart(9, '0')}`, new Uint8Array(valueBytes));
        if (block !== undefined) bytes.push(block.bytes);
      }
      const mean = bytes.reduce((sum, one) => sum + one, 0) / bytes.length;
      expect(mean, `values of ${valueBytes} bytes`).toBeGreaterThan(70_000);
      expect(mean, `values of ${valueBytes} bytes`).toBeLessThan(140_000);
    }
  });

  test('end where the families of records do', () => {
    const some = ['\x01', '\x02a', '\x10\0\0\0\x01k', '\x20x', '\x30x', '\x40x', '\x41x'];
    const blocks = cutAll(
      some.map((one) => ({ key: one, value: undefined })),
      { targetBytes: 1e9, maxBytes: 1e9 },
    );
    expect(blocks.map(({ firstKey, records: count }) => [firstKey, count])).toEqual([
      ['\x01', 2],
      ['\x10\0\0\0\x01k', 1],
      ['\x20x', 1],
      ['\x30x', 1],
      ['\x40x', 2],
    ]);
  });
});
