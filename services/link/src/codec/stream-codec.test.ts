// The messages of streams against protobuf-es and the schema, both ways.
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Change, changeKinds, StateStoreError } from '@statestore/core';
import * as schema from '@statestore/core/gen/statestore/v1/node_pb';
import { streams } from '../streams.ts';
import { agrees, amount, big, binary, latin, perhaps, text, uint32, value } from './agreement.testing.ts';
import * as checkpoint from './checkpoint.ts';
import * as copy from './copy.ts';
import { decodeCredit, encodeCredit } from './credit.ts';
import * as watch from './watch.ts';

type ChangeKindNumber = 1 | 2 | 3 | 4;

describe('streams agree with protobuf-es', () => {
  const generation = perhaps(fc.integer({ min: 1, max: 2 ** 32 - 1 }));
  agrees('WatchRequest', {
    arbitrary: fc.record({
      partition: uint32,
      store: text,
      prefix: binary,
      from: perhaps(big),
      generation,
      windowBytes: uint32,
    }),
    descriptor: schema.WatchRequestSchema,
    message: ({ from, prefix, generation: of = 0, ...request }) => ({
      ...request,
      generation: of,
      prefix: latin(prefix),
      ...(from === undefined ? {} : { from }),
    }),
    encode: watch.encodeWatchRequest,
    decode: watch.decodeWatchRequest,
  });
  const change: fc.Arbitrary<Change> = fc.record({
    kind: fc.constantFrom(...changeKinds),
    revision: big,
    store: fc.constantFrom('a', 'b', 'ü'),
    key: binary,
  });
  agrees('WatchItem', {
    arbitrary: fc.record(
      {
        position: big,
        generation,
        timeMs: amount,
        changes: fc.array(change),
        slotsEpoch: fc.bigInt(1n, 2n ** 64n - 1n),
      },
      { requiredKeys: ['position', 'generation', 'timeMs', 'changes'] },
    ),
    descriptor: schema.WatchItemSchema,
    message: ({ position, generation: of = 0, timeMs, changes, slotsEpoch = 0n }) => {
      const names = [...new Set(changes.map(({ store }) => store))];
      return {
        position,
        generation: of,
        timeMs: BigInt(timeMs),
        slotsEpoch,
        stores: names,
        changes: changes.map(({ kind, revision, store, key }) => ({
          kind: (changeKinds.indexOf(kind) + 1) as ChangeKindNumber,
          revision,
          store: names.indexOf(store),
          key: latin(key),
        })),
      };
    },
    encode: watch.encodeWatchItem,
    decode: watch.decodeWatchItem,
  });
  agrees('CopyRequest', {
    arbitrary: fc.record({ partition: uint32, windowBytes: uint32 }),
    descriptor: schema.CopyRequestSchema,
    message: (request) => request,
    encode: copy.encodeCopyRequest,
    decode: copy.decodeCopyRequest,
  });
  agrees('StatePart', {
    arbitrary: fc.record(
      { position: big, records: fc.array(fc.record({ key: binary, value })), total: amount },
      { requiredKeys: ['position', 'records'] },
    ),
    descriptor: schema.StatePartSchema,
    message: ({ position, records, total }) => ({
      position,
      records: records.map((record) => ({ ...record, key: latin(record.key) })),
      ...(total === undefined ? {} : { total: BigInt(total) }),
    }),
    encode: copy.encodeStatePart,
    decode: copy.decodeStatePart,
  });
  agrees('CheckpointRequest', {
    arbitrary: fc.record(
      {
        partition: uint32,
        windowBytes: uint32,
        checkpointId: text,
        previous: text.filter((id) => id !== ''),
        generation: uint32,
        slots: fc.array(fc.record({ start: uint32, end: uint32 })),
        full: fc.boolean(),
        level: uint32,
        deadlineMs: amount,
      },
      {
        requiredKeys: [
          'partition',
          'windowBytes',
          'checkpointId',
          'generation',
          'slots',
          'full',
          'level',
          'deadlineMs',
        ],
      },
    ),
    descriptor: schema.CheckpointRequestSchema,
    message: ({ checkpointId, previous = '', deadlineMs, ...request }) => ({
      ...request,
      checkpoint: checkpointId,
      previous,
      deadlineMs: BigInt(deadlineMs),
    }),
    encode: checkpoint.encodeCheckpointRequest,
    decode: checkpoint.decodeCheckpointRequest,
  });
  agrees('CheckpointItem', {
    arbitrary: fc.record(
      {
        records: amount,
        bytes: amount,
        part: fc.nat(1_000_000).map((millionths) => millionths / 1_000_000),
        uploadedBytes: amount,
        reusedBytes: amount,
        summary: value.filter((bytes) => bytes.length > 0),
      },
      { requiredKeys: ['records', 'bytes', 'part', 'uploadedBytes', 'reusedBytes'] },
    ),
    descriptor: schema.CheckpointItemSchema,
    message: ({ records, bytes, part, uploadedBytes, reusedBytes, summary }) => ({
      records: BigInt(records),
      bytes: BigInt(bytes),
      part: Math.round(part * 1_000_000),
      uploadedBytes: BigInt(uploadedBytes),
      reusedBytes: BigInt(reusedBytes),
      ...(summary === undefined ? {} : { summary }),
    }),
    encode: checkpoint.encodeCheckpointItem,
    decode: checkpoint.decodeCheckpointItem,
  });
  agrees('StreamCredit', {
    arbitrary: uint32,
    descriptor: schema.StreamCreditSchema,
    message: (bytes) => ({ bytes }),
    encode: encodeCredit,
    decode: decodeCredit,
  });
});

describe('bytes of others', () => {
  test('fields of a newer version are passed over, wherever they stand', () => {
    const unknown = [
      [0xa0, 0x06, 0x96, 0x01],
      [0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
      [0xa2, 0x06, 3, 9, 8, 7],
      [0xa5, 0x06, 1, 2, 3, 4],
    ].flat();
    const record = [0x0a, 1, 0x6b, ...unknown, 0x12, 1, 7, ...unknown];
    const part = Uint8Array.from([
      ...unknown,
      0x08,
      5,
      0x12,
      record.length,
      ...record,
      ...unknown,
      0x18,
      1,
      ...unknown,
    ]);
    expect(copy.decodeStatePart(part)).toEqual({
      position: 5n,
      records: [{ key: 'k', value: Uint8Array.of(7) }],
      total: 1,
    });
    const request = { partition: 3, windowBytes: 1000 };
    const newer = Uint8Array.from([...unknown, ...copy.encodeCopyRequest(request), ...unknown]);
    expect(copy.decodeCopyRequest(newer)).toEqual(request);
  });

  test('a last part of no records says so', () => {
    const last = { position: 0n, records: [], total: 0 };
    expect(copy.decodeStatePart(copy.encodeStatePart(last))).toEqual(last);
    const expected = toBinary(schema.StatePartSchema, create(schema.StatePartSchema, { total: 0n }));
    expect(copy.encodeStatePart(last)).toEqual(expected);
  });

  test('no bytes make a decoder do anything but answer or throw a StateStoreError', () => {
    const decoders = Object.values(streams).flatMap((stream) => [
      (bytes: Uint8Array) => void stream.decodeRequest(bytes),
      (bytes: Uint8Array) => void stream.decodeItem(bytes),
    ]);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.constantFrom(...decoders), (bytes, decode) => {
        try {
          decode(bytes);
        } catch (error) {
          // TypeError: text that is not UTF-8.
          if (!(error instanceof StateStoreError || error instanceof TypeError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});
