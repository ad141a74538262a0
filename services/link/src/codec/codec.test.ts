// The hand-written messages against protobuf-es and the schema, both ways.
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { errorKinds, StateStoreError } from '@statestore/core';
import * as schema from '@statestore/core/gen/statestore/v1/node_pb';
import { decodeHello, encodeHello } from '../handshake.ts';
import { methods } from '../methods.ts';
import type {
  Consistency,
  Entry,
  HaltCause,
  PartitionState,
  PartitionStatus,
  ReadOptions,
  StoreInfo,
} from '../node-service.ts';
import { agrees, amount, big, binary, latin, perhaps, text, uint32, value } from './agreement.testing.ts';
import * as entries from './entry.ts';
import { decodeError, encodeError } from './error.ts';
import { decodeNodeStatus, encodeNodeStatus } from './status.ts';
import * as stores from './store.ts';

const consistency = fc.constantFrom<Consistency>('strong', 'session', 'eventual');
const consistencyNumber = { strong: 1, session: 2, eventual: 3 } as const;
const options = fc.record(
  {
    consistency,
    atLeast: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
    maxLagMs: uint32,
    generation: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    slotsEpoch: big,
  },
  { requiredKeys: ['consistency'] },
);
/** Where an answer is of; undefined where its log has no generations. */
const generation = perhaps(fc.integer({ min: 1, max: 2 ** 32 - 1 }));
const entry: fc.Arbitrary<Entry> = fc.record({ value, contentType: text, revision: big, expiresAtMs: amount });

function entryMessage({
  value,
  contentType,
  revision,
  expiresAtMs,
}: Entry): MessageInitShape<typeof schema.EntrySchema> {
  return { value, contentType, revision, expiresAtMs: BigInt(expiresAtMs) };
}

function boundsOf({ atLeast, maxLagMs, generation: of = 0, slotsEpoch }: ReadOptions) {
  return {
    ...(atLeast === undefined ? {} : { atLeast }),
    ...(maxLagMs === undefined ? {} : { maxLagMs }),
    generation: of,
    ...(slotsEpoch === undefined ? {} : { slotsEpoch }),
  };
}

