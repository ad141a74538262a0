// What an operator asks for by hand: removal of what has expired, sync, compaction.
/* oxlint-disable oxc/no-async-endpoint-handlers -- a rule for Express; Fastify awaits its handlers */
import { limits } from '@statestore/core';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { GatewayContext } from '../context.ts';
import { checkStoreName } from '../names.ts';
import { invalidParameter, readQuery } from '../query.ts';
import { count, jsonAnswer, pathCodes, problems, storePath } from '../schemas.ts';

const cleanupAnswer = jsonAnswer(
  'What was removed',
  Type.Object({
    expired: Type.Integer({
      minimum: 0,
      description: 'Entries whose time had come; of the store, where one was named.',
    }),
    removed: Type.Integer({ minimum: 0, description: 'Records of every kind and store.' }),
  }),
);

export function maintenanceRoutes(app: FastifyInstance, context: GatewayContext): void {
  const tags = ['service'];
  const { routing } = context;

  const cleanupStore = {
    operationId: 'cleanupStore',
    summary: 'Remove expired entries now, and count those of a store',
    tags: ['stores'],
    params: storePath,
    response: { 200: cleanupAnswer, ...problems(...pathCodes, 'outcome_unknown') },
  };
  app.post(
    '/v1/stores/:store/cleanup',
    { schema: cleanupStore, config: { operation: 'cleanup' } },
    (request: FastifyRequest<{ Params: { store: string } }>) => {
      readQuery(request.query, []);
      return cleanup(context, checkStoreName(request.params.store));
    },
  );

  const cleanupAll = {
    operationId: 'cleanup',
    summary: 'Remove expired entries of every store now',
    tags,
    response: { 200: cleanupAnswer, ...problems('invalid_parameter', 'outcome_unknown') },
  };
  app.post('/v1/cleanup', { schema: cleanupAll, config: { operation: 'cleanup' } }, (request) => {
    readQuery(request.query, []);
    return cleanup(context, '');
  });

  const syncSchema = {
    operationId: 'sync',
    summary: 'Wait until everything written so far is in the engine and on disk',
    description: 'Acknowledged writes are durable without it: they are in the log.',
    tags,
    response: { 200: jsonAnswer('It is', Type.Object({ partitions: count })), ...problems('invalid_parameter') },
  };
  app.post('/v1/sync', { schema: syncSchema, config: { operation: 'sync' } }, async (request) => {
    readQuery(request.query, []);
    // What was written before is in one of them, or was on disk when it was handed over.
    return context.moves.through(async ({ partitions }) => {
      await Promise.all(partitions.map((partition) => routing.nodeOf(partition).sync(partition)));
      return { partitions: partitions.length };
    });
  });

  const compactSchema = {
    operationId: 'compact',
    summary: 'Give free space of the engine back to the file system',
    tags,
    querystring: Type.Object({ partition: Type.Optional(Type.Integer({ minimum: 0, description: 'Only this one.' })) }),
    response: {
      200: jsonAnswer(
        'Sizes before and after',
        Type.Object({
          partitions: Type.Array(Type.Object({ partition: count, beforeBytes: count, afterBytes: count })),
        }),
      ),
      ...problems('invalid_parameter'),
    },
  };
  app.post('/v1/compact', { schema: compactSchema, config: { operation: 'compact' } }, async (request) => {
    const { partition: only } = readQuery(request.query, ['partition']);
    const chosen =
      only === undefined ? routing.partitions : routing.partitions.filter((partition) => String(partition) === only);
    if (chosen.length === 0)
      throw invalidParameter(
        'partition',
        `is ${JSON.stringify(only?.slice(0, 20))}; there are ${routing.partitions.join(', ')}`,
      );
    const partitions = [];
    // One after another: each is a copy of a file.
    for (const partition of chosen)
      partitions.push({ partition, ...(await routing.nodeOf(partition).compact(partition)) });
    return { partitions };
  });
}

/** Sweeps until nothing is due. Those that failed half-way stay done; the call may be repeated. */
async function cleanup(
  { routing, proposer, moves }: GatewayContext,
  countStore: string,
): Promise<{ expired: number; removed: number }> {
  const total = { expired: 0, removed: 0 };
  const body = {
    kind: 'sweep',
    limit: limits.sweepLimit,
    changesKeptBytes: limits.changesKeptBytes,
    countStore,
  } as const;
  const patience = moves.begin();
  let { layout } = routing;
  let due = layout.partitions;
  while (due.length > 0) {
    const results = await proposer.proposeAll(layout, due, () => body);
    for (const { count: expired, removed } of results) {
      total.expired += expired;
      total.removed += removed;
    }
    if (results.some(({ code }) => code === 'moved')) {
      await patience.after(layout.epoch);
      // What was swept has nothing due any more.
      ({ layout } = routing);
      due = layout.partitions;
    } else due = due.filter((_, i) => results[i]!.more);
  }
  patience.over();
  return total;
}
