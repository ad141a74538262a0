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
  named,
  problems,
  storePath,
  wordOf,
  writeCodes,
} from '../schemas.ts';
import { append, check, increment, mergePatch, put, remove, touch } from './operations-schema.ts';

const integer = Type.Union([Type.Integer(), Type.String({ maxLength: 20 })]);

const operationNames = ['put', 'delete', 'increment', 'append', 'mergePatch', 'touch'] as const;

export const transactionOperation = closed({
  op: wordOf([...operationNames]),
  ...writeFields,
  delta: Type.Optional(integer),
  min: Type.Optional(integer),
  max: Type.Optional(integer),
  patch: Type.Optional(Type.Unknown()),
});

const givenCheck = closed({ key: writeFields.key, ifMatch: writeFields.ifMatch, ifNoneMatch: writeFields.ifNoneMatch });

const atMost = { maxItems: limits.transactionOperationsMax };

/** What a body is checked by. */
export const transactionRequest = closed({
  checks: Type.Optional(Type.Array(givenCheck, atMost)),
  operations: Type.Array(transactionOperation, { minItems: 1, ...atMost }),
});

const operation = Type.Union([put, remove, increment, append, mergePatch, touch]);
const request = named(
  'TransactionRequest',
  closed({
    checks: Type.Optional(Type.Array(check, atMost)),
    operations: Type.Array(operation, { minItems: 1, ...atMost }),
  }),
);
const example = {
  checks: [{ key: 'cart:{42}:state', ifMatch: '"7"' }],
  operations: [
    { op: 'put', key: 'cart:{42}:items', value: '["tea"]' },
    { op: 'increment', key: 'cart:{42}:total', delta: 5 },
  ],
};

const result = Type.Object({
  op: wordOf([...operationNames]),
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
  body: { content: { 'application/json': { schema: request, example } } },
  response: {
    200: jsonAnswer(
      'A result for each operation, in order',
      Type.Object({ results: Type.Array(named('TransactionResult', result)) }),
    ),
    ...problems(
      ...writeCodes,
      'invalid_body',
      'invalid_json',
      'invalid_ttl',
      'body_too_large',
      'value_too_large',
      'unsupported_media_type',
      'cross_slot_transaction',
      'not_found',
      'not_a_number',
      'out_of_bounds',
      'not_json',
      'value_would_be_too_large',
    ),
  },
};
