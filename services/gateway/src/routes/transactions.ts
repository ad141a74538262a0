// Transactions: all operations or none, and only where every check holds. Their keys share a slot, and so
// a partition, which judges the whole in one step.
import {
  defaultTtl,
  limits,
  noCondition,
  slotOf,
  StateStoreError,
  type BinaryString,
  type Check,
  type Condition,
  type Operation,
  type OperationResult,
} from '@statestore/core';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { checkedValue, readEach, refuseFields } from '../batch-json.ts';
import { takeJsonBodies } from '../bodies.ts';
import { etagOf, writeCondition } from '../conditions.ts';
import { sessionOf } from '../client-session.ts';
import type { GatewayContext } from '../context.ts';
import { idempotencyKey, idempotencyOf } from '../idempotency.ts';
import { readBounds, readInt64 } from '../integers.ts';
import { checkKey, checkStoreName, keyText } from '../names.ts';
import { readQuery } from '../query.ts';
import { formatTime, parseTtl } from '../ttl.ts';
import { bodyCheck } from '../validation.ts';
import { checkPatch, numberJson } from './operate.ts';
import { transactionRequest, transactionSchema, type transactionOperation } from './transactions-schema.ts';

const check = bodyCheck(transactionRequest);
type Given = Static<typeof transactionOperation>;

export function transactionRoutes(app: FastifyInstance, context: GatewayContext): void {
  takeJsonBodies(app);
  const options = {
    schema: transactionSchema,
    config: { operation: 'transaction' },
    bodyLimit: limits.batchBodyBytesMax,
  } as const;
  app.post(
    '/v1/stores/:store/transactions',
    options,
    async (request: FastifyRequest<{ Params: { store: string } }>, reply) => {
      const store = checkStoreName(request.params.store);
      readQuery(request.query, []);
      const body = check(request.body);
      const checks = (body.checks ?? []).map((given, i) => checkFrom(given, i));
      const operations = readEach(body.operations, operationFrom);
      checkSize(checks, operations);
      const slot = sharedSlot(
        store,
        [...checks, ...operations].map(({ key }) => key),
      );
      const key = idempotencyKey(request.headers);
      const idempotency =
        key === undefined ? undefined : idempotencyOf(key, ['transaction', store, String(slot)], JSON.stringify(body));
      const session = sessionOf(context, request);
      const results = await context.writer.transaction(store, checks, operations, session, idempotency);
      return reply.send({
        results: results.map((result, i) => resultJson(body.operations[i]!, operations[i]!, result)),
      });
    },
  );
}

function checkFrom(given: { key: string; ifMatch?: string; ifNoneMatch?: string }, i: number): Check {
  const condition = writeCondition(given.ifMatch, given.ifNoneMatch);
  if (condition === noCondition)
    throw new StateStoreError('invalid_condition', `checks[${i}] has neither ifMatch nor ifNoneMatch`);
  return { key: checkKey(given.key, `checks[${i}].key`), condition };
}

/** Fields beside op, key and the conditions that each operation takes. */
const fieldsOf: Readonly<Record<Given['op'], readonly string[]>> = {
  put: ['value', 'encoding', 'contentType', 'ttl'],
  delete: [],
  increment: ['delta', 'min', 'max', 'ttl'],
  append: ['value', 'encoding', 'contentType', 'ttl'],
  mergePatch: ['patch', 'ttl'],
  touch: ['ttl'],
};
const allFields = [...new Set(Object.values(fieldsOf).flat())];

function operationFrom(given: Given): Operation {
  const { op } = given;
  refuseFields(
    given,
    allFields.filter((name) => !fieldsOf[op].includes(name)),
  );
  const onKey: { key: BinaryString; condition: Condition } = {
    key: checkKey(given.key),
    condition: writeCondition(given.ifMatch, given.ifNoneMatch),
  };
  const ttl = given.ttl === undefined ? defaultTtl : parseTtl(given.ttl);
  switch (op) {
    case 'put':
    case 'append':
      return {
        kind: op,
        ...onKey,
        value: checkedValue(given.value, given.encoding),
        contentType: given.contentType ?? '',
        ttl,
      };
    case 'delete':
      return { kind: op, ...onKey };
    case 'increment':
      return {
        kind: op,
        ...onKey,
        delta: given.delta === undefined ? 1n : readInt64(given.delta, 'delta'),
        ...readBounds(given.min, given.max),
        ttl,
      };
    case 'mergePatch':
      return { kind: op, ...onKey, value: patchBytes(given.patch), ttl };
    case 'touch':
      if (given.ttl === undefined) throw new StateStoreError('invalid_ttl', 'a touch needs a ttl');
      return { kind: op, ...onKey, ttl };
  }
}

function patchBytes(patch: unknown): Uint8Array {
  if (patch === undefined) throw new StateStoreError('invalid_body', 'it has no patch');
  // Before it is written out again, which recurses.
  checkPatch(patch);
  const value = Buffer.from(JSON.stringify(patch), 'utf8');
  if (value.length <= limits.valueBytesMax) return value;
  throw new StateStoreError(
    'value_too_large',
    `the patch has ${value.length} bytes; at most ${limits.valueBytesMax} are allowed`,
  );
}

function checkSize(checks: readonly Check[], operations: readonly Operation[]): void {
  if (checks.length + operations.length > limits.transactionOperationsMax) {
    const count = checks.length + operations.length;
    throw new StateStoreError(
      'invalid_body',
      `there are ${count} checks and operations; there may be ${limits.transactionOperationsMax}`,
    );
  }
  const bytes = operations.reduce(
    (sum, operation) => sum + operation.key.length + ('value' in operation ? operation.value.length : 0),
    0,
  );
  if (bytes > limits.commandBytesMax) {
    throw new StateStoreError(
      'body_too_large',
      `keys and values are ${bytes} bytes; at most ${limits.commandBytesMax} are allowed`,
    );
  }
}

/** Throws `cross_slot_transaction`. */
function sharedSlot(store: string, keys: readonly BinaryString[]): number {
  const first = keys[0]!;
  const slot = slotOf(store, first);
  const other = keys.find((key) => slotOf(store, key) !== slot);
  if (other === undefined) return slot;
  const [one, two] = [first, other].map(keyText);
  throw new StateStoreError(
    'cross_slot_transaction',
    `${JSON.stringify(one)} and ${JSON.stringify(two)} lie in different slots`,
    {
      hint: 'Give keys that belong together the same part in braces: cart:{42}:items and cart:{42}:total.',
      extra: { keys: [one, two] },
    },
  );
}

function resultJson(given: Given, { kind }: Operation, result: OperationResult): object {
  const { existed, revision, expiresAtMs, sizeBytes, number } = result;
  const base = { op: given.op, key: given.key, existed };
  if (kind === 'delete') return base;
  return {
    ...base,
    ...(revision === 0n ? {} : { etag: etagOf(revision) }),
    ...(kind === 'increment' ? numberJson(number) : {}),
    ...(revision === 0n ? {} : { size: sizeBytes }),
    ...(expiresAtMs === 0 ? {} : { expiresAt: formatTime(expiresAtMs) }),
  };
}
