// The hand-written codec against protobuf-es with the generated schema: same bytes, same fields, and
// nothing but a typed error from bytes that are no message.
import type { DescMessage } from '@bufbuild/protobuf';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { binaryFromBytes, bytesFromBinary } from '../binary-string.ts';
import { changeKinds } from '../change.ts';
import type { Batch } from '../command.ts';
import { StateStoreError } from '../errors.ts';
import { ChangeRecordSchema, CommandResultSchema, SessionSchema } from '../gen/statestore/v1/state_pb.ts';
import { decodeChanges, encodeChanges } from '../keyspace/change.ts';
import { decodeSession, encodeSession } from '../keyspace/session.ts';
import { resultCodes } from '../result.ts';
import { decodeBatch, encodeBatch } from './batch.ts';
import { batch, batchMessage, changeRecord, result, session } from './messages.testing.ts';
import { decodeAppliedResult, decodeCommandResult, encodeAppliedResult, encodeCommandResult } from './result.ts';

describe('batches', () => {
  test('are the very bytes that protobuf-es writes, and are read back', () => {
    fc.assert(
      fc.property(batch, (some) => {
        const bytes = encodeBatch(some);
        expect(binaryFromBytes(bytes)).toBe(binaryFromBytes(batchMessage(some)));
        expect(decodeBatch(bytes)).toEqual(some);
      }),
      { numRuns: 500 },
    );
  });

  test('a writer that failed half-way leaves nothing behind', () => {
    const good: Batch = {
      partition: 1,
      proposer: 'p'.repeat(16),
      number: 2,
      commands: [{ body: { kind: 'barrier' } }],
    };
    const before = encodeBatch(good);
    const bad = { kind: 'adjustAllowance', store: 's', settingsVersion: 1, entries: 0.5, bytes: 7 } as const;
    expect(() => encodeBatch({ ...good, commands: [{ body: bad }, ...good.commands] })).toThrow(RangeError);
    expect(encodeBatch(good)).toEqual(before);
  });

  test('large values and many commands', () => {
    const many: Batch = {
      partition: 0,
      proposer: 'p'.repeat(16),
      number: 1,
      commands: Array.from({ length: 300 }, (_, i) => ({
        body: {
          kind: 'mutate',
          store: 's',
          atomic: false,
          checks: [],
          operations: [
            {
              kind: 'put',
              key: `k${i}`,
              condition: { kind: 'none' },
              value: new Uint8Array(5000).fill(i),
              contentType: '',
              ttl: { kind: 'default' },
            },
          ],
        },
      })),
    };
    expect(decodeBatch(encodeBatch(many))).toEqual(many);
  });
});

describe('other messages are the very bytes that protobuf-es would write', () => {
  /** Decoded by protobuf-es and written again: fields, order and number forms must all agree. */
  function agree(schema: DescMessage, bytes: Uint8Array): void {
    const message = fromBinary(schema, bytes);
    expect(message.$unknown).toBeUndefined();
    expect(binaryFromBytes(toBinary(schema, message))).toBe(binaryFromBytes(bytes));
  }

  test('as a node answers them say where they were applied', () => {
    for (const generation of [undefined, 1, 70_000]) {
      fc.assert(
        fc.property(result, (some) => {
          const bytes = encodeAppliedResult({ ...some, position: 9n, generation });
          expect(decodeAppliedResult(bytes)).toEqual({ ...some, position: 9n, generation });
          expect(fromBinary(CommandResultSchema, bytes)).toMatchObject({ position: 9n, generation: generation ?? 0 });
          expect(decodeCommandResult(bytes)).toEqual(some);
        }),
        { numRuns: 20 },
      );
    }
  });

  test('results', () => {
    fc.assert(
      fc.property(result, (some) => {
        const bytes = encodeCommandResult(some);
        expect(decodeCommandResult(bytes)).toEqual(some);
        agree(CommandResultSchema, bytes);
        const message = fromBinary(CommandResultSchema, bytes);
        expect(resultCodes[message.code]).toBe(some.code);
        expect(message.operations.map(({ revision, number, size }) => [revision, number, size])).toEqual(
          some.operations.map(({ revision, number, sizeBytes }) => [revision, number, sizeBytes]),
        );
        expect([
          message.count,
          message.more,
          message.entries,
          message.bytes,
          message.failedIndex,
          message.removed,
        ]).toEqual([
          BigInt(some.count),
          some.more,
          BigInt(some.entries),
          BigInt(some.bytes),
          some.failedIndex,
          BigInt(some.removed),
        ]);
      }),
    );
  });

  test('sessions', () => {
    fc.assert(
      fc.property(session, (some) => {
        const bytes = encodeSession(some);
        expect(decodeSession(bytes)).toEqual(some);
        const message = fromBinary(SessionSchema, bytes);
        expect(message.results.map(({ counter }) => counter)).toEqual([...some.results.keys()]);
        expect([message.firstUnanswered, message.lastUsedMs]).toEqual([some.firstUnanswered, BigInt(some.lastUsedMs)]);
        agree(SessionSchema, bytes);
      }),
    );
  });

  test('changes', () => {
    fc.assert(
      fc.property(changeRecord, (some) => {
        const bytes = encodeChanges(some);
        expect(decodeChanges(bytes)).toEqual(some);
        agree(ChangeRecordSchema, bytes);
        const message = fromBinary(ChangeRecordSchema, bytes);
        expect(message.changes.map((change) => [change.kind, message.stores[change.store], change.revision])).toEqual(
          some.changes.map((change) => [changeKinds.indexOf(change.kind) + 1, change.store, change.revision]),
        );
      }),
    );
  });
});

