// The hand-written codec against protobuf-es with the generated schema: same bytes, same fields, and
// nothing but a typed error from bytes that are no message.
import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { binaryFromBytes, binaryFromText, bytesFromBinary } from '../binary-string.ts';
import type { ChangeRecord } from '../change.ts';
import { changeKinds } from '../change.ts';
import type { Batch, Command, CommandBody, Condition, Operation, Ttl } from '../command.ts';
import { StateStoreError } from '../errors.ts';
import { BatchSchema } from '../gen/statestore/v1/log_pb.ts';
import { ChangeRecordSchema, CommandResultSchema, SessionSchema } from '../gen/statestore/v1/state_pb.ts';
import { decodeChanges, encodeChanges } from '../keyspace/change.ts';
import { decodeSession, encodeSession, rememberedResult } from '../keyspace/session.ts';
import type { CommandResult } from '../result.ts';
import { resultCodes } from '../result.ts';
import { batchFormat, decodeBatch, encodeBatch } from './batch.ts';
import { decodeCommandResult, encodeCommandResult } from './result.ts';

const uint32 = fc.oneof(fc.nat(200), fc.integer({ min: 0, max: 0xffff_ffff }));
const uint53 = fc.oneof(fc.nat(200), fc.maxSafeNat());
const uint64 = fc.oneof(fc.bigInt({ min: 0n, max: 300n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
const int64 = fc.oneof(fc.bigInt({ min: -300n, max: 300n }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
const binary = fc.uint8Array({ maxLength: 20 }).map(binaryFromBytes);
const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(binaryFromBytes);
const storeName = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,12}$/);
const condition: fc.Arbitrary<Condition> = fc.oneof(
  fc.constantFrom<Condition>({ kind: 'none' }, { kind: 'absent' }, { kind: 'exists' }),
  fc.record({ kind: fc.constant('revision' as const), revision: uint64 }),
);
const ttl: fc.Arbitrary<Ttl> = fc.oneof(
  fc.constantFrom<Ttl>({ kind: 'default' }, { kind: 'never' }, { kind: 'keep' }),
  fc.record({ kind: fc.constant('after' as const), ms: uint53 }),
);
const value = fc.uint8Array({ maxLength: 300 });
const contentType = fc.string({ unit: 'grapheme', maxLength: 10 });
const on = { key: binary, condition };
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ ...on, kind: fc.constant('put' as const), value, contentType, ttl }),
  fc.record({ ...on, kind: fc.constant('append' as const), value, contentType, ttl }),
  fc.record({ ...on, kind: fc.constant('mergePatch' as const), value, ttl }),
  fc.record({ ...on, kind: fc.constant('delete' as const) }),
  fc.record({ ...on, kind: fc.constant('touch' as const), ttl }),
  fc.record(
    { ...on, kind: fc.constant('increment' as const), delta: int64, ttl, min: int64, max: int64 },
    { requiredKeys: ['kind', 'key', 'condition', 'delta', 'ttl'] },
  ),
);
const maybe = fc.option(uint53, { nil: undefined });
const body: fc.Arbitrary<CommandBody> = fc.oneof(
  fc.record({
    kind: fc.constant('mutate' as const),
    store: storeName,
    atomic: fc.boolean(),
    checks: fc.array(fc.record(on), { maxLength: 3 }),
    operations: fc.array(operation, { maxLength: 5 }),
  }),
  fc.record({ kind: fc.constant('clear' as const), store: storeName }),
  fc.record({
    kind: fc.constant('configure' as const),
    store: storeName,
    settings: fc.record({ defaultTtlMs: uint53, quotaEntries: maybe, quotaBytes: maybe }),
    allowanceEntries: maybe,
    allowanceBytes: maybe,
  }),
  fc.record({
    kind: fc.constant('adjustAllowance' as const),
    store: storeName,
    entries: fc.maxSafeInteger(),
    bytes: fc.integer(),
  }),
  fc.record({ kind: fc.constant('sweep' as const), limit: uint32, changesKeptBytes: uint53, countStore: storeName }),
  fc.constant({ kind: 'barrier' as const }),
);
const stamp = fc.record({ session: id, counter: uint32, firstUnanswered: uint32, opens: fc.boolean() });
const command: fc.Arbitrary<Command> = fc.record(
  { stamp, idempotency: fc.record({ id, fingerprint: id }), body },
  { requiredKeys: ['body'] },
);
const batch: fc.Arbitrary<Batch> = fc.record({
  partition: uint32,
  proposer: id,
  number: uint32,
  commands: fc.array(command, { maxLength: 6 }),
});
const code = fc.constantFrom(...resultCodes);
const result: fc.Arbitrary<CommandResult> = fc.record({
  code,
  operations: fc.array(
    fc.record({ code, revision: uint64, existed: fc.boolean(), number: int64, sizeBytes: uint32, expiresAtMs: uint53 }),
    { maxLength: 4 },
  ),
  count: uint53,
  more: fc.boolean(),
  removed: uint53,
  entries: fc.maxSafeInteger(),
  bytes: fc.maxSafeInteger(),
  failedIndex: uint32,
});
const changeRecord: fc.Arbitrary<ChangeRecord> = fc.record({
  changes: fc.array(
    fc.record({ kind: fc.constantFrom(...changeKinds), revision: uint64, store: storeName, key: binary }),
    { maxLength: 6 },
  ),
  clockNanos: uint64,
});
const session = fc.record({
  firstUnanswered: uint32,
  lastUsedMs: uint53,
  results: fc
    .uniqueArray(fc.tuple(uint32, result.map(rememberedResult)), { maxLength: 5, selector: ([counter]) => counter })
    .map((pairs) => new Map(pairs)),
});