describe('messages agree with protobuf-es', () => {
  agrees('Hello', {
    arbitrary: fc.record({ software: text, token: text }),
    descriptor: schema.HelloSchema,
    message: ({ software, token }) => ({ software, token: Uint8Array.from(Buffer.from(token)) }),
    encode: encodeHello,
    decode: decodeHello,
  });
  agrees('GetRequest', {
    arbitrary: fc.record({ partition: uint32, store: text, key: binary, options }),
    descriptor: schema.GetRequestSchema,
    message: ({ partition, store, key, options }) => ({
      partition,
      store,
      key: latin(key),
      consistency: consistencyNumber[options.consistency],
      ...boundsOf(options),
    }),
    encode: entries.encodeGetRequest,
    decode: entries.decodeGetRequest,
  });
  agrees('GetResponse', {
    arbitrary: fc.record({ entry: perhaps(entry), position: big, generation }),
    descriptor: schema.GetResponseSchema,
    message: ({ entry: found, position, generation: of = 0 }) =>
      found === undefined ? { position, generation: of } : { entry: entryMessage(found), position, generation: of },
    encode: entries.encodeGetResponse,
    decode: entries.decodeGetResponse,
  });
  agrees('GetManyRequest', {
    arbitrary: fc.record({ partition: uint32, store: text, keys: fc.array(binary), options }),
    descriptor: schema.GetManyRequestSchema,
    message: ({ partition, store, keys, options }) => ({
      partition,
      store,
      keys: keys.map(latin),
      consistency: consistencyNumber[options.consistency],
      ...boundsOf(options),
    }),
    encode: entries.encodeGetManyRequest,
    decode: entries.decodeGetManyRequest,
  });
  agrees('GetManyResponse', {
    arbitrary: fc.record({ entries: fc.array(perhaps(entry)), position: big, generation }),
    descriptor: schema.GetManyResponseSchema,
    message: ({ entries: all, position, generation: of = 0 }) => ({
      entries: all.map((found) => (found === undefined ? { absent: true } : entryMessage(found))),
      position,
      generation: of,
    }),
    encode: entries.encodeGetManyResponse,
    decode: entries.decodeGetManyResponse,
  });
  agrees('ScanRequest', {
    arbitrary: fc.record({
      partition: uint32,
      scan: fc.record(
        {
          store: text,
          start: binary,
          end: binary,
          reverse: fc.boolean(),
          limit: amount,
          bytesMax: amount,
          values: fc.boolean(),
        },
        { requiredKeys: ['store', 'reverse', 'limit', 'bytesMax', 'values'] },
      ),
      options,
    }),
    descriptor: schema.ScanRequestSchema,
    message: ({ partition, scan: { start, end, limit, bytesMax, ...scan }, options }) => ({
      partition,
      ...scan,
      limit: BigInt(limit),
      bytesMax: BigInt(bytesMax),
      ...(start === undefined ? {} : { start: latin(start) }),
      ...(end === undefined ? {} : { end: latin(end) }),
      consistency: consistencyNumber[options.consistency],
      ...boundsOf(options),
    }),
    encode: entries.encodeScanRequest,
    decode: entries.decodeScanRequest,
  });
  agrees('ScanResponse', {
    arbitrary: fc.record({
      entries: fc.array(fc.tuple(entry, binary).map(([found, key]) => ({ key, ...found }))),
      more: fc.boolean(),
      position: big,
      generation,
    }),
    descriptor: schema.ScanResponseSchema,
    message: ({ entries: all, more, position, generation: of = 0 }) => ({
      entries: all.map((found) => ({ ...entryMessage(found), key: latin(found.key) })),
      more,
      position,
      generation: of,
    }),
    encode: entries.encodeScanResponse,
    decode: entries.decodeScanResponse,
  });

  const storeInfo: fc.Arbitrary<StoreInfo> = fc.record({
    store: text,
    entries: amount,
    bytes: amount,
    expired: amount,
    settings: fc.record({ defaultTtlMs: amount, quotaEntries: perhaps(amount), quotaBytes: perhaps(amount) }),
    settingsVersion: amount,
    allowanceEntries: perhaps(amount),
    allowanceBytes: perhaps(amount),
  });
  const storeMessage = ({ store, settings, ...info }: StoreInfo): MessageInitShape<typeof schema.StoreInfoSchema> => {
    const present = { ...info, ...settings };
    const numbers = Object.entries(present).filter(([, number]) => number !== undefined);
    return { store, ...Object.fromEntries(numbers.map(([name, number]) => [name, BigInt(number!)])) };
  };
  agrees('StoreResponse', {
    arbitrary: perhaps(storeInfo),
    descriptor: schema.StoreResponseSchema,
    message: (info) => (info === undefined ? {} : { store: storeMessage(info) }),
    encode: stores.encodeStoreResponse,
    decode: stores.decodeStoreResponse,
  });
  agrees('StoresResponse', {
    arbitrary: fc.array(storeInfo),
    descriptor: schema.StoresResponseSchema,
    message: (all) => ({ stores: all.map(storeMessage) }),
    encode: stores.encodeStoresResponse,
    decode: stores.decodeStoresResponse,
  });
  agrees('StoreRequest', {
    arbitrary: fc.record({ partition: uint32, store: text }),
    descriptor: schema.StoreRequestSchema,
    message: (request) => request,
    encode: stores.encodeStoreRequest,
    decode: stores.decodeStoreRequest,
  });
  agrees('PartitionRequest', {
    arbitrary: fc.record({ partition: uint32 }),
    descriptor: schema.PartitionRequestSchema,
    message: (request) => request,
    encode: stores.encodePartitionRequest,
    decode: stores.decodePartitionRequest,
  });
  agrees('CompactResponse', {
    arbitrary: fc.record({ beforeBytes: amount, afterBytes: amount }),
    descriptor: schema.CompactResponseSchema,
    message: ({ beforeBytes, afterBytes }) => ({ beforeBytes: BigInt(beforeBytes), afterBytes: BigInt(afterBytes) }),
    encode: stores.encodeCompactResponse,
    decode: stores.decodeCompactResponse,
  });

  const status = {
    partition: uint32,
    state: fc.constantFrom<PartitionState[]>('starting', 'copying', 'running', 'halted', 'stopped'),
    reason: text,
    engine: text,
    incarnation: text,
    appliedPosition: big,
    storedPosition: big,
    revision: big,
    clockMs: amount,
    chain: fc.constantFrom('', '0f'.repeat(16)),
    stateHash: fc.constantFrom('', 'f0'.repeat(16)),
    entries: amount,
    bytes: amount,
    expired: amount,
    stores: amount,
    engineBytes: amount,
    logBytes: amount,
    queuedCommands: amount,
    writeBufferBytes: amount,
  };
  const causes = ['engine_failed', 'log_failed', 'log_trimmed', 'log_regressed', 'log_corrupt', 'diverged'] as const;
  const partition: fc.Arbitrary<PartitionStatus> = fc.record(
    { ...status, haltCause: fc.constantFrom<HaltCause[]>(...causes) },
    { requiredKeys: Object.keys(status) as (keyof typeof status)[] },
  );
  const operations = fc.dictionary(fc.stringMatching(/^[a-zA-Z]{1,9}$/), amount, { noNullPrototype: true });
  agrees('NodeStatus', {
    arbitrary: fc.record({
      version: text,
      partitions: fc.array(partition),
      counts: fc.record({ operations, hits: amount, misses: amount }),
    }),
    descriptor: schema.NodeStatusSchema,
    message: ({ version, partitions, counts }) => ({
      version,
      partitions: partitions.map((status) =>
        Object.fromEntries(
          Object.entries(status).map(([name, field]) => [
            name,
            typeof field === 'number' && name !== 'partition' ? BigInt(field) : field,
          ]),
        ),
      ),
      operations: Object.entries(counts.operations).map(([operation, count]) => ({ operation, count: BigInt(count) })),
      hits: BigInt(counts.hits),
      misses: BigInt(counts.misses),
    }),
    encode: encodeNodeStatus,
    decode: decodeNodeStatus,
  });
});

