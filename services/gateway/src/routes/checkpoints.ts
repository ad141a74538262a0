// Checkpoints: which there are, which one is made, and asking for one. The gateway reads and writes the documents that
// nodes share; it never reads the repository. That a checkpoint is whole, `statestore checkpoint verify` finds out.
/* oxlint-disable oxc/no-async-endpoint-handlers -- a rule for Express; Fastify awaits its handlers */
import type { CatalogEntry, CheckpointCatalog, CheckpointRun, CheckpointRuns, Clearing } from '@statestore/cluster';
import { newRunId, requestCheckpoint, RunSight } from '@statestore/cluster';
import { limits, StateStoreError } from '@statestore/core';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { GatewayContext } from '../context.ts';
import { invalidParameter, readQuery } from '../query.ts';
import { count, jsonAnswer, named, problems, wordOf } from '../schemas.ts';

const time = Type.String({ format: 'date-time' });
const id = Type.String({ format: 'uuid' });

const run = named(
  'CheckpointRun',
  Type.Object({
    id,
    trigger: wordOf(['manual', 'schedule', 'shutdown']),
    state: wordOf(['requested', 'running', 'completed', 'failed']),
    requestedAt: time,
    requestedBy: Type.String(),
    attempt: count,
    conductor: Type.Optional(Type.String({ description: 'Node that conducts it.' })),
    startedAt: Type.Optional(time),
    finishedAt: Type.Optional(time),
    checkpoint: Type.Optional(Type.String({ format: 'uuid', description: 'Id of the checkpoint that it makes.' })),
    part: Type.Number({ minimum: 0, maximum: 1, description: 'Of what is to be read.' }),
    expectedEndAt: Type.Optional(Type.String({ format: 'date-time', description: 'By how fast it was so far.' })),
    partitions: Type.Array(
      Type.Object({
        partition: count,
        state: wordOf(['waiting', 'writing', 'written']),
        node: Type.Optional(Type.String()),
        records: count,
        bytes: count,
        part: Type.Number({ minimum: 0, maximum: 1 }),
        uploadedBytes: count,
        reusedBytes: count,
      }),
    ),
    error: Type.Optional(Type.Object({ code: Type.String(), message: Type.String(), retryable: Type.Boolean() })),
  }),
);

const checkpoint = named(
  'Checkpoint',
  Type.Object({
    id,
    startedAt: time,
    completedAt: time,
    trigger: Type.String(),
    conductor: Type.String(),
    version: Type.String(),
    previous: Type.Optional(Type.String({ description: 'The one that unchanged blocks were taken from.' })),
    partitions: count,
    entries: count,
    bytes: Type.Integer({ minimum: 0, description: 'Of keys and values.' }),
    storedBytes: Type.Integer({ minimum: 0, description: 'Of what a restore reads, as it is stored.' }),
    uploadedBytes: Type.Integer({ minimum: 0, description: 'Of it, what was uploaded for this one.' }),
  }),
);

