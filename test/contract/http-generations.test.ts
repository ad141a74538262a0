// A log that was carried on by another one, as clients see it: positions of the two are not the same ones, whoever has
// heard of the newer one and whoever has not. One replica and one gateway stay behind here, on the log before.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TopologyStore } from '@statestore/cluster';
import { MemoryNodeRegistry, MemoryTopologyStore } from '@statestore/cluster';
import { evenTopology, type Topology } from '@statestore/core';
import { openClusterGateway } from '@statestore/gateway';
import { connectLink, serveLink, type NodeService } from '@statestore/link';
import { openClusterNode } from '@statestore/node';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { MemoryLogs } from '../../services/node/src/testing/memory-logs.ts';

let closers: (() => Promise<unknown>)[];
let folder: string;
let topologyStore: MemoryTopologyStore;
let registry: MemoryNodeRegistry;
let logs: MemoryLogs;
/** Of a gateway that follows the topology, and of one that stays with the first. */
let newer: string;
let older: string;
/** Of an answer that told of position 6 of the first log, which the second one carries on after 5. */
let lostToken: string;
/** Of a watch that has seen nothing but the first write. */
let firstCursor: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-generations-'));
  closers = [() => rm(folder, { recursive: true, force: true })];
  topologyStore = new MemoryTopologyStore();
  registry = new MemoryNodeRegistry();
  logs = new MemoryLogs();
  await startNode('a', stayingBehind());
  const b = await startNode('b', topologyStore);
  const log = await logs.create({ partition: 0, generation: 1, replicas: 1 });
  const first = evenTopology(1, ['a', 'b']);
  const place = (topology: Topology, named: typeof log): Topology => ({
    ...topology,
    partitions: topology.partitions.map((placement) => ({ ...placement, log: named })),
  });
  await topologyStore.replace(place(first, log));
  older = await startGateway(stayingBehind());
  await put(older, 'k1');
  firstCursor = await cursorAfter(older, 'k2', () => put(older, 'k2'));
  await put(older, 'k3');
  await putTogether(older, ['{g}a', '{g}b', '{g}c', '{g}d']);
  await put(older, 'k5');
  const five = await vi.waitFor(async () => {
    const reports = await registry.list();
    const [one, other] = reports.map(({ replicas }) => replicas[0]!);
    expect([one?.appliedPosition, other?.appliedPosition, other?.storedPosition]).toEqual(['5', '5', '5']);
    return one!;
  }, 10_000);
  await b();
  lostToken = await put(older, 'k6');
  const continues = { incarnation: log.incarnation, position: 5n, chain: five.chain };
  const next = await logs.create({ partition: 0, generation: 2, replicas: 1, first: 6n, continues });
  await topologyStore.replace({ ...place(first, next), epoch: 2n });
  await startNode('b', topologyStore);
  newer = await startGateway(topologyStore);
  await vi.waitFor(async () => {
    const replica = (await registry.list()).find(({ name }) => name === 'b')?.replicas[0];
    expect([replica?.state, replica?.incarnation]).toEqual(['running', next.incarnation]);
  }, 10_000);
});
afterEach(async () => {
  for (const close of closers.toReversed()) await close();
});

/** Never tells of more than the first topology. */
function stayingBehind(): TopologyStore {
  const isFirst = (topology: Topology): boolean => topology.epoch === 1n;
  let last: Topology | undefined;
  return {
    replace: (topology) => topologyStore.replace(topology),
    restore: (topology) => topologyStore.restore(topology),
    secret: () => topologyStore.secret(),
    async read() {
      const topology = await topologyStore.read();
      if (topology !== undefined && isFirst(topology)) last = topology;
      return last;
    },
    watch: (onTopology) =>
      topologyStore.watch((topology) => {
        if (isFirst(topology)) onTopology(topology);
      }),
  };
}

/** Resolves with how to stop it. */
async function startNode(name: string, store: TopologyStore): Promise<() => Promise<void>> {
  const service: { of?: NodeService } = {};
  const forwarding = new Proxy({} as NodeService, {
    get:
      (_, method) =>
      (...args: unknown[]) =>
        (Reflect.get(service.of!, method) as (...args: unknown[]) => unknown).apply(service.of, args),
  });
  const server = await serveLink({ service: forwarding, host: '127.0.0.1', port: 0 });
  const node = await openClusterNode({
    cluster: 'http',
    name,
    zone: '',
    address: `127.0.0.1:${server.port}`,
    dataPath: join(folder, name),
    engine: 'lmdb',
    version: '0.0.0',
    topologyStore: store,
    registry,
    logStreams: logs,
    openLog: (partition, log) => logs.open(partition, log),
    recoverLog: () => Promise.reject(new Error('a person does it')),
    readDisk: () => Promise.resolve({ freeBytes: 80e9, totalBytes: 100e9 }),
    connectionState: { connected: true, onChange: () => () => undefined },
    connectPeer: (address) => connectLink({ host: '127.0.0.1', port: Number(address.split(':')[1]) }),
    onFatal: (reason) => {
      throw reason;
    },
  });
  service.of = node.node;
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= node.close().then(() => server.close()));
  closers.push(stop);
  return stop;
}

