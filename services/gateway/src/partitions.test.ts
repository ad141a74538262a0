// The number of partitions by the API: the wish is written into the topology, told of, paused, and taken back.
import { MemoryTopologyStore } from '@statestore/cluster';
import { evenTopology, type Topology } from '@statestore/core';
import { afterEach, expect, test } from 'vitest';
import { startGateway, type Started } from './testing/start.ts';

let started: Started | undefined;
afterEach(() => started?.gateway.close());

const spec = { replicationFactor: 1, logReplicas: 1, drained: [] };

async function ofCluster(): Promise<{ call: Call; topology: () => Promise<Topology> }> {
  const store = new MemoryTopologyStore();
  const topology = { ...evenTopology(2, ['a']), spec };
  await store.replace(topology);
  started = await startGateway({ topology, topologyStore: store }, 2);
  const watch = store.watch((newer) => started!.gateway.updateTopology(newer));
  const { gateway } = started;
  const close = gateway.close.bind(gateway);
  Object.assign(gateway, { close: () => watch.close().then(close) });
  return { call: callOf(started), topology: async () => (await store.read())! };
}

type Call = (method: string, path: string, body?: object) => Promise<{ status: number; json: Record<string, unknown> }>;

function callOf({ baseUrl }: Started): Call {
  return async (method, path, body) => {
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await fetch(`${baseUrl}/v1/partitions${path}`, { method, headers, ...content });
    return { status: response.status, json: (await response.json()) as Record<string, unknown> };
  };
}

test('a wish is written down, paused, and taken back', async () => {
  const { call, topology } = await ofCluster();
  expect((await call('GET', '/resize')).json).toMatchObject({ state: 'idle', partitions: 2, wanted: 2, part: 1 });
  expect((await call('PUT', '/resize', { partitions: 8 })).json).toMatchObject({
    state: 'running',
    partitions: 2,
    wanted: 8,
    done: 0,
    all: 6,
    part: 0,
    reshapes: [],
  });
  expect((await topology()).spec).toEqual({ ...spec, partitions: 8, partitionsBefore: 2 });
  expect((await call('POST', '/resize/pause')).json).toMatchObject({ state: 'paused', wanted: 8 });
  expect((await call('PUT', '/resize', { partitions: 4 })).json).toMatchObject({ state: 'paused', wanted: 4 });
  expect((await call('POST', '/resize/resume')).json).toMatchObject({ state: 'running', wanted: 4 });
  expect((await call('POST', '/resize/cancel')).json).toMatchObject({ state: 'idle', wanted: 2 });
  expect((await topology()).spec).toEqual(spec);
});

test('what cannot be is refused', async () => {
  const { call } = await ofCluster();
  expect((await call('PUT', '/resize', { partitions: 0 })).json).toMatchObject({ status: 400, code: 'invalid_body' });
  expect((await call('PUT', '/resize', { partitions: 4097 })).json).toMatchObject({ status: 400 });
  expect((await call('PUT', '/resize', { shards: 3 })).json).toMatchObject({ status: 400, code: 'invalid_body' });
  expect((await call('POST', '/resize/pause')).json).toMatchObject({ status: 400, code: 'invalid_parameter' });
});

test('a node on its own has no cluster to change', async () => {
  started = await startGateway({}, 2);
  const call = callOf(started);
  expect((await call('PUT', '/resize', { partitions: 4 })).json).toMatchObject({ status: 501, code: 'no_cluster' });
  expect((await call('GET', '/resize')).json).toMatchObject({ state: 'idle', partitions: 2 });
});

test('partitions are told of, with the split that they are in', async () => {
  const { call } = await ofCluster();
  const id = '00000000-0000-4000-8000-000000000001';
  const topology = { ...evenTopology(2, ['a']), spec, epoch: 9n };
  const slots = [{ start: 0, end: 1024 }];
  const log = { generation: 2, incarnation: 'b' };
  started!.gateway.updateTopology({
    ...topology,
    reshapes: [{ kind: 'split', id, source: 0, target: 2, slots, slotsEpoch: 8n, log }],
  });
  const { json } = await call('GET', '');
  const all = { replicas: ['a'], state: 'running', entries: 0, bytes: 0 };
  expect(json).toEqual({
    epoch: '9',
    partitions: [
      {
        ...all,
        partition: 0,
        slots: 2048,
        ranges: [{ start: 0, end: 2048 }],
        reshape: { id, kind: 'split', source: 0, target: 2, state: 'none', part: 0 },
      },
      { ...all, partition: 1, slots: 2048, ranges: [{ start: 2048, end: 4096 }] },
    ],
    retired: [],
  });
});
