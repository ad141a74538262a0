// For tests only: holds a hand-written message against protobuf-es and the schema, both ways, and the
// arbitrary fields that such tests share.
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';

export const latin = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
export const binary = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
export const text = fc.string({ unit: 'grapheme', maxLength: 20 });
export const amount = fc.oneof(fc.nat(300), fc.nat(), fc.maxSafeNat());
export const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
export const big = fc.oneof(fc.bigInt({ min: 0n, max: 300n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
export const perhaps = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });
export const value = fc.uint8Array({ maxLength: 200 });

interface Case<T, D extends DescMessage> {
  readonly arbitrary: fc.Arbitrary<T>;
  readonly descriptor: D;
  readonly message: (value: T) => MessageInitShape<D>;
  readonly encode: (value: T) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

export function agrees<T, D extends DescMessage>(
  name: string,
  { arbitrary, descriptor, message, encode, decode }: Case<T, D>,
): void {
  test(`${name}, both ways`, () => {
    fc.assert(
      fc.property(arbitrary, (value) => {
        const expected = create(descriptor, message(value));
        const ours = encode(value);
        // By content: the two may order fields differently.
        expect(fromBinary(descriptor, ours)).toEqual(expected);
        expect(decode(ours)).toEqual(value);
        expect(decode(toBinary(descriptor, expected))).toEqual(value);
      }),
    );
  });
}