async function startGateway(store: TopologyStore): Promise<string> {
  const timing = { readMs: 1500, proposeMs: 3000 };
  const opened = await openClusterGateway({
    topologyStore: store,
    nodeRegistry: registry,
    version: '0.0.0',
    timing,
    // `fetch` opens connections ahead of need, which are waited for.
    timeouts: { closeMs: 200 },
  });
  closers.push(() => opened.close());
  const url = await opened.gateway.app.listen({ host: '127.0.0.1', port: 0 });
  return `${url}/v1/stores/s`;
}

const tokenHeader = 'StateStore-Session';

/** Resolves with the token of the answer. */
async function put(gateway: string, key: string): Promise<string> {
  const answer = await fetch(`${gateway}/keys/${key}`, { method: 'PUT', body: 'v' });
  expect(answer.status).toBe(201);
  return answer.headers.get(tokenHeader)!;
}

/** In one position. */
async function putTogether(gateway: string, keys: readonly string[]): Promise<void> {
  const operations = keys.map((key) => ({ op: 'put', key, value: 'v' }));
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ operations });
  const answer = await fetch(`${gateway}/transactions`, { method: 'POST', headers, body });
  expect(answer.status).toBe(200);
}

async function get(gateway: string, key: string, token: string): Promise<Response> {
  return fetch(`${gateway}/keys/${key}`, { headers: { [tokenHeader]: token } });
}

test('what a session was told of the log before holds nothing up beyond what was kept of it', async () => {
  const beganMs = performance.now();
  const found = await get(newer, 'k5', lostToken);
  expect(found.status).toBe(200);
  expect(performance.now() - beganMs).toBeLessThan(1000);
  expect((await get(newer, 'k6', lostToken)).status).toBe(404);
  // From now on it is a session of the newer log.
  const token = found.headers.get(tokenHeader)!;
  expect([lostToken, token]).toEqual(['1.0-6', '1.0-5-2']);
});

test('a replica that still follows the log before takes no write of a gateway that knows better, and answers no read', async () => {
  const token = await put(newer, 'new');
  expect(token).toBe('1.0-6-2');
  expect((await get(newer, 'new', token)).status).toBe(200);
  const strong = await fetch(`${newer}/keys/new?consistency=strong`);
  expect(strong.status).toBe(200);
  expect((await logs.describe(0, 1))?.last).toBe(6n);
});

test('a session of the newer log gets no answer of the log before, but is told to come again', async () => {
  const token = await put(newer, 'new');
  const answer = await get(older, 'new', token);
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({ code: 'unavailable' });
});

test('a watch of the log before goes on after what was kept of it, and sees each change of the newer one', async () => {
  const cursor = await cursorAfter(older, 'k7', () => put(older, 'k7'));
  const seen = follow(newer, cursor);
  await put(newer, 'new');
  await vi.waitFor(() => expect(seen.keys).toEqual(['new']), 5000);
  seen.stop();
});

test('a watch in the middle of a position that was kept goes on in the middle of it', async () => {
  const cursor = await cursorAfter(older, '{g}b', () => Promise.resolve(), firstCursor);
  const seen = follow(newer, cursor);
  await put(newer, 'new');
  await vi.waitFor(() => expect(seen.keys).toContain('new'), 5000);
  seen.stop();
  expect(seen.keys).toEqual(['{g}c', '{g}d', 'k5', 'new']);
});

test('a watch in the middle of a position that was lost sees all of what the newer log has there', async () => {
  const cursor = await cursorAfter(older, '{h}a', () => putTogether(older, ['{h}a', '{h}b']));
  const seen = follow(newer, cursor);
  await put(newer, 'new');
  await putTogether(newer, ['{i}a', '{i}b']);
  await vi.waitFor(() => expect(seen.keys).toContain('{i}b'), 5000);
  seen.stop();
  expect(seen.keys).toEqual(['new', '{i}a', '{i}b']);
});

/** Right after this key, which `act` writes, as a watch tells of it. */
/* oxlint-disable-next-line max-params -- what is watched, and from where */
async function cursorAfter(gateway: string, key: string, act: () => Promise<unknown>, from?: string): Promise<string> {
  const watching = follow(gateway, from);
  await vi.waitFor(() => expect(watching.ids.length).toBeGreaterThan(0), 5000);
  await act();
  await vi.waitFor(() => expect(watching.keys).toContain(key), 5000);
  watching.stop();
  // The first one is that of `ready`.
  return watching.ids[watching.keys.indexOf(key) + 1]!;
}

function follow(gateway: string, cursor?: string): { keys: string[]; ids: string[]; stop: () => void } {
  const gone = new AbortController();
  const seen = { keys: [] as string[], ids: [] as string[], stop: () => gone.abort() };
  closers.push(async () => gone.abort());
  const query = cursor === undefined ? '' : `?cursor=${encodeURIComponent(cursor)}`;
  void (async () => {
    const { body } = await fetch(`${gateway}/watch${query}`, { signal: gone.signal });
    let text = '';
    for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      seen.keys = [...text.matchAll(/"key":"([^"]+)"/g)].map(([, key]) => key!);
      seen.ids = [...text.matchAll(/^id: (.+)$/gm)].map(([, id]) => id!);
    }
  })().catch(() => undefined);
  return seen;
}
