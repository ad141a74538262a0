// The service itself: what it can do, what it does, who holds what.
/* oxlint-disable oxc/no-async-endpoint-handlers -- a rule for Express; Fastify awaits its handlers */
import { limits } from '@statestore/core';
import type { PartitionStatus } from '@statestore/link';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { GatewayContext } from '../context.ts';
import { readQuery } from '../query.ts';
import { count, jsonAnswer, named, problems, wordOf } from '../schemas.ts';
import { topologyAnswer, topologyJson } from '../topology-json.ts';

const capabilities = [
  'append',
  'batch',
  'batch-protobuf',
  'bounded-staleness',
  'checkpoints',
  'cleanup',
  'clear',
  'compact',
  'conditional-writes',
  'default-ttl',
  'idempotency-keys',
  'increment',
  'list',
  'list-ndjson',
  'merge-patch',
  'quotas',
  'session-tokens',
  'strong-reads',
  'sync',
  'transactions-in-slot',
  'ttl',
  'watch',
] as const;

const shownLimits = {
  keyBytes: limits.keyBytesMax,
  valueBytes: limits.valueBytesMax,
  ttlMs: limits.ttlMsMax,
  listEntries: limits.listLimitMax,
  batchOperations: limits.batchKeysMax,
  batchBytes: limits.commandBytesMax,
  transactionOperations: limits.transactionOperationsMax,
  storeNameChars: limits.storeNameCharsMax,
  idempotencyKeyChars: limits.idempotencyKeyCharsMax,
  idempotencyWindowMs: limits.deduplicationWindowMs,
};

const partition = named(
  'PartitionStatus',
  Type.Object({
    partition: count,
    state: wordOf(['starting', 'copying', 'running', 'halted', 'stopped']),
    haltCause: Type.Optional(
      wordOf(['engine_failed', 'log_failed', 'log_trimmed', 'log_regressed', 'log_corrupt', 'diverged']),
    ),
    reason: Type.String(),
    engine: Type.String(),
    incarnation: Type.String(),
    appliedPosition: Type.String({ description: 'Decimal text: 64 bits.' }),
    storedPosition: Type.String(),
    revision: Type.String(),
    clock: Type.String({ format: 'date-time' }),
    chain: Type.String(),
    stateHash: Type.String(),
    entries: count,
    bytes: count,
    expired: count,
    stores: count,
    engineBytes: count,
    logBytes: count,
    queuedCommands: count,
    writeBufferBytes: count,
  }),
);

export function serviceRoutes(app: FastifyInstance, context: GatewayContext): void {
  const tags = ['service'];
  const { routing } = context;
  const plain = problems('invalid_parameter');

  const about = Type.Object({
    name: Type.String(),
    version: Type.String(),
    apiVersion: Type.String(),
    capabilities: Type.Array(Type.String()),
    limits: Type.Object(Object.fromEntries(Object.keys(shownLimits).map((name) => [name, count]))),
  });
  const aboutSchema = {
    operationId: 'about',
    summary: 'Version, capabilities and limits',
    tags,
    response: { 200: jsonAnswer('This service', about), ...plain },
  };
  app.get('/v1', { schema: aboutSchema }, (request, reply) => {
    readQuery(request.query, []);
    void reply.send({
      name: 'statestore',
      version: context.version,
      apiVersion: 'v1',
      capabilities,
      limits: shownLimits,
    });
  });

  const stats = Type.Object({
    entries: count,
    bytes: count,
    expired: count,
    hits: count,
    misses: count,
    operations: Type.Record(Type.String(), count, { description: 'Of the nodes, since they started.' }),
    requests: Type.Record(Type.String(), Type.Record(Type.String(), count), {
      description: 'Of this gateway, by operation and outcome.',
    }),
    partitions: Type.Array(partition),
  });
  const statsSchema = {
    operationId: 'statistics',
    summary: 'Operations, hits, misses, sizes, partitions',
    tags,
    response: { 200: jsonAnswer('Now', stats), ...plain },
  };
  app.get('/v1/stats', { schema: statsSchema }, async (request) => {
    readQuery(request.query, []);
    return statistics(context);
  });

  const topologySchema = {
    operationId: 'topology',
    summary: 'Which slots are whose, and how the nodes are',
    tags,
    response: { 200: jsonAnswer('Now', topologyAnswer), ...plain },
  };
  app.get('/v1/topology', { schema: topologySchema }, (request, reply) => {
    readQuery(request.query, []);
    void reply.send(topologyJson(routing.topology, routing.describe()));
  });
}

async function statistics({ routing, metrics }: GatewayContext): Promise<object> {
  const [statuses, nodes] = await Promise.all([
    routing.statuses(),
    Promise.all(routing.nodes().map((node) => node.status())),
  ]);
  const partitions = [...statuses.values()].toSorted((a, b) => a.partition - b.partition);
  const sum = (value: (status: PartitionStatus) => number): number =>
    partitions.reduce((total, status) => total + value(status), 0);
  const operations: Record<string, number> = {};
  for (const { counts } of nodes) {
    for (const [name, times] of Object.entries(counts.operations)) operations[name] = (operations[name] ?? 0) + times;
  }
  return {
    entries: sum((status) => status.entries),
    bytes: sum((status) => status.bytes),
    expired: sum((status) => status.expired),
    hits: nodes.reduce((total, { counts }) => total + counts.hits, 0),
    misses: nodes.reduce((total, { counts }) => total + counts.misses, 0),
    operations,
    requests: Object.fromEntries(Object.entries(metrics.operations).map(([name, { outcomes }]) => [name, outcomes])),
    partitions: partitions.map(statusJson),
  };
}

function statusJson(status: PartitionStatus): object {
  const { appliedPosition, storedPosition, revision, clockMs, ...rest } = status;
  return {
    ...rest,
    appliedPosition: String(appliedPosition),
    storedPosition: String(storedPosition),
    revision: String(revision),
    clock: new Date(clockMs).toISOString(),
  };
}