/** The enum's number; protobuf-es has an enum type for each, which says no more here. */
function numberIn(names: readonly string[], name: string): never {
  return names.indexOf(name) as never;
}

/** As protobuf-es has it. */
function bodyMessage(from: CommandBody): NonNullable<MessageInitShape<typeof BatchSchema>['commands']>[number] {
  switch (from.kind) {
    case 'mutate':
      return {
        body: {
          case: 'mutate',
          value: {
            store: from.store,
            atomic: from.atomic,
            checks: from.checks.map((check) => ({
              key: bytesFromBinary(check.key),
              condition: numberIn(['none', 'absent', 'exists', 'revision'], check.condition.kind),
              revision: check.condition.kind === 'revision' ? check.condition.revision : 0n,
            })),
            operations: from.operations.map(operationMessage),
          },
        },
      };
    case 'clear':
      return { body: { case: 'clear', value: { store: from.store } } };
    case 'configure': {
      const { settings, allowanceEntries, allowanceBytes, store } = from;
      const big = (n: number | undefined) => (n === undefined ? undefined : BigInt(n));
      return {
        body: {
          case: 'configure',
          value: {
            store,
            defaultTtlMs: BigInt(settings.defaultTtlMs),
            quotaEntries: big(settings.quotaEntries)!,
            quotaBytes: big(settings.quotaBytes)!,
            allowanceEntries: big(allowanceEntries)!,
            allowanceBytes: big(allowanceBytes)!,
          },
        },
      };
    }
    case 'adjustAllowance':
      return {
        body: {
          case: 'adjustAllowance',
          value: { store: from.store, entries: BigInt(from.entries), bytes: BigInt(from.bytes) },
        },
      };
    case 'sweep': {
      const { limit, changesKeptBytes, countStore } = from;
      return { body: { case: 'sweep', value: { limit, changesKeptBytes: BigInt(changesKeptBytes), countStore } } };
    }
    case 'barrier':
      return { body: { case: 'barrier', value: {} } };
  }
}

function operationMessage(from: Operation) {
  const { condition: held } = from;
  const time: Ttl = 'ttl' in from ? from.ttl : { kind: 'default' };
  return {
    key: bytesFromBinary(from.key),
    kind: numberIn(['', 'put', 'delete', 'increment', 'append', 'mergePatch', 'touch'], from.kind),
    condition: numberIn(['none', 'absent', 'exists', 'revision'], held.kind),
    conditionRevision: held.kind === 'revision' ? held.revision : 0n,
    value: 'value' in from ? from.value : new Uint8Array(0),
    contentType: 'contentType' in from ? from.contentType : '',
    ttl: numberIn(['default', 'never', 'after', 'keep'], time.kind),
    ttlMs: time.kind === 'after' ? BigInt(time.ms) : 0n,
    ...(from.kind === 'increment' ? { delta: from.delta, min: from.min!, max: from.max! } : {}),
  };
}

function batchMessage(from: Batch): Uint8Array {
  const sessions = [...new Set(from.commands.flatMap((one) => (one.stamp === undefined ? [] : [one.stamp.session])))];
  const commands = from.commands.map((one) => ({
    ...bodyMessage(one.body),
    ...(one.stamp === undefined
      ? {}
      : {
          session: sessions.indexOf(one.stamp.session) + 1,
          counter: one.stamp.counter,
          firstUnanswered: one.stamp.firstUnanswered,
          opensSession: one.stamp.opens,
        }),
    ...(one.idempotency === undefined
      ? {}
      : {
          idempotency: {
            id: bytesFromBinary(one.idempotency.id),
            fingerprint: bytesFromBinary(one.idempotency.fingerprint),
          },
        }),
  }));
  const { partition, number, proposer } = from;
  const init = {
    format: batchFormat,
    partition,
    number,
    proposer: bytesFromBinary(proposer),
    sessions: sessions.map(bytesFromBinary),
    commands,
  };
  return toBinary(BatchSchema, create(BatchSchema, init as MessageInitShape<typeof BatchSchema>));
}

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
    const bad = { kind: 'adjustAllowance', store: 's', entries: 0.5, bytes: 7 } as const;
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
    ['command of another kind', inCommand(0x82, 0x01, 0x00)],
    ['command of another kind that is no message', inCommand(0x80, 0x01, 0x07)],
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
    // Field 6 of a command, as number and as bytes.
    const command = [0x30, 5, 0x32, 2, 1, 2, ...barrier];
    expect(decodeBatch(binaryOf(plain, [0x32, command.length], command)).commands).toEqual([
      { body: { kind: 'barrier' } },
    ]);
    expect(decodeCommandResult(binaryOf(unknown, long, [0x08, 1], unknown)).code).toBe('not_found');
  });

  test('text that is not UTF-8 is damage', () => {
    expect(() => decodeBatch(inCommand(0x52, 6, 0x22, 4, 0x10, 1, 0x32, 1, 0xff))).toThrow(
      expect.objectContaining({ code: 'data_corrupt' }),
    );
    expect(binaryFromText('é')).toBe('\xc3\xa9');
  });
});
