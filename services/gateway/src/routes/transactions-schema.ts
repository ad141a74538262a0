// What a transaction looks like, for its check and for OpenAPI.
import { limits } from '@statestore/core';
import { Type } from 'typebox';
import { writeFields } from '../batch-json.ts';
import {
  closed,
  count,
  etag,
  expiresAt,
  idempotencyHeaders,
  jsonAnswer,
  problems,
  storePath,
  writeCodes,
} from '../schemas.ts';

const integer = Type.Union([Type.Integer(), Type.String({ maxLength: 20 })]);

export const transactionOperation = closed({
  op: Type.Union([
    Type.Literal('put'),
    Type.Literal('delete'),
    Type.Literal('increment'),
    Type.Literal('append'),
    Type.Literal('mergePatch'),
    Type.Literal('touch'),
  ]),
  ...writeFields,
  delta: Type.Optional(integer),
  min: Type.Optional(integer),
  max: Type.Optional(integer),
  patch: Type.Optional(Type.Unknown({ description: 'Of a mergePatch: any JSON.' })),
});

const check = closed({ key: writeFields.key, ifMatch: writeFields.ifMatch, ifNoneMatch: writeFields.ifNoneMatch });

export const transactionRequest = closed(
  {
    checks: Type.Optional(Type.Array(check, { maxItems: limits.transactionOperationsMax })),
    operations: Type.Array(transactionOperation, { minItems: 1, maxItems: limits.transactionOperationsMax }),
  },
  {
    examples: [
      {
        checks: [{ key: 'cart:{42}:state', ifMatch: '"7"' }],
        operations: [
          { op: 'put', key: 'cart:{42}:items', value: '["tea"]' },
          { op: 'increment', key: 'cart:{42}:total', delta: 5 },
        ],
      },
    ],
  },
);

const result = Type.Object({
  op: Type.String(),
  key: Type.String(),
  existed: Type.Boolean(),
  etag: Type.Optional(etag),
  size: Type.Optional(count),
  value: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  valueText: Type.Optional(Type.String()),
  expiresAt: Type.Optional(expiresAt),
});

export const transactionSchema = {
  operationId: 'transact',
  summary: 'Carry out all operations or none',
  description:
    'Every check must hold, and every operation succeed. All keys must share a slot: the part of a key inside the first ' +
    '{…} decides where it lies. A refusal has failedIndex, which counts the checks first, then the operations.',
  tags: ['many'],
  params: storePath,
  headers: idempotencyHeaders,
  body: transactionRequest,
  response: {
    200: jsonAnswer('A result for each operation, in order', Type.Object({ results: Type.Array(result) })),
    ...problems(
      ...writeCodes,
      'invalid_body',
      'invalid_json',
      'invalid_ttl',
      'body_too_large',
      'value_too_large',
      'unsupported_media_type',
      'cross_slot_transaction',
      'not_a_number',
      'out_of_bounds',
      'not_json',
      'value_would_be_too_large',
    ),
  },
};
