// The many-key call, in JSON and in protobuf.
import { limits, StateStoreError } from '@statestore/core';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { chooseType } from '../accept.ts';
import { jsonParserOf, takeRawBodies } from '../bodies.ts';
import { operationsFromBinary, responseToBinary } from '../batch-binary.ts';
import { operationsFromJson, responseToJson } from '../batch-json.ts';
import { readingSession } from '../client-session.ts';
import type { GatewayContext } from '../context.ts';
import { idempotencyKey, idempotencyOf } from '../idempotency.ts';
import { checkMany, runMany } from '../many-keys.ts';
import { checkStoreName } from '../names.ts';
import { readOptionsOf, readParameters, readQuery } from '../query.ts';
import { batchSchema, binaryBatch } from './batch-schema.ts';

const json = 'application/json';

export function batchRoutes(app: FastifyInstance, context: GatewayContext): void {
  takeRawBodies(app, limits.batchBodyBytesMax, 'body_too_large');
  const parseJson = jsonParserOf(app);
  const options = { schema: batchSchema, config: { operation: 'batch' }, bodyLimit: limits.batchBodyBytesMax } as const;
  app.post(
    '/v1/stores/:store/batch',
    options,
    async (request: FastifyRequest<{ Params: { store: string } }>, reply) => {
      const store = checkStoreName(request.params.store);
      const reading = readOptionsOf(readQuery(request.query, readParameters));
      const type = (request.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
      if (type !== json && type !== binaryBatch) {
        throw new StateStoreError(
          'unsupported_media_type',
          `the content type is ${JSON.stringify(type)}; it must be ${json} or ${binaryBatch}`,
        );
      }
      // Answered in the form of the question, where Accept does not say otherwise.
      const form = chooseType(request.headers.accept, type === json ? [json, binaryBatch] : [binaryBatch, json]);
      const body = request.body === undefined ? Buffer.alloc(0) : (request.body as Buffer);
      const operations = type === json ? operationsFromJson(parseJson(request, body)) : operationsFromBinary(body);
      checkMany(operations);
      const key = idempotencyKey(request.headers);
      const idempotency = key === undefined ? undefined : idempotencyOf(key, ['batch', store], type, body);
      const session = await readingSession(context, request, reading);
      const results = await runMany(context, store, operations, session, idempotency);
      if (form === json) return reply.type(json).send(responseToJson(operations, results));
      return reply.type(binaryBatch).send(responseToBinary(results));
    },
  );
}
