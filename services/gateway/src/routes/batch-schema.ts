// What OpenAPI says of the many-key call.
import { limits } from '@statestore/core';
import { Type } from 'typebox';
import {
  bytes,
  closed,
  count,
  encoding,
  etag,
  expiresAt,
  idempotencyHeaders,
  named,
  problems,
  readQuerySchema,
  storePath,
  wordOf,
  writeCodes,
} from '../schemas.ts';
import { get, put, remove } from './operations-schema.ts';

export const binaryBatch = 'application/vnd.statestore.batch+protobuf';

const request = named(
  'BatchRequest',
  closed({
    operations: Type.Array(Type.Union([get, put, remove]), { minItems: 1, maxItems: limits.batchKeysMax }),
  }),
);
const example = {
  operations: [
    { op: 'put', key: 'a', value: '1' },
    { op: 'get', key: 'b' },
  ],
};

const result = Type.Object({
  op: wordOf(['get', 'put', 'delete']),
  key: Type.String(),
  status: Type.Integer({ description: 'As of the same call alone.' }),
  etag: Type.Optional(etag),
  value: Type.Optional(Type.String()),
  encoding: Type.Optional(encoding),
  contentType: Type.Optional(Type.String()),
  expiresAt: Type.Optional(expiresAt),
  existed: Type.Optional(Type.Boolean({ description: 'Of a delete.' })),
  code: Type.Optional(Type.String({ description: 'Of a failure.' })),
  detail: Type.Optional(Type.String()),
  retryable: Type.Optional(Type.Boolean()),
  currentEtag: Type.Optional(Type.Union([Type.String(), Type.Null()])),
});
const counts = Type.Object({ got: count, missing: count, put: count, deleted: count, failed: count });
const answer = named(
  'BatchResponse',
  Type.Object({
    results: Type.Array(named('BatchResult', result)),
    counts: named('BatchCounts', counts),
  }),
);

export const batchSchema = {
  operationId: 'batch',
  summary: 'Get, put and delete many keys',
  description:
    'Each operation is judged for itself; this is no transaction. Operations on one key are carried out in the order given; ' +
    'a key that is read may not be written in the same call. An Idempotency-Key holds for the call as a whole in ' +
    'each partition. The binary form is BatchRequest and BatchResponse of proto/statestore/v1/batch.proto.',
  tags: ['many'],
  params: storePath,
  querystring: readQuerySchema,
  headers: idempotencyHeaders,
  body: { content: { 'application/json': { schema: request, example }, [binaryBatch]: { schema: bytes } } },
  response: {
    200: {
      description: 'A result for each operation, in order',
      content: {
        'application/json': { schema: answer },
        [binaryBatch]: { schema: bytes },
      },
    },
    ...problems(
      ...writeCodes,
      'invalid_body',
      'invalid_json',
      'invalid_ttl',
      'body_too_large',
      'value_too_large',
      'unsupported_media_type',
      'not_acceptable',
    ),
  },
};
