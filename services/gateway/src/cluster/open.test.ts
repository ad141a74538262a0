// A gateway of a cluster from its start to its end: waiting for a topology, following it, what it tells of
// itself while nodes are away, and stopping at any moment.
import { MemoryNodeRegistry, MemoryTopologyStore, type NodeReport } from '@statestore/cluster';
import { evenTopology, StateStoreError, type Topology } from '@statestore/core';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeNode } from '../testing/fake-node.ts';
import type { NodeLink } from './member.ts';
import { type ClusterGateway, type ClusterGatewayOptions, openClusterGateway } from './open.ts';
import { replicaReport } from './testing/fake-links.ts';

const partitions = 2;
const nodes = ['a', 'b', 'c'];

/** What all replicas hold, and how one gets there. */
let node: FakeNode;
let links: Map<string, { openConnections: number; closed: boolean; hangs: boolean }>;
let store: MemoryTopologyStore;
let registry: MemoryNodeRegistry;
let opened: ClusterGateway | undefined;

beforeEach(() => {
  node = new FakeNode(partitions);
  links = new Map();
  store = new MemoryTopologyStore();
  registry = new MemoryNodeRegistry();
});
afterEach(async () => {
  await opened?.close();
  opened = undefined;
});

function connect(address: string): NodeLink {
  const state = { openConnections: 2, closed: false, hangs: false };
  links.set(address.slice(0, 1), state);
  return new Proxy(node, {
    get(target, name) {
      if (name === 'openConnections') return state.openConnections;
      if (name === 'silentMs' || name === 'inFlight') return 0;
      if (name === 'close') return async () => void Object.assign(state, { closed: true, openConnections: 0 });
      if (state.hangs) return () => new Promise(() => {});
      const method: unknown = Reflect.get(target, name);
      return typeof method === 'function' ? (method as () => unknown).bind(target) : method;
    },
  }) as unknown as NodeLink;
}

async function report(name: string, more: Partial<NodeReport> = {}): Promise<void> {
  await registry.report({
    name,
    address: `${name}:1`,
    zone: 'z',
    version: '1.2.3',
    boot: uuid('a'),
    count: 1,
    epoch: '1',
    draining: false,
    disk: { freeBytes: 1, totalBytes: 2 },
    replicas: Array.from({ length: partitions }, (_, partition) => replicaReport(partition)),
    ...more,
  });
}
const uuid = (digit: string): string => `00000000-0000-4000-8000-00000000000${digit}`;
const continues = { incarnation: uuid('1'), position: 2n ** 60n, chain: 'c'.repeat(32) };
const log = { generation: 2, incarnation: uuid('2'), continues };
const topology = (epoch: bigint, replicas: readonly string[]): Topology => ({
  epoch,
  partitions: evenTopology(partitions, replicas).partitions.map((placement) => ({ ...placement, joining: ['d'], log })),
});

async function open(more: Partial<ClusterGatewayOptions> = {}): Promise<ClusterGateway> {
  opened = await openClusterGateway({
    topologyStore: store,
    nodeRegistry: registry,
    version: '0.0.0',
    connect,
    timing: { statusMs: 100, refreshMs: 1 },
    ...more,
  });
  return opened;
}
async function openWithAll(more: Partial<ClusterGatewayOptions> = {}): Promise<ClusterGateway> {
  await store.replace(topology(1n, nodes));
  for (const name of nodes) await report(name);
  const it = await open(more);
  await expect.poll(() => links.size).toBe(nodes.length);
  return it;
}
const get = (url: string) => opened!.gateway.app.inject({ method: 'GET', url });
const put = (key: string) =>
  opened!.gateway.app.inject({ method: 'PUT', url: `/v1/stores/s/keys/${key}`, payload: 'x' });

describe('opening', () => {
  test('waits for a topology; nodes may come later', async () => {
    let here = false;
    const opening = open().then(() => (here = true));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(here).toBe(false);
    await store.replace(topology(1n, nodes));
    await opening;
    expect((await get('/readyz')).statusCode).toBe(503);
    const write = put('k');
    for (const name of nodes) await report(name);
    expect((await write).statusCode).toBe(201);
    expect((await get('/readyz')).statusCode).toBe(200);
  });

  test('can be ended while it waits', async () => {
    const ended = new AbortController();
    const opening = open({ signal: ended.signal });
    ended.abort();
    await expect(opening).rejects.toMatchObject({ code: 'shutting_down' });
    await expect(open({ signal: ended.signal })).rejects.toMatchObject({ code: 'shutting_down' });
    await store.replace(topology(1n, nodes));
    await report('a');
    // Nobody listens any more.
    expect(links.size).toBe(0);
  });

  test('waits for the secret too', async () => {
    const secret = store.secret.bind(store);
    let asked = 0;
    store.secret = async () => {
      if (asked++ === 0) throw Object.assign(new Error('not a StateStoreError'));
      return secret();
    };
    await store.replace(topology(1n, nodes));
    await expect(open()).rejects.toThrow('not a StateStoreError');
    await open();
    expect(asked).toBe(2);
  });
});

