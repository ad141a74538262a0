// Operations that the store itself carries out on one entry: increment, append, merge patch, touch.
import { defaultTtl, limits, StateStoreError, type Operation, type OperationResult } from '@statestore/core';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { Type } from 'typebox';
import { isDeeper, jsonParserOf, takeRawBodies } from '../bodies.ts';
import { sessionOf } from '../client-session.ts';
import { etagOf, writeCondition } from '../conditions.ts';
import type { GatewayContext } from '../context.ts';
import { readBounds, readInt64 } from '../integers.ts';
import { checkKey, checkStoreName } from '../names.ts';
import { readQuery } from '../query.ts';
import { notFound } from '../refusals.ts';
import { closed } from '../schemas.ts';
import { formatTime, parseTtl } from '../ttl.ts';
import { bodyCheck } from '../validation.ts';
import { contentTypeOf, idempotencyFor, ttlOf, type KeyRequest } from './keys.ts';
import { appendSchema, incrementSchema, mergePatchSchema, touchSchema } from './operate-schema.ts';

const path = '/v1/stores/:store/keys/:key';
const noBytes = Buffer.alloc(0);

export function operateRoutes(app: FastifyInstance, context: GatewayContext): void {
  // All bodies come as bytes: an increment may have none, and a patch is passed on as it is.
  takeRawBodies(app, limits.valueBytesMax, 'value_too_large');
  const parseJson = jsonParserOf(app);

  app.post(
    `${path}/increment`,
    { schema: incrementSchema, config: { operation: 'increment' } },
    async (request: KeyRequest, reply) => {
      readQuery(request.query, []);
      const body = bodyOf(request);
      if (body.length > limits.smallBodyBytesMax) {
        throw new StateStoreError('body_too_large', `the body is larger than ${limits.smallBodyBytesMax} bytes`);
      }
      if (body.length > 0) requireType(request, 'application/json');
      const fields = body.length === 0 ? {} : checkIncrement(parseJson(request, body));
      const result = await operate(context, request, {
        kind: 'increment',
        key: checkKey(request.params.key),
        condition: conditionOf(request),
        delta: fields.delta === undefined ? 1n : readInt64(fields.delta, 'delta'),
        ...readBounds(fields.min, fields.max),
        ttl: fields.ttl === undefined ? defaultTtl : parseTtl(fields.ttl),
      });
      return head(reply, result).send({
        ...numberJson(result.number),
        etag: etagOf(result.revision),
        ...expiry(result),
      });
    },
  );

  app.post(
    `${path}/append`,
    { schema: appendSchema, config: { operation: 'append' } },
    async (request: KeyRequest, reply) => {
      const result = await operate(context, request, {
        kind: 'append',
        key: checkKey(request.params.key),
        condition: conditionOf(request),
        value: bodyOf(request),
        contentType: contentTypeOf(request),
        ttl: ttlOf(request.query),
      });
      return head(reply, result).send({ size: result.sizeBytes, etag: etagOf(result.revision), ...expiry(result) });
    },
  );

  app.patch(path, { schema: mergePatchSchema, config: { operation: 'patch' } }, async (request: KeyRequest, reply) => {
    requireType(request, 'application/merge-patch+json');
    const value = bodyOf(request);
    checkPatch(parseJson(request, value));
    const result = await operate(context, request, {
      kind: 'mergePatch',
      key: checkKey(request.params.key),
      condition: conditionOf(request),
      value,
      ttl: ttlOf(request.query),
    });
    return head(reply, result).send({ size: result.sizeBytes, etag: etagOf(result.revision), ...expiry(result) });
  });

  app.post(
    `${path}/touch`,
    { schema: touchSchema, config: { operation: 'touch' } },
    async (request: KeyRequest, reply) => {
      const { ttl } = readQuery(request.query, ['ttl']);
      if (ttl === undefined) throw new StateStoreError('invalid_ttl', 'touch needs the parameter ttl');
      const result = await operate(context, request, {
        kind: 'touch',
        key: checkKey(request.params.key),
        condition: conditionOf(request),
        ttl: parseTtl(ttl),
      });
      if (!result.existed) throw notFound(request.params.store, request.params.key);
      const expiresAt = result.expiresAtMs === 0 ? null : formatTime(result.expiresAtMs);
      return head(reply, result)
        .code(200)
        .send({ etag: etagOf(result.revision), expiresAt });
    },
  );
}

/** Throws `invalid_json` where a patch nests deeper than apply looks. */
export function checkPatch(patch: unknown): void {
  if (isDeeper(patch, limits.jsonDepthMax)) {
    throw new StateStoreError('invalid_json', `the patch nests deeper than ${limits.jsonDepthMax} levels`);
  }
}

const integer = Type.Union([Type.Integer(), Type.String({ maxLength: 20 })]);
const checkIncrement = bodyCheck(
  closed({
    delta: Type.Optional(integer),
    min: Type.Optional(integer),
    max: Type.Optional(integer),
    ttl: Type.Optional(Type.String()),
  }),
);

/** As a JSON number where every JSON reader gets it right, and as text always. */
export function numberJson(number: bigint): { value: number | null; valueText: string } {
  const value = Number(number);
  return { value: Number.isSafeInteger(value) ? value : null, valueText: String(number) };
}

function operate(context: GatewayContext, request: KeyRequest, operation: Operation): Promise<OperationResult> {
  const store = checkStoreName(request.params.store);
  return context.writer.one(store, operation, sessionOf(context, request), idempotencyFor(request, operation));
}

function conditionOf({ headers }: KeyRequest): Operation['condition'] {
  return writeCondition(headers['if-match'], headers['if-none-match']);
}

function bodyOf({ body }: KeyRequest): Buffer {
  return body === undefined ? noBytes : (body as Buffer);
}

function requireType({ headers }: KeyRequest, type: string): void {
  const given = (headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
  if (given === type) return;
  throw new StateStoreError(
    'unsupported_media_type',
    `the content type is ${JSON.stringify(given)}; it must be ${type}`,
  );
}

function head(reply: FastifyReply, result: OperationResult): FastifyReply {
  void reply.code(result.existed ? 200 : 201).header('etag', etagOf(result.revision));
  return result.expiresAtMs === 0 ? reply : reply.header('statestore-expires-at', formatTime(result.expiresAtMs));
}

function expiry({ expiresAtMs }: OperationResult): { expiresAt?: string } {
  return expiresAtMs === 0 ? {} : { expiresAt: formatTime(expiresAtMs) };
}
