// Changes as server-sent events (HTML standard, section 9.2), resumable by Last-Event-ID.
import { limits, StateStoreError } from '@statestore/core';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { chooseType } from '../accept.ts';
import type { GatewayContext } from '../context.ts';
import { checkKeyPart, checkStoreName } from '../names.ts';
import { readBoolean, readQuery } from '../query.ts';
import type { Routing } from '../routing.ts';
import { cursorParameter, keyCodes, problems, storePath } from '../schemas.ts';
import { WatchCourse } from '../watch-course.ts';
import { decodePlaces, type WatchPlace } from '../watch-cursor.ts';
import { Watcher, type Watch } from '../watcher.ts';

type StoreRequest = FastifyRequest<{ Params: { store: string } }>;

const watchSchema = {
  operationId: 'watch',
  summary: 'Follow changes as server-sent events',
  description:
    'Events: ready (first, with a cursor), put, delete, expire, clear, error (last). The data is JSON: key, etag, time, and ' +
    'with values=true the value, where it is still the one that this change wrote. The id is a cursor; ' +
    'send it back as Last-Event-ID or cursor to go on without loss or repetition. Changes of one key come in order. ' +
    'A store that is cleared gives a clear, without a key, for each partition that had entries of it.',
  tags: ['changes'],
  params: storePath,
  querystring: Type.Object({
    prefix: Type.Optional(Type.String({ description: 'Only keys that start with it.' })),
    cursor: Type.Optional(cursorParameter('The id of the last event seen; without one: from now on.')),
    values: Type.Optional(Type.Boolean({ default: false })),
  }),
  headers: Type.Object({ 'Last-Event-ID': Type.Optional(Type.String({ description: 'As cursor, and before it.' })) }),
  response: {
    200: {
      description: 'Events, until somebody ends it',
      content: { 'text/event-stream': { schema: { type: 'string' } } },
    },
    ...problems(
      ...keyCodes,
      'invalid_cursor',
      'cursor_expired',
      'not_acceptable',
      'too_many_requests',
      'shutting_down',
    ),
  },
};

export function watchRoute(app: FastifyInstance, context: GatewayContext): void {
  const options = { schema: watchSchema, config: { operation: 'watch' }, exposeHeadRoute: false } as const;
  app.get('/v1/stores/:store/watch', options, async (request: StoreRequest, reply) => {
    chooseType(request.headers.accept, ['text/event-stream']);
    if (context.closing.signal.aborted) throw new StateStoreError('shutting_down', 'the gateway is shutting down');
    const max = context.watchersMax ?? limits.watchersMax;
    if (context.metrics.watchers >= max) {
      throw new StateStoreError('too_many_requests', `there are ${max} watches already`, { retryAfterMs: 5000 });
    }
    context.metrics.watchers++;
    try {
      const watch = await readWatch(context, request);
      await checkPlaces(context, watch);
      await stream(context, watch, reply);
    } finally {
      context.metrics.watchers--;
    }
  });
}

async function readWatch({ routing, cursors }: GatewayContext, request: StoreRequest): Promise<Watch> {
  const store = checkStoreName(request.params.store);
  const query = readQuery(request.query, ['prefix', 'cursor', 'values']);
  const prefix = checkKeyPart(query.prefix ?? '', 'prefix');
  const scope = ['watch', store, prefix];
  const header = request.headers['last-event-id'];
  const cursor = typeof header === 'string' && header !== '' ? header : query.cursor;
  const values = readBoolean('values', query.values);
  const course = cursor === undefined ? await courseNow(routing) : await courseOf(routing, cursors.open(scope, cursor));
  course.take(routing.topology, routing.layoutEpoch !== undefined);
  return { store, prefix, values, scope, course };
}

/** Of a cursor. Waits for a topology as new as that by which it was given. */
async function courseOf(routing: Routing, bytes: Uint8Array): Promise<WatchCourse> {
  const { places, epoch } = decodePlaces(bytes);
  const untilMs = performance.now() + (routing.refreshes ? limits.gatewayTopologyWaitMs : 0);
  while (epoch > routing.topology.epoch) {
    const leftMs = untilMs - performance.now();
    // In a cluster that was restored, epochs began anew.
    if (leftMs <= 0 && routing.topology.restoredFrom !== undefined) return new WatchCourse(places, 0n);
    if (leftMs <= 0) {
      const message = `the cursor is of a topology of epoch ${epoch}; the one known here is of ${routing.topology.epoch}`;
      throw new StateStoreError('unavailable', message, { retryAfterMs: limits.sessionTopologyRetryMs });
    }
    routing.refresh();
    await routing.later(routing.topology.epoch, Math.min(leftMs, limits.gatewayTopologyRefreshMs));
  }
  return new WatchCourse(places, epoch);
}

/** From now on: after everything that is applied, as far as a replica of each log tells. */
async function courseNow(routing: Routing): Promise<WatchCourse> {
  const statuses = await routing.statuses();
  // All of one topology: it may change while they are asked.
  const epoch = routing.layoutEpoch === undefined ? 0n : routing.topology.epoch;
  const places = routing.partitions.map(async (partition): Promise<[number, WatchPlace]> => {
    const status = statuses.get(partition);
    if (status === undefined) {
      throw new StateStoreError('unavailable', `no node answers for partition ${partition}`, { retryAfterMs: 1000 });
    }
    const log = routing.logOf(partition);
    const isOfLog = log !== undefined && status.incarnation === log.incarnation;
    // A position of another log says nothing: whoever answers reads does so for the one that the topology names. And of
    // which generation its log is, a node on its own says itself.
    const { position, generation } = isOfLog
      ? { position: status.appliedPosition, generation: log.generation }
      : await routing.nodeOf(partition).getMany(partition, '', [], { consistency: 'session' });
    return [partition, { position: position + 1n, generation, seen: 0 }];
  });
  return new WatchCourse(new Map(await Promise.all(places)), epoch);
}

/** A cursor that is no longer good is refused by status, before the stream begins. */
async function checkPlaces({ routing }: GatewayContext, { store, prefix, course }: Watch): Promise<void> {
  const probes = [...course.places].map(async ([partition, { position: from, generation }]) => {
    const gone = new AbortController();
    const changes = routing
      .nodeOf(partition)
      .watch(partition, { store, prefix, from, generation, signal: gone.signal });
    const iterator = changes[Symbol.asyncIterator]();
    // It either fails at once, or has something, or waits for what is to come.
    const first = iterator.next();
    first.catch(() => {});
    try {
      await Promise.race([first, new Promise((resolve) => setTimeout(resolve, probeMs))]);
    } finally {
      gone.abort();
    }
  });
  await Promise.all(probes);
}

const probeMs = 20;

async function stream(context: GatewayContext, watch: Watch, reply: FastifyReply): Promise<void> {
  const { closing, metrics } = context;
  const gone = new AbortController();
  reply.hijack();
  const response = reply.raw;
  response.once('close', () => gone.abort());
  // Who went while the places were looked at is not told of again.
  if (response.destroyed || response.socket?.destroyed !== false) return void response.destroy();
  response.on('error', () => gone.abort());
  response.writeHead(200, {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store',
    // A stream that ended leaves nothing worth keeping: a client that was cut off must not hold its socket.
    Connection: 'close',
    'X-Accel-Buffering': 'no',
  });
  const signal = AbortSignal.any([gone.signal, closing.signal]);
  metrics.operations.watch.count('ok');
  await new Watcher(context, response, watch, signal, () => gone.abort()).run();
}
