// Stores as a whole: which there are, how large they are, clear.
/* oxlint-disable oxc/no-async-endpoint-handlers -- a rule for Express; Fastify awaits its handlers */
import { limits, StateStoreError } from '@statestore/core';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { sessionOf } from '../client-session.ts';
import { mergeStore, readStore, type GatewayContext, type WholeStore } from '../context.ts';
import { checkStoreName } from '../names.ts';
import { invalidParameter, readCount, readQuery } from '../query.ts';
import {
  count,
  cursorParameter,
  jsonAnswer,
  named,
  nextCursor,
  pathCodes,
  problems,
  sessionHeaders,
  storePath,
} from '../schemas.ts';
import { onEverySlot } from '../whole-store.ts';
import { settingsJson, settingsAnswer } from './settings.ts';

type StoreRequest = FastifyRequest<{ Params: { store: string } }>;

const storeFields = Type.Object({
  store: Type.String(),
  entries: Type.Integer({ minimum: 0, description: 'Expired ones that wait for a sweep too.' }),
  bytes: Type.Integer({ minimum: 0, description: 'Of keys and values.' }),
  expired: Type.Integer({ minimum: 0, description: 'Entries removed because their time had come.' }),
  settings: settingsAnswer,
});
const storeAnswer = named('Store', storeFields);

export function storeRoutes(app: FastifyInstance, context: GatewayContext): void {
  app.get('/v1/stores', { schema: listStoresSchema, config: { operation: 'stores' } }, (request) =>
    listStores(context, request),
  );

  const readSchema = {
    operationId: 'readStore',
    summary: 'Entries, bytes and settings of a store',
    tags: ['stores'],
    params: storePath,
    response: { 200: jsonAnswer('The store', storeAnswer), ...problems(...pathCodes, 'store_not_found') },
  };
  app.get(
    '/v1/stores/:store',
    { schema: readSchema, config: { operation: 'stores' } },
    async (request: StoreRequest) => {
      readQuery(request.query, []);
      return storeJson(await existing(context, checkStoreName(request.params.store)));
    },
  );

  const clearSchema = {
    operationId: 'clearStore',
    summary: 'Remove all entries of a store',
    description: 'Takes the same short time for any number of entries. Settings stay.',
    tags: ['stores'],
    params: storePath,
    headers: sessionHeaders,
    response: {
      200: jsonAnswer('How many there were', Type.Object({ cleared: count })),
      ...problems(...pathCodes, 'outcome_unknown'),
    },
  };
  app.delete(
    '/v1/stores/:store',
    { schema: clearSchema, config: { operation: 'clear' } },
    async (request: StoreRequest) => {
      readQuery(request.query, []);
      const store = checkStoreName(request.params.store);
      const session = sessionOf(context, request);
      const done = await onEverySlot(context, { kind: 'clear', store });
      for (const { partition, proposed } of done) session.saw(partition, proposed);
      return { cleared: done.reduce((sum, { proposed }) => sum + proposed.count, 0) };
    },
  );
}

/** Throws `store_not_found`. */
async function existing(context: GatewayContext, store: string): Promise<WholeStore> {
  const found = await readStore(context, store);
  if (found !== undefined) return found;
  throw new StateStoreError('store_not_found', `there is no store ${store}`, {
    hint: 'A store is made by its first entry or settings.',
  });
}

function storeJson({ store, entries, bytes, expired, settings }: WholeStore): object {
  return { store, entries, bytes, expired, settings: settingsJson(settings) };
}

const listStoresSchema = {
  operationId: 'listStores',
  summary: 'List stores by name',
  tags: ['stores'],
  querystring: Type.Object({
    prefix: Type.Optional(Type.String({ description: 'Only names that start with it.', pattern: '^[A-Za-z0-9._-]*$' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.listLimitMax, default: limits.listLimitDefault })),
    cursor: Type.Optional(cursorParameter('Of the page before, with the same prefix.')),
  }),
  response: {
    200: jsonAnswer('A page', Type.Object({ stores: Type.Array(storeAnswer), cursor: nextCursor })),
    ...problems('invalid_parameter', 'invalid_cursor', 'invalid_url'),
  },
};

async function listStores({ routing, moves, cursors }: GatewayContext, request: FastifyRequest): Promise<object> {
  const query = readQuery(request.query, ['prefix', 'limit', 'cursor']);
  const { prefix = '' } = query;
  if (!/^[A-Za-z0-9._-]*$/.test(prefix)) throw invalidParameter('prefix', 'has characters that no store name has');
  const limit = readCount('limit', query.limit, limits.listLimitMax) ?? limits.listLimitDefault;
  const scope = ['stores', prefix];
  const after = query.cursor === undefined ? '' : cursors.open(scope, query.cursor).toString('latin1');
  const found = new Map<string, WholeStore>();
  const all = await moves.through(({ partitions, slotsEpochOf }) =>
    Promise.all(partitions.map((partition) => routing.nodeOf(partition).stores(partition, slotsEpochOf(partition)))),
  );
  for (const infos of all) {
    for (const info of infos) {
      if (info.store.startsWith(prefix) && info.store > after)
        found.set(info.store, mergeStore(found.get(info.store), info));
    }
  }
  const names = [...found.keys()].toSorted();
  const page = names.slice(0, limit);
  const last = page.at(-1);
  const cursor =
    names.length > page.length && last !== undefined ? cursors.sign(scope, Buffer.from(last, 'latin1')) : null;
  return { stores: page.map((name) => storeJson(found.get(name)!)), cursor };
}
