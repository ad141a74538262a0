// What OpenAPI says of the many-key call.
import { Type } from 'typebox';
import { batchRequest } from '../batch-json.ts';
import {
  bytes,
  consistencyQuery,
  count,
  encoding,
  etag,
  expiresAt,
  idempotencyHeaders,
  problems,
  storePath,
  writeCodes,
} from '../schemas.ts';

export const binaryBatch = 'application/vnd.statestore.batch+protobuf';

const result = Type.Object({
  op: Type.String(),
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

export const batchSchema = {
  operationId: 'batch',
  summary: 'Get, put and delete many keys',
  description:
    'Each operation is judged for itself; this is no transaction. Operations on one key are carried out in the order given; ' +
    'a key that is read may not be written in the same call. An Idempotency-Key holds for the call as a whole in ' +
    'each partition. The binary form is BatchRequest and BatchResponse of proto/statestore/v1/batch.proto.',
  tags: ['many'],
  params: storePath,
  querystring: consistencyQuery,
  headers: idempotencyHeaders,
  body: { content: { 'application/json': { schema: batchRequest }, [binaryBatch]: { schema: bytes } } },
  response: {
    200: {
      description: 'A result for each operation, in order',
      content: {
        'application/json': { schema: Type.Object({ results: Type.Array(result), counts }) },
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
