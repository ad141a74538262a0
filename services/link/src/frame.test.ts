// Frames however they are cut, and the preamble before them.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { StateStoreError } from '@statestore/core';
import { type Frame, FrameDecoder, frameHeaderBytes, frameKind, writeFrameHeader } from './frame.ts';
import { preamble, preambleBytes, preambleProblem, tokenMatches } from './handshake.ts';

const frame: fc.Arbitrary<Frame> = fc.record({
  kind: fc.integer({ min: 0, max: 255 }),
  id: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  payload: fc.uint8Array({ maxLength: 100 }),
});

function encode(frames: readonly Frame[]): Uint8Array {
  const chunks = frames.map(({ kind, id, payload }) => {
    const bytes = new Uint8Array(frameHeaderBytes + payload.length);
    writeFrameHeader(bytes, 0, kind, id, payload.length);
    bytes.set(payload, frameHeaderBytes);
    return bytes;
  });
  return Uint8Array.from(Buffer.concat(chunks));
}

function drain(decoder: FrameDecoder): Frame[] {
  const frames: Frame[] = [];
  for (let next = decoder.next(); next !== undefined; next = decoder.next()) frames.push(next);
  return frames;
}

describe('frames', () => {
  test('are found however the bytes were cut', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 20 }),
        fc.array(fc.nat(2000), { maxLength: 50 }),
        fc.boolean(),
        (frames, cuts, late) => {
          const bytes = encode(frames);
          const decoder = new FrameDecoder();
          const found: Frame[] = [];
          const bounds = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b), bytes.length];
          for (let i = 1; i < bounds.length; i++) {
            decoder.push(bytes.subarray(bounds[i - 1], bounds[i]));
            if (!late) found.push(...drain(decoder));
          }
          found.push(...drain(decoder));
          expect(found).toEqual(frames);
          expect(decoder.waitingBytes).toBe(0);
        },
      ),
    );
  });

  test('an incomplete one waits', () => {
    const bytes = encode([{ kind: frameKind.get, id: 7, payload: Uint8Array.of(1, 2, 3) }]);
    const decoder = new FrameDecoder();
    for (const byte of bytes.subarray(0, -1)) {
      decoder.push(Uint8Array.of(byte));
      expect(decoder.next()).toBeUndefined();
    }
    expect(decoder.waitingBytes).toBe(bytes.length - 1);
  });

  test.each([0, 4, 97, 0xffffffff])('a length of %i is refused before its bytes are waited for', (length) => {
    const decoder = new FrameDecoder(100);
    const bytes = Uint8Array.of(length >>> 24, length >>> 16, length >>> 8, length, 0, 0, 0, 0, 0);
    decoder.push(bytes);
    expect(() => decoder.next()).toThrow(expect.objectContaining({ code: 'invalid_body' }) as StateStoreError);
  });

  test('the largest length is taken', () => {
    const decoder = new FrameDecoder(100);
    decoder.push(encode([{ kind: 1, id: 1, payload: new Uint8Array(91) }]));
    expect(decoder.next()?.payload).toHaveLength(91);
  });
});

describe('handshake', () => {
  test('our own preamble is good, every other one is told why not', () => {
    expect(preamble()).toHaveLength(preambleBytes);
    expect(preambleProblem(preamble())).toBeUndefined();
    expect(preambleProblem(preamble(258))?.message).toContain('version 258');
    expect(preambleProblem(new TextEncoder().encode('GET / HT'))?.message).toContain('does not speak');
  });

  test('tokens', () => {
    expect(tokenMatches('secret', 'secret')).toBe(true);
    expect(tokenMatches('secret', 'secre')).toBe(false);
    expect(tokenMatches('secret', '')).toBe(false);
  });
});
