import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { binaryFromBytes, binaryFromText, bytesFromBinary, prefixEnd, textFromBinary } from './binary-string.ts';

const bytes = fc.uint8Array({ maxLength: 40 });

describe('binary strings', () => {
  test('are bytes, both ways, also past the size of one call', () => {
    fc.assert(
      fc.property(bytes, (some) => {
        expect(bytesFromBinary(binaryFromBytes(some))).toEqual(some);
      }),
    );
    const large = Uint8Array.from({ length: 4096 * 2 + 7 }, (_, i) => i * 7);
    expect(bytesFromBinary(binaryFromBytes(large))).toEqual(large);
  });

  test('are text in UTF-8, both ways', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const binary = binaryFromText(text);
        expect(bytesFromBinary(binary)).toEqual(new TextEncoder().encode(text));
        expect(textFromBinary(binary)).toBe(text);
      }),
    );
  });

  test('that are not UTF-8 are no text', () => {
    for (const broken of ['\xff', '\xc3', '\xed\xa0\x80', '\xc0\x80'])
      expect(() => textFromBinary(broken)).toThrow(TypeError);
  });

  test('a byte order mark stays', () => expect(textFromBinary(binaryFromText('\ufeffa'))).toBe('\ufeffa'));

  test('are ordered as their bytes', () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const order = Math.sign(Buffer.compare(a, b));
        const [x, y] = [binaryFromBytes(a), binaryFromBytes(b)];
        expect(x < y ? -1 : x > y ? 1 : 0).toBe(order);
      }),
    );
  });
});

describe('the end of a prefix', () => {
  test('lies between everything with the prefix and everything greater without it', () => {
    const few = fc
      .uint8Array({ maxLength: 4, max: 255 })
      .map((some) => binaryFromBytes(some.map((b) => (b < 128 ? b : 255))));
    fc.assert(
      fc.property(few, few, (prefix, key) => {
        const end = prefixEnd(prefix);
        const inside = key >= prefix && (end === undefined || key < end);
        expect(inside).toBe(key.startsWith(prefix));
      }),
      { numRuns: 1000 },
    );
  });

  test('there is none after 0xff alone', () => {
    expect(prefixEnd('')).toBeUndefined();
    expect(prefixEnd('\xff\xff')).toBeUndefined();
    expect(prefixEnd('a\xff')).toBe('b');
  });
});