describe('errors', () => {
  test('everything but the cause survives', () => {
    const code = fc.constantFrom(...(Object.keys(errorKinds) as (keyof typeof errorKinds)[]));
    const details = fc.record(
      {
        hint: text.filter((hint) => hint !== ''),
        retryAfterMs: fc.nat(),
        extra: fc.dictionary(text, fc.jsonValue(), { noNullPrototype: true }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(code, text, details, (code, message, details) => {
        // As JSON tells it: it has no -0, and no key __proto__ of its own after a literal.
        const plain = JSON.parse(JSON.stringify(details)) as typeof details;
        const error = decodeError(encodeError(new StateStoreError(code, message, plain)));
        const { hint, retryAfterMs, extra } = error;
        expect({ code: error.code, message: error.message, hint, retryAfterMs, extra }).toEqual({
          code,
          message,
          hint: plain.hint,
          retryAfterMs: plain.retryAfterMs,
          extra: plain.extra,
        });
      }),
    );
  });

  test('a code of a newer version is an internal error that names it', () => {
    const bytes = toBinary(
      schema.LinkErrorSchema,
      create(schema.LinkErrorSchema, { code: 'from_the_future', message: 'no' }),
    );
    expect(decodeError(bytes)).toMatchObject({
      code: 'internal',
      message: expect.stringContaining("no (code 'from_the_future'") as string,
    });
  });
});

describe('requests', () => {
  test('no bytes make a decoder do anything but answer or throw a StateStoreError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.constantFrom(...Object.values(methods)), (bytes, method) => {
        try {
          method.decodeRequest(bytes);
        } catch (error) {
          // TypeError: text that is not UTF-8.
          if (!(error instanceof StateStoreError || error instanceof TypeError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('a message that cannot be written leaves nothing behind', () => {
    const options = { consistency: 'strong' } as const;
    expect(() => entries.encodeGetRequest({ partition: 1, store: undefined as never, key: 'key', options })).toThrow(
      TypeError,
    );
    const request = { partition: 1, store: 's', key: 'k', options };
    expect(entries.decodeGetRequest(entries.encodeGetRequest(request))).toEqual(request);
  });

  test('unbounded amounts are the greatest that fit', () => {
    const scan = { store: 's', reverse: false, limit: Infinity, bytesMax: Infinity, values: true };
    const bytes = entries.encodeScanRequest({ partition: 1, scan, options: { consistency: 'strong' } });
    expect(entries.decodeScanRequest(bytes).scan).toMatchObject({
      limit: Number.MAX_SAFE_INTEGER,
      bytesMax: Number.MAX_SAFE_INTEGER,
    });
  });
});
