// Partitions: which there are, and how many there are to be. A change of their number is a wish that is written into the
// topology; the nodes carry it out, whatever becomes of this gateway.
/* oxlint-disable oxc/no-async-endpoint-handlers -- a rule for Express; Fastify awaits its handlers */
import {
  changeTopology,
  type Edit,
  ResizePace,
  resizeCancelled,
  resizePaused,
  type ResizeView,
  viewResize,
  withPartitions,
} from '@statestore/cluster';
import { limits, StateStoreError, type Topology } from '@statestore/core';
import type { PartitionStatus } from '@statestore/link';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { takeJsonBodies } from '../bodies.ts';
import type { GatewayContext } from '../context.ts';
import { readQuery } from '../query.ts';
import { closed, count, jsonAnswer, named, problems, wordOf } from '../schemas.ts';
import { bodyCheck } from '../validation.ts';

const part = Type.Number({ minimum: 0, maximum: 1 });
const kind = wordOf(['split', 'merge']);
const state = wordOf(['none', 'building', 'near', 'built', 'failed'], {
  description: 'Of its nodes, the one that is least far. `none`: it has not begun. `failed`: any of them.',
});

const reshape = named(
  'Reshape',
  Type.Object({
    id: Type.String({ format: 'uuid' }),
    kind,
    source: Type.Integer({ minimum: 0, description: 'Gives the slots.' }),
    target: Type.Integer({ minimum: 0, description: 'Gets them.' }),
    slots: Type.Integer({ minimum: 0, description: 'How many.' }),
    cancelled: Type.Boolean({ description: 'It is given up where that can still be.' }),
    state,
    part,
    entries: Type.Integer({ minimum: 0, description: 'Taken over so far.' }),
    bytes: count,
    nodes: Type.Array(
      Type.Object({
        node: Type.String(),
        state: wordOf(['none', 'silent', 'building', 'near', 'built', 'failed']),
        part,
        why: Type.String({ description: 'What it does or waits for; empty: nothing to be said.' }),
      }),
    ),
  }),
);

const resize = named(
  'Resize',
  Type.Object({
    state: wordOf(['idle', 'running', 'paused']),
    partitions: Type.Integer({ minimum: 1, description: 'That there are.' }),
    wanted: Type.Integer({ minimum: 1, description: 'That there are to be.' }),
    done: Type.Integer({ minimum: 0, description: 'Splits and merges, since it was asked for.' }),
    all: Type.Integer({ minimum: 0, description: 'Splits and merges, done and to be done.' }),
    part,
    slotsLeft: Type.Number({ minimum: 0, description: 'Slots that are still to go to another partition.' }),
    remainingMs: Type.Optional(
      Type.Integer({ minimum: 0, description: 'By how fast it went while it was looked at.' }),
    ),
    expectedEndAt: Type.Optional(Type.String({ format: 'date-time' })),
    reshapes: Type.Array(reshape),
    waits: Type.Array(Type.String(), { description: 'Why nothing, or not more, is done.' }),
  }),
);

const listAnswer = Type.Object({
  epoch: Type.String({ description: 'Of the topology; decimal text.' }),
  partitions: Type.Array(
    named(
      'Partition',
      Type.Object({
        partition: count,
        slots: Type.Integer({ minimum: 1, description: 'How many.' }),
        ranges: Type.Array(Type.Object({ start: count, end: Type.Integer({ description: 'Exclusive.' }) })),
        replicas: Type.Array(Type.String(), { description: 'Nodes; the first one is preferred.' }),
        state: Type.Optional(wordOf(['starting', 'copying', 'running', 'halted', 'stopped'])),
        entries: Type.Optional(count),
        bytes: Type.Optional(count),
        reshape: Type.Optional(Type.Object({ id: Type.String(), kind, source: count, target: count, state, part })),
      }),
    ),
    { description: 'Without state, entries and bytes where no node answers for it.' },
  ),
  retired: Type.Array(Type.Object({ partition: count, into: count }), {
    description: 'Merged into another one a short time ago; who follows them can still do so.',
  }),
});

const body = closed({ partitions: Type.Integer({ minimum: 1, maximum: limits.partitionsMax }) });
const documentedBody = named('ResizeRequest', body);

