// What a codec makes of bytes that a newer version wrote: unknown fields are passed over, unknown
// commands, operations and codes are refused, since a replica that guessed would part from its peers.
import { describe, expect, test } from 'vitest';
import { decodeBatch, encodeBatch } from './batch.ts';
import { batchFormat } from './format.ts';
import { decodeCommandResult } from './result.ts';

describe('newer versions', () => {
  const plain = encodeBatch({ partition: 1, proposer: 'p'.repeat(16), number: 1, commands: [] });
  const binaryOf = (...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array =>
    Uint8Array.from(parts.flatMap((part) => [...part]));
  const inCommand = (...bytes: readonly number[]) => binaryOf(plain, [0x32, bytes.length], bytes);

  test('a batch of a newer format is refused as such', () => {
    const newer = plain.slice();
    newer[1] = batchFormat + 1;
    expect(() => decodeBatch(newer)).toThrow(expect.objectContaining({ code: 'data_format' }));
  });

  test('a batch without a format is damage', () => {
    expect(() => decodeBatch(plain.subarray(2))).toThrow(expect.objectContaining({ code: 'data_corrupt' }));
  });

  test.each([
    ['command of another kind', inCommand(0xb2, 0x01, 0x00)],
    ['command of another kind that is no message', inCommand(0xb0, 0x01, 0x07)],
    ['operation', inCommand(0x52, 4, 0x22, 2, 0x10, 99)],
    ['condition', inCommand(0x52, 6, 0x22, 4, 0x10, 1, 0x18, 9)],
    ['time to live', inCommand(0x52, 6, 0x22, 4, 0x10, 1, 0x38, 9)],
  ])('an unknown %s is refused as newer, not passed over', (_, bytes) => {
    expect(() => decodeBatch(bytes)).toThrow(expect.objectContaining({ code: 'data_format' }));
  });

  test('an unknown result code is refused as newer', () => {
    expect(() => decodeCommandResult(Uint8Array.of(0x08, 99))).toThrow(
      expect.objectContaining({ code: 'data_format' }),
    );
  });

  test('unknown fields of every wire type are passed over, wherever they stand', () => {
    const unknown = [
      [0xa0, 0x06, 0x96, 0x01],
      [0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
      [0xa2, 0x06, 3, 9, 8, 7],
      [0xa5, 0x06, 1, 2, 3, 4],
    ].flat();
    const long = [0xa2, 0x06, 0xc8, 0x01, ...Array.from({ length: 200 }, () => 0xff)];
    const barrier = [0x7a, 0];
    expect(decodeBatch(binaryOf(unknown, long, plain, unknown))).toEqual(decodeBatch(plain));
    // Field 7 of a command, as number and as bytes.
    const command = [0x38, 5, 0x3a, 2, 1, 2, ...barrier];
    expect(decodeBatch(binaryOf(plain, [0x32, command.length], command)).commands).toEqual([
      { body: { kind: 'barrier' } },
    ]);
    expect(decodeCommandResult(binaryOf(unknown, long, [0x08, 1], unknown)).code).toBe('not_found');
  });

  test('text that is not UTF-8 is damage', () => {
    expect(() => decodeBatch(inCommand(0x52, 6, 0x22, 4, 0x10, 1, 0x32, 1, 0xff))).toThrow(
      expect.objectContaining({ code: 'data_corrupt' }),
    );
  });
});