describe('an open gateway', () => {
  test('is ready while each partition has a replica that runs, and names those that have none', async () => {
    await openWithAll();
    expect((await get('/readyz')).statusCode).toBe(200);
    links.get('a')!.openConnections = 0;
    links.get('b')!.hangs = true;
    expect((await get('/readyz')).statusCode).toBe(200);
    links.get('c')!.openConnections = 0;
    const startedMs = performance.now();
    const answer = await get('/readyz');
    expect(answer.statusCode).toBe(503);
    expect(answer.json()).toMatchObject({ code: 'unavailable', partitions: [0, 1] });
    expect(performance.now() - startedMs).toBeLessThan(1000);
    links.get('c')!.openConnections = 2;
    node.states.set(1, { state: 'halted', reason: 'its disk' });
    expect((await get('/readyz')).json()).toMatchObject({
      detail: expect.stringContaining('1 is halted (its disk)') as string,
      partitions: [1],
    });
  });

  test('shows the topology: replicas, those that join, logs, and the nodes', async () => {
    await openWithAll();
    await report('d', { draining: true, replicas: [replicaReport(0, { state: 'copying', lag: 7 })] });
    await expect.poll(async () => (await get('/v1/topology')).json().nodes.length).toBe(4);
    const shown = (await get('/v1/topology')).json();
    expect(shown).toMatchObject({
      epoch: '1',
      partitions: [
        {
          partition: 0,
          replicas: nodes,
          joining: ['d'],
          log: { generation: 2, continues: { position: '1152921504606846976' } },
        },
        { partition: 1 },
      ],
    });
    expect(shown.nodes.find(({ name }: { name: string }) => name === 'd')).toEqual({
      name: 'd',
      address: 'd:1',
      zone: 'z',
      version: '1.2.3',
      live: true,
      connected: true,
      draining: true,
      replicas: [{ partition: 0, state: 'copying', reason: '', appliedPosition: '0', storedPosition: '0', lag: 7 }],
    });
  });

  test('exports metrics of the routing, and does not wait for nodes that are away', async () => {
    const own = new Registry();
    await openWithAll({ registry: own });
    expect((await put('k')).statusCode).toBe(201);
    links.get('a')!.openConnections = 0;
    links.get('b')!.hangs = true;
    const startedMs = performance.now();
    const { payload } = await get('/metrics');
    expect(performance.now() - startedMs).toBeLessThan(1000);
    expect(payload).toMatch(/^state_gateway_attempts_total\{kind="write",outcome="ok"\} 1$/m);
    expect(payload).toMatch(/^state_gateway_node_connections\{node="a"\} 0$/m);
    expect(payload).toMatch(/^state_gateway_node_connections\{node="c"\} 2$/m);
    expect(payload).toMatch(/^state_gateway_node_live\{node="a"\} 1$/m);
    for (const name of ['failovers_total', 'hedges_total', 'retry_rounds_total', 'failover_duration_seconds_count']) {
      expect(payload).toContain(`state_gateway_${name}`);
    }
    expect(await own.metrics()).toContain('state_gateway_attempts_total');
  });

  test('follows the topology; one that cannot be is left aside, and told of', async () => {
    const errors: string[] = [];
    let tell: (topology: Topology) => void = () => undefined;
    const watch = store.watch.bind(store);
    store.watch = (onTopology) => {
      tell = onTopology;
      return watch(onTopology);
    };
    await openWithAll({ log: { error: (_details, message) => void errors.push(message) } });
    await store.replace(topology(2n, ['c']));
    await expect.poll(async () => (await get('/v1/topology')).json().epoch).toBe('2');
    links.get('c')!.openConnections = 0;
    expect((await get('/readyz')).statusCode).toBe(503);
    tell({ epoch: 3n, partitions: [{ partition: 0, slots: [{ start: 0, end: 1 }], replicas: ['a'] }] });
    expect(errors.length).toBe(1);
    expect((await get('/v1/topology')).json().epoch).toBe('2');
    await store.replace(topology(3n, nodes));
    await expect.poll(async () => (await get('/readyz')).statusCode).toBe(200);
  });

  test('looks for a newer topology when a node says moved, though its watch is late', async () => {
    await openWithAll();
    const late = topology(2n, ['b']);
    // The watch tells of nothing any more; reading does.
    store.read = () => Promise.resolve(late);
    const propose = node.propose.bind(node);
    let moved = 0;
    node.propose = (partition, command) => {
      if (moved++ < 3) return Promise.reject(new StateStoreError('moved', 'the test says so'));
      return propose(partition, command);
    };
    expect((await put('k')).statusCode).toBe(201);
    await expect.poll(async () => (await get('/v1/topology')).json().epoch).toBe('2');
  });

  test('closes everything, once', async () => {
    const it = await openWithAll();
    await Promise.all([it.close(), it.close()]);
    expect([...links.values()].every(({ closed }) => closed)).toBe(true);
    await store.replace(topology(2n, ['e']));
    await report('e');
    expect(links.size).toBe(3);
  });
});
