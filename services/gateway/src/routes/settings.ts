// Settings of a store: the TTL that entries get by default, and quotas.
/* oxlint-disable oxc/no-async-endpoint-handlers -- a rule for Express; Fastify awaits its handlers */
import { defaultStoreSettings, StateStoreError, type StoreSettings } from '@statestore/core';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { takeJsonBodies } from '../bodies.ts';
import { readStore, type GatewayContext } from '../context.ts';
import { checkStoreName } from '../names.ts';
import { readQuery } from '../query.ts';
import { closed, jsonAnswer, named, pathCodes, problems, storePath, ttl } from '../schemas.ts';
import { formatTtl, parseTtl } from '../ttl.ts';
import { bodyCheck } from '../validation.ts';

type StoreRequest = FastifyRequest<{ Params: { store: string } }>;

const quota = Type.Union([Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), Type.Null()]);
/** What a body is checked by: a bad TTL has its own code. */
const settingsBody = closed({
  defaultTtl: Type.Optional(Type.String()),
  quotaEntries: Type.Optional(quota),
  quotaBytes: Type.Optional(quota),
});
const documentedBody = named(
  'StoreSettingsRequest',
  closed({ defaultTtl: Type.Optional(ttl), quotaEntries: Type.Optional(quota), quotaBytes: Type.Optional(quota) }),
);
const example = { defaultTtl: '12h', quotaEntries: 100_000, quotaBytes: null };
export const settingsAnswer = named(
  'StoreSettings',
  Type.Object({
    defaultTtl: ttl,
    quotaEntries: Type.Union([Type.Integer(), Type.Null()], { description: 'Null: unlimited.' }),
    quotaBytes: Type.Union([Type.Integer(), Type.Null()], { description: 'Of keys and values. Null: unlimited.' }),
  }),
);

export function settingsJson({ defaultTtlMs, quotaEntries, quotaBytes }: StoreSettings): object {
  return { defaultTtl: formatTtl(defaultTtlMs), quotaEntries: quotaEntries ?? null, quotaBytes: quotaBytes ?? null };
}

export function settingsRoutes(app: FastifyInstance, context: GatewayContext): void {
  const path = '/v1/stores/:store/settings';
  const check = bodyCheck(settingsBody);
  const common = { tags: ['stores'], params: storePath };
  const response = (...codes: Parameters<typeof problems>) => ({
    200: jsonAnswer('The settings now', settingsAnswer),
    ...problems(...pathCodes, ...codes),
  });

  const read = {
    ...common,
    operationId: 'readSettings',
    summary: 'Settings of a store',
    response: response('store_not_found'),
  };
  app.get(path, { schema: read, config: { operation: 'settings' } }, async (request: StoreRequest) => {
    readQuery(request.query, []);
    const store = checkStoreName(request.params.store);
    const found = await readStore(context, store);
    if (found === undefined) throw new StateStoreError('store_not_found', `there is no store ${store}`);
    return settingsJson(found.settings);
  });

  const write = {
    ...common,
    operationId: 'writeSettings',
    summary: 'Set all settings of a store',
    description:
      'What is not given is set to its default. The quota is judged from the next write on; nothing is removed.',
    body: { content: { 'application/json': { schema: documentedBody, example } } },
    response: response(
      'invalid_body',
      'invalid_json',
      'invalid_ttl',
      'body_too_large',
      'unsupported_media_type',
      'too_many_stores',
      'outcome_unknown',
    ),
  };
  // In a scope of its own: the others have no body, whatever a client says of its type.
  void app.register(async (scope) => {
    takeJsonBodies(scope);
    scope.put(path, { schema: write, config: { operation: 'settings' } }, async (request: StoreRequest) => {
      readQuery(request.query, []);
      const store = checkStoreName(request.params.store);
      const body = check(request.body);
      const defaultTtl = parseTtl(body.defaultTtl ?? 'never');
      const settings: StoreSettings = {
        defaultTtlMs: defaultTtl.kind === 'after' ? defaultTtl.ms : 0,
        quotaEntries: body.quotaEntries ?? undefined,
        quotaBytes: body.quotaBytes ?? undefined,
      };
      await context.quotas.configure(store, settings);
      return settingsJson(settings);
    });
  });

  const remove = {
    ...common,
    operationId: 'resetSettings',
    summary: 'Set the settings of a store to their defaults',
    response: response('outcome_unknown'),
  };
  app.delete(path, { schema: remove, config: { operation: 'settings' } }, async (request: StoreRequest) => {
    readQuery(request.query, []);
    await context.quotas.configure(checkStoreName(request.params.store), defaultStoreSettings);
    return settingsJson(defaultStoreSettings);
  });
}