const listAnswer = Type.Object({
  repository: Type.String(),
  updatedAt: Type.String({ format: 'date-time', description: 'When a node last looked at the repository.' }),
  run: Type.Optional(run),
  checkpoints: Type.Array(checkpoint, { description: 'The newest first.' }),
  statistics: Type.Object({
    created: count,
    failed: count,
    lastDurationMs: Type.Optional(count),
    lastStoredBytes: Type.Optional(count),
    lastUploadedBytes: Type.Optional(count),
    lastSuccessAt: Type.Optional(time),
  }),
  damaged: Type.Array(Type.Object({ id, why: Type.String() }), {
    description:
      'Cannot be read, of whatever cluster: nothing is cleared up while they are there. Or a block of it is not what was stored.',
  }),
  clearing: Type.Optional(
    Type.Object({
      at: Type.String({ format: 'date-time', description: 'After the last checkpoint.' }),
      blockedBy: Type.Array(Type.String(), { description: 'Why nothing was removed; empty: what could go went.' }),
      blockedSince: Type.Optional(time),
    }),
  ),
});

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function checkpointRoutes(app: FastifyInstance, context: GatewayContext): void {
  const tags = ['service'];
  const sight = new RunSight();

  const listSchema = {
    operationId: 'listCheckpoints',
    summary: 'Checkpoints that there are, and the one that is made',
    tags,
    response: {
      200: jsonAnswer('As nodes last saw them', listAnswer),
      ...problems('invalid_parameter', 'checkpoints_not_configured'),
    },
  };
  app.get('/v1/checkpoints', { schema: listSchema }, async (request) => {
    readQuery(request.query, []);
    const { runs, catalog } = await configured(context);
    const present = (await runs.run())?.document;
    const { damaged = [], clearing } = catalog;
    const { lastSuccessAtMs, ...statistics } = catalog.statistics;
    return {
      repository: catalog.repository,
      updatedAt: isoOf(catalog.updatedAtMs),
      ...(present === undefined ? {} : { run: runJson(present) }),
      checkpoints: catalog.checkpoints.map(checkpointJson),
      statistics: {
        ...statistics,
        ...(lastSuccessAtMs === undefined ? {} : { lastSuccessAt: isoOf(lastSuccessAtMs) }),
      },
      damaged,
      ...(clearing === undefined ? {} : { clearing: clearingJson(clearing) }),
    };
  });

  const createSchema = {
    operationId: 'createCheckpoint',
    summary: 'Ask for a checkpoint of all partitions',
    description: 'A node with a repository makes it. One at a time: while one is made, 409 names it.',
    tags,
    response: {
      202: jsonAnswer('It is asked for', run, { Location: Type.String({ description: 'Where it is told of.' }) }),
      ...problems('invalid_parameter', 'checkpoint_running', 'checkpoints_not_configured', 'outcome_unknown'),
    },
  };
  app.post('/v1/checkpoints', { schema: createSchema }, async (request, reply) => {
    readQuery(request.query, []);
    const { runs } = await configured(context);
    const nowMs = Date.now();
    const stillMs = sight.stillMs((await runs.run())?.document, performance.now());
    const asked = await requestCheckpoint(
      runs,
      { id: newRunId(nowMs), trigger: 'manual', requestedBy: 'gateway', nowMs },
      ({ state }) => state === 'requested' && stillMs >= limits.checkpointRequestWaitMs,
    );
    const { run: found } = asked;
    if (asked.outcome === 'requested')
      return reply.code(202).header('location', `/v1/checkpoints/${found.id}`).send(runJson(found));
    throw new StateStoreError('checkpoint_running', `the checkpoint run ${found.id} is ${found.state}`, {
      retryAfterMs: 1000,
      extra: { run: found.id },
    });
  });

  const showSchema = {
    operationId: 'getCheckpoint',
    summary: 'One checkpoint, or one run: by the id of either',
    tags,
    params: Type.Object({ id: Type.String({ description: 'Of a checkpoint, or of a run.', pattern: uuid.source }) }),
    response: {
      200: jsonAnswer(
        'What is known of it',
        Type.Object({ run: Type.Optional(run), checkpoint: Type.Optional(checkpoint) }),
      ),
      ...problems('invalid_parameter', 'invalid_url', 'checkpoint_not_found', 'checkpoints_not_configured'),
    },
  };
  app.get(
    '/v1/checkpoints/:id',
    { schema: showSchema },
    async (request: FastifyRequest<{ Params: { id: string } }>) => {
      readQuery(request.query, []);
      const wanted = request.params.id;
      if (!uuid.test(wanted))
        throw invalidParameter('id', `is ${JSON.stringify(wanted.slice(0, 60))}; it must be a UUID in small letters`);
      const { runs, catalog } = await configured(context);
      const present = (await runs.run())?.document;
      const known = [...(present === undefined ? [] : [present]), ...catalog.runs];
      const ofRun = known.find((each) => each.id === wanted || each.checkpoint === wanted);
      const made = ofRun?.checkpoint ?? wanted;
      const ofCheckpoint = catalog.checkpoints.find((each) => each.id === made);
      if (ofRun === undefined && ofCheckpoint === undefined)
        throw new StateStoreError('checkpoint_not_found', `there is no checkpoint and no run ${wanted}`, {
          hint: 'GET /v1/checkpoints lists those that nodes last saw',
        });
      return {
        ...(ofRun === undefined ? {} : { run: runJson(ofRun) }),
        ...(ofCheckpoint === undefined ? {} : { checkpoint: checkpointJson(ofCheckpoint) }),
      };
    },
  );
}

/** Throws where no node has a repository, as far as is known. */
async function configured({
  checkpoints: runs,
}: GatewayContext): Promise<{ readonly runs: CheckpointRuns; readonly catalog: CheckpointCatalog }> {
  const catalog = (await runs?.catalog())?.document;
  if (runs !== undefined && catalog !== undefined) return { runs, catalog };
  throw new StateStoreError('checkpoints_not_configured', 'no node has said that it has a repository of checkpoints', {
    hint: 'start the nodes with --repository',
  });
}

function runJson(document: CheckpointRun): object {
  const { id: of, trigger, state, requestedAtMs, requestedBy, attempt, checkpoint: made, error } = document;
  const { conductor, startedAtMs, finishedAtMs, partitions } = document;
  const part =
    state === 'completed' ? 1 : partitions.reduce((sum, each) => sum + each.part, 0) / Math.max(1, partitions.length);
  const expectedEndAtMs = expectedEnd(document, part);
  return {
    id: of,
    trigger,
    state,
    requestedAt: isoOf(requestedAtMs),
    requestedBy,
    attempt,
    ...(conductor === undefined ? {} : { conductor: conductor.node }),
    ...(startedAtMs === undefined ? {} : { startedAt: isoOf(startedAtMs) }),
    ...(finishedAtMs === undefined ? {} : { finishedAt: isoOf(finishedAtMs) }),
    ...(made === undefined ? {} : { checkpoint: made }),
    part,
    ...(expectedEndAtMs === undefined ? {} : { expectedEndAt: isoOf(expectedEndAtMs) }),
    partitions,
    ...(error === undefined ? {} : { error }),
  };
}

function expectedEnd({ state, startedAtMs }: CheckpointRun, part: number): number | undefined {
  if (state !== 'running' || startedAtMs === undefined || part <= 0) return undefined;
  const nowMs = Date.now();
  return nowMs + (Math.max(0, nowMs - startedAtMs) * (1 - part)) / part;
}

function checkpointJson({ startedAtMs, completedAtMs, ...rest }: CatalogEntry): object {
  return { ...rest, startedAt: isoOf(startedAtMs), completedAt: isoOf(completedAtMs) };
}

function clearingJson({ atMs, blockedBy, blockedSinceMs }: Clearing): object {
  const since = blockedSinceMs === undefined ? {} : { blockedSince: isoOf(blockedSinceMs) };
  return { at: isoOf(atMs), blockedBy, ...since };
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}