describe('bytes that are no message', () => {
  const decoders: readonly (readonly [
    what: string,
    message: fc.Arbitrary<Uint8Array>,
    decode: (bytes: Uint8Array) => unknown,
  ])[] = [
    ['batch', batch.map(encodeBatch), decodeBatch],
    ['result', result.map(encodeCommandResult), decodeCommandResult],
    ['session', session.map(encodeSession), decodeSession],
    ['changes', changeRecord.map(encodeChanges), decodeChanges],
  ];
  function refusedOrRead(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): void {
    try {
      decode(bytes);
    } catch (error) {
      if (!(error instanceof StateStoreError) || (error.code !== 'data_corrupt' && error.code !== 'data_format'))
        throw error;
    }
  }

  // A message cut at a field's end is a message; one cut inside a field is not, whatever the field.
  test.each(decoders)('%s: cut at any byte, it is refused or shorter', (_, message, decode) => {
    fc.assert(
      fc.property(message, (bytes) => {
        for (let length = 0; length < bytes.length; length++) {
          try {
            expect(decode(bytes.subarray(0, length))).not.toEqual(decode(bytes));
          } catch (error) {
            if (!(error instanceof StateStoreError) || error.code !== 'data_corrupt') throw error;
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  test('a batch of one command cut anywhere is data_corrupt', () => {
    const put = {
      kind: 'put',
      key: 'k',
      condition: { kind: 'none' },
      value: bytesFromBinary('v'),
      contentType: '',
      ttl: { kind: 'never' },
    } as const;
    const bytes = encodeBatch({
      partition: 1,
      proposer: 'p'.repeat(16),
      number: 1,
      commands: [{ body: { kind: 'mutate', store: 's', atomic: true, checks: [], operations: [put] } }],
    });
    const whole = bytes.length;
    const corrupt: number[] = [];
    for (let length = 0; length < whole; length++) {
      try {
        decodeBatch(bytes.subarray(0, length));
      } catch (error) {
        expect(error).toMatchObject({ name: 'StateStoreError', code: 'data_corrupt' });
        corrupt.push(length);
      }
    }
    // What still reads is cut between two fields of the batch itself.
    expect(whole - corrupt.length).toBe(4);
  });

  test.each(decoders)('%s: random bytes and changed bytes are refused or read, nothing else', (_, message, decode) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => refusedOrRead(decode, bytes)),
      { numRuns: 3000 },
    );
    fc.assert(
      fc.property(message, fc.nat(), fc.nat(255), (bytes, at, byte) => {
        if (bytes.length === 0) return;
        const changed = bytes.slice();
        changed[at % bytes.length] = byte;
        refusedOrRead(decode, changed);
      }),
      { numRuns: 1000 },
    );
  });
});
