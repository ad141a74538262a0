// What the machinery around the service asks: is it alive, can it serve, how is it doing.
import { StateStoreError } from '@statestore/core';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { GatewayContext } from '../context.ts';
import { jsonAnswer, problems } from '../schemas.ts';

export function probeRoutes(app: FastifyInstance, context: GatewayContext): void {
  const tags = ['service'];
  const { routing, metrics } = context;

  const health = {
    operationId: 'health',
    summary: 'Whether the process is alive',
    tags,
    response: { 200: jsonAnswer('It is', Type.Object({ status: Type.Literal('ok') })) },
  };
  app.get('/healthz', { schema: health }, (_request, reply) => {
    void reply.send({ status: 'ok' });
  });

  const ready = {
    operationId: 'ready',
    summary: 'Whether every partition runs',
    tags,
    response: {
      200: jsonAnswer('They do', Type.Object({ status: Type.Literal('ready') })),
      ...problems('shutting_down'),
    },
  };
  app.get('/readyz', { schema: ready }, async () => {
    if (context.closing.signal.aborted) throw new StateStoreError('shutting_down', 'the gateway is shutting down');
    const statuses = await routing.statuses();
    const waiting = routing.partitions.filter((partition) => statuses.get(partition)?.state !== 'running');
    if (waiting.length === 0) return { status: 'ready' };
    const shown = waiting.slice(0, 20).map((partition) => {
      const status = statuses.get(partition);
      const reason = status === undefined || status.reason === '' ? '' : ` (${status.reason})`;
      return `${partition} is ${status?.state ?? 'unknown'}${reason}`;
    });
    throw new StateStoreError('unavailable', `partitions are not running: ${shown.join(', ')}`, {
      extra: { partitions: waiting },
    });
  });

  const scrape = {
    operationId: 'metrics',
    summary: 'Metrics in the text format of Prometheus',
    tags,
    response: { 200: { description: 'Now', content: { 'text/plain': { schema: { type: 'string' } } } }, ...problems() },
  };
  app.get('/metrics', { schema: scrape }, async (_request, reply) => {
    const text = await metrics.registry.metrics();
    return reply.type(metrics.registry.contentType).send(text);
  });
}