export function partitionRoutes(app: FastifyInstance, context: GatewayContext): void {
  const tags = ['service'];
  const { routing } = context;
  const pace = new ResizePace();
  const view = (topology: Topology = routing.topology): object => resizeJson(topology, context, pace);

  const listSchema = {
    operationId: 'listPartitions',
    summary: 'Partitions, how large they are, and which of them split or merge',
    tags,
    response: { 200: jsonAnswer('Now', listAnswer), ...problems('invalid_parameter') },
  };
  app.get('/v1/partitions', { schema: listSchema }, async (request) => {
    readQuery(request.query, []);
    return partitionsJson(routing.topology, await routing.statuses(), viewOf(routing.topology, context));
  });

  const path = '/v1/partitions/resize';
  const readSchema = {
    operationId: 'readResize',
    summary: 'How far a change of the number of partitions is',
    tags,
    response: { 200: jsonAnswer('Now', resize), ...problems('invalid_parameter') },
  };
  app.get(path, { schema: readSchema }, async (request) => {
    readQuery(request.query, []);
    return view();
  });

  const change = async (request: FastifyRequest, edit: (topology: Topology) => Edit): Promise<object> => {
    readQuery(request.query, []);
    const { topology } = await changeTopology(storeOf(context), edit);
    routing.refresh();
    return view(topology);
  };
  const codes = ['invalid_parameter', 'no_cluster', 'outcome_unknown'] as const;
  const bodyCodes = ['invalid_body', 'invalid_json', 'body_too_large', 'unsupported_media_type'] as const;

  const writeSchema = {
    operationId: 'resize',
    summary: 'Say how many partitions there are to be',
    description:
      'Partitions are split and merged one after the other while everything goes on. Another number may be given in the ' +
      'middle, also the one of before.',
    tags,
    body: { content: { 'application/json': { schema: documentedBody, example: { partitions: 16 } } } },
    response: { 200: jsonAnswer('It is written down', resize), ...problems(...codes, ...bodyCodes) },
  };
  const check = bodyCheck(body);
  // In a scope of its own: the others have no body.
  void app.register(async (scope) => {
    takeJsonBodies(scope);
    scope.put(path, { schema: writeSchema }, async (request) => {
      const { partitions } = check(request.body);
      return change(request, (topology) => withPartitions(topology, partitions));
    });
  });

  const action = (name: string, operationId: string, summary: string, edit: (topology: Topology) => Edit): void => {
    const schema = { operationId, summary, tags, response: { 200: jsonAnswer('Now', resize), ...problems(...codes) } };
    app.post(`${path}/${name}`, { schema }, (request) => change(request, edit));
  };
  action('pause', 'pauseResize', 'Begin no further split or merge', (topology) => resizePaused(topology, true));
  action('resume', 'resumeResize', 'Go on after a pause', (topology) => resizePaused(topology, false));
  action('cancel', 'cancelResize', 'Leave it at the partitions that there are', resizeCancelled);
}

/** Throws `no_cluster`. */
function storeOf({ topologyStore }: GatewayContext): NonNullable<GatewayContext['topologyStore']> {
  if (topologyStore !== undefined) return topologyStore;
  throw new StateStoreError('no_cluster', 'a node on its own keeps the partitions that it began with', {
    hint: 'Restore a checkpoint of it with another number of partitions.',
  });
}

function viewOf(topology: Topology, { routing }: GatewayContext): ResizeView | undefined {
  const nodes = routing.describe().map(({ name, live, reshapes }) => {
    return [name, { live, report: reshapes === undefined ? {} : { reshapes } }] as const;
  });
  return viewResize(topology, new Map(nodes));
}

function resizeJson(topology: Topology, context: GatewayContext, pace: ResizePace): object {
  const found = viewOf(topology, context);
  const { length } = topology.partitions;
  if (found === undefined) {
    return {
      state: 'idle',
      partitions: length,
      wanted: length,
      done: 0,
      all: 0,
      part: 1,
      slotsLeft: 0,
      reshapes: [],
      waits: [],
    };
  }
  const { paused, wanted = length, ...rest } = found;
  const remainingMs = pace.remainingMs(found.slotsLeft, performance.now());
  const end = remainingMs === undefined ? {} : endJson(Math.round(remainingMs));
  return { state: paused ? 'paused' : 'running', ...rest, wanted, ...end };
}

function endJson(remainingMs: number): object {
  return { remainingMs, expectedEndAt: new Date(Date.now() + remainingMs).toISOString() };
}

function partitionsJson(
  { epoch, partitions, retired = [] }: Topology,
  statuses: ReadonlyMap<number, PartitionStatus>,
  view: ResizeView | undefined,
): object {
  return {
    epoch: String(epoch),
    partitions: partitions.map(({ partition, slots, replicas }) => {
      const status = statuses.get(partition);
      const under = view?.reshapes.find(({ source, target }) => source === partition || target === partition);
      return {
        partition,
        slots: slots.reduce((sum, { start, end }) => sum + end - start, 0),
        ranges: slots,
        replicas,
        ...(status === undefined ? {} : { state: status.state, entries: status.entries, bytes: status.bytes }),
        ...(under === undefined ? {} : { reshape: shortJson(under) }),
      };
    }),
    retired: retired.map(({ placement, into }) => ({ partition: placement.partition, into: into.partition })),
  };
}

function shortJson({ id, kind: of, source, target, state: at, part: done }: ResizeView['reshapes'][number]): object {
  return { id, kind: of, source, target, state: at, part: done };
}
