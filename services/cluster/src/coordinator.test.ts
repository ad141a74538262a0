import type { Topology } from '@statestore/core';
import { evenTopology, limits } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryLogs } from '../../node/src/testing/memory-logs.ts';
import { Coordinator } from './coordinator.ts';
import { FaultyStore, ManualClock, SimNode, settled, topologyStoreOver } from './coordinator.testing.ts';
import { MemoryNodeRegistry } from './memory-node-registry.ts';

let clock: ManualClock;
let registry: MemoryNodeRegistry;
let logs: MemoryLogs;
let store: FaultyStore;
let nodes: SimNode[];
let coordinator: Coordinator;

beforeEach(() => {
  clock = new ManualClock();
  registry = new MemoryNodeRegistry({ clock });
  logs = new MemoryLogs();
  store = new FaultyStore(
    () => 0.99,
    () => {},
  );
  nodes = ['n1', 'n2', 'n3'].map((name) => new SimNode(name));
  coordinator = make();
});
afterEach(() => coordinator.close());

function make(giveUpAfterMs?: number): Coordinator {
  const options = { topologyStore: topologyStoreOver(store), registry, logStreams: logs, clock };
  return new Coordinator({ ...options, ...(giveUpAfterMs === undefined ? {} : { giveUpAfterMs }) });
}

/** Nodes act on the topology and report, and a second passes. */
async function second(): Promise<void> {
  for (const node of nodes) {
    if (store.present !== undefined) node.follow(store.present, nodes);
    if (node.up) await registry.report(node.report());
  }
  await clock.advance(1000);
}

const wish = { partitions: 6, replicationFactor: 3, logReplicas: 3 };

async function initialised(options = wish): Promise<Topology> {
  const never = new AbortController().signal;
  const making = coordinator.initialise(options, { signal: never });
  for (let i = 0; i < 4; i++) await second();
  const { topology } = await making;
  await second();
  return topology;
}

/** Steps until there is nothing to do; what they did, and what they waited for. */
async function run(secondsMax = 200): Promise<{ readonly kinds: string[]; readonly waits: Set<string> }> {
  const kinds: string[] = [];
  const waits = new Set<string>();
  for (let i = 0; i < secondsMax; i++) {
    const outcome = await coordinator.step();
    if (outcome.kind === 'done') return { kinds, waits };
    if (outcome.kind === 'changed')
      kinds.push(...outcome.steps.map(({ kind, partition, node }) => `${kind} ${partition} ${node}`));
    else waits.add(outcome.for);
    await second();
  }
  return { kinds, waits: new Set([...waits, 'it was not done in the end']) };
}

function loads(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { replicas } of store.present!.partitions)
    for (const node of replicas) counts[node] = (counts[node] ?? 0) + 1;
  return counts;
}

describe('initialising', () => {
  test('makes logs and a topology of the nodes that are there', async () => {
    const topology = await initialised();
    expect(topology).toMatchObject({ epoch: 1n, spec: { replicationFactor: 3, logReplicas: 3, drained: [] } });
    expect(loads()).toEqual({ n1: 6, n2: 6, n3: 6 });
    for (const { partition, log } of topology.partitions) {
      expect((await logs.describe(partition, 1))?.log).toEqual(log);
    }
    expect(await coordinator.step()).toEqual({ kind: 'done' });
  });

  test('waits for nodes that say something new: what is left of others does not count', async () => {
    for (const name of ['old1', 'old2', 'old3']) await registry.report(new SimNode(name).report());
    const topology = await initialised();
    expect(new Set(topology.partitions.flatMap(({ replicas }) => replicas))).toEqual(new Set(['n1', 'n2', 'n3']));
  });

  test('gives up when it is told to, saying who is there', async () => {
    nodes.pop();
    const giveUp = new AbortController();
    const making = coordinator.initialise(wish, { signal: giveUp.signal });
    for (let i = 0; i < 4; i++) await second();
    giveUp.abort();
    await expect(making).rejects.toMatchObject({ code: 'unavailable', message: '2 of 3 nodes are there: n1, n2' });
    expect(await logs.describe(0, 1)).toBeUndefined();
  });

  test('by two at once makes one', async () => {
    const other = make();
    const never = new AbortController().signal;
    const both = Promise.all([
      coordinator.initialise(wish, { signal: never }),
      other.initialise(wish, { signal: never }),
    ]);
    for (let i = 0; i < 6; i++) await second();
    const outcomes = await both;
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['initialised', 'present']);
    expect(outcomes[0].topology).toEqual(outcomes[1].topology);
    await other.close();
  });

  test('goes on after it was interrupted', async () => {
    logs.create = new Proxy(logs.create.bind(logs), {
      apply: (create, _, [log]: [Parameters<MemoryLogs['create']>[0]]) =>
        log.partition === 3 ? Promise.reject(new Error('killed')) : create(log),
    });
    await expect(
      Promise.all([coordinator.initialise(wish, { signal: new AbortController().signal }), ticking(4)]),
    ).rejects.toThrow('killed');
    logs.create = MemoryLogs.prototype.create.bind(logs);
    const made = await logs.describe(0, 1);
    const topology = await initialised();
    expect(topology.partitions[0]!.log).toEqual(made!.log);
  });

  test('changes nothing where there is one', async () => {
    await initialised();
    expect(
      await coordinator.initialise({ ...wish, partitions: 9 }, { signal: new AbortController().signal }),
    ).toMatchObject({
      kind: 'present',
      topology: { epoch: 1n },
    });
  });

  test('is refused where nodes remember another topology, and where logs have records', async () => {
    const remembering = new SimNode('n9');
    const lastTopology = { ...evenTopology(1, ['n9']), epoch: 7n };
    await registry.report({ ...remembering.report(), lastTopology });
    const signal = new AbortController().signal;
    const first = coordinator.initialise(wish, { signal });
    await Promise.all([expect(first).rejects.toMatchObject({ code: 'data_format' }), ticking(4)]);
    await registry.remove('n9');
    const log = await logs.create({ partition: 2, generation: 1, replicas: 3 });
    await (await logs.open(2, log)).append(Buffer.from('a'));
    const second = coordinator.initialise(wish, { signal });
    await Promise.all([expect(second).rejects.toMatchObject({ code: 'data_format' }), ticking(4)]);
  });

  test.each([{ partitions: 0 }, { replicationFactor: 0 }, { logReplicas: 2 }])('refuses %o', async (wrong) => {
    const signal = new AbortController().signal;
    await expect(coordinator.initialise({ ...wish, ...wrong }, { signal })).rejects.toMatchObject({
      code: 'invalid_settings',
    });
  });

  async function ticking(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i++) await second();
  }
});

describe('moves', () => {
  test('a new node gets its share: joins, serves, and only then another one goes', async () => {
    await initialised();
    nodes.push(new SimNode('n4'));
    await second();
    await second();
    const { kinds, waits } = await run();
    expect(loads()).toEqual({ n1: 5, n2: 5, n3: 4, n4: 4 });
    expect([...waits].join()).not.toContain('not done');
    for (const [at, kind] of kinds.entries()) {
      if (!kind.startsWith('remove')) continue;
      const partition = kind.split(' ')[1];
      expect(kinds.slice(0, at).some((each) => each === `promote ${partition} n4`)).toBe(true);
    }
    expect(kinds.filter((kind) => kind.startsWith('join'))).toHaveLength(4);
  });

  test('a node builds two replicas at a time', async () => {
    await initialised({ ...wish, partitions: 40 });
    const late = new SimNode('n4');
    late.copyTurns = 1000;
    nodes.push(late);
    for (let i = 0; i < 5; i++) {
      await second();
      await coordinator.step();
    }
    const joining = store.present!.partitions.filter((each) => each.joining !== undefined);
    expect(joining).toHaveLength(limits.joinsPerNodeMax);
    for (const { leaving } of joining) expect(leaving).toHaveLength(1);
    const outcome = await coordinator.step();
    expect(outcome).toMatchObject({ kind: 'waiting' });
    expect(JSON.stringify(outcome)).toContain('is copying');
  });

  test('a drained node gives everything away and gets nothing, until it is undrained', async () => {
    nodes.push(new SimNode('n4'));
    await initialised();
    await coordinator.drain('n2');
    expect((await coordinator.drain('n2')).changed).toBe(false);
    await run();
    expect(loads()).toEqual({ n1: 6, n3: 6, n4: 6 });
    await coordinator.undrain('n2');
    await run();
    expect(Object.values(loads()).sort((a, b) => a - b)).toEqual([4, 4, 5, 5]);
  });

  test('a node that asks for it itself is drained as well', async () => {
    nodes.push(new SimNode('n4'));
    await initialised();
    nodes[1]!.draining = true;
    await second();
    await run();
    expect(loads()).toEqual({ n1: 6, n3: 6, n4: 6 });
  });

  test('a drain that nobody can take waits, and says for whom', async () => {
    await initialised();
    await coordinator.drain('n2');
    const { kinds } = await run(5);
    expect(kinds.filter((kind) => !kind.startsWith('prefer'))).toEqual([]);
    const outcome = await coordinator.step();
    expect(outcome).toMatchObject({ kind: 'waiting' });
    expect(JSON.stringify(outcome)).toContain('has 2 of 3 replicas, beside those on n2: there are not enough nodes');
  });

  test('one replica is moved by hand', async () => {
    nodes.push(new SimNode('n4'));
    await initialised();
    const { partition, replicas } = store.present!.partitions.find((each) => !each.replicas.includes('n4'))!;
    await coordinator.moveReplica({ partition, from: replicas[1]!, to: 'n4' });
    expect((await coordinator.moveReplica({ partition, from: replicas[1]!, to: 'n4' })).changed).toBe(false);
    const { kinds } = await run();
    expect(kinds).toContain(`promote ${partition} n4`);
    expect(kinds).toContain(`remove ${partition} ${replicas[1]}`);
  });

  test.each<[string, { partition: number; from: string; to: string }]>([
    ['there is no partition 99', { partition: 99, from: 'n1', to: 'n2' }],
    ['has no replica of partition 0', { partition: 0, from: 'n9', to: 'n1' }],
    ['has a replica of partition 0 already', { partition: 0, from: 'n1', to: 'n2' }],
    ['node n9 is not there', { partition: 0, from: 'n1', to: 'n9' }],
  ])('a move is refused: %s', async (why, move) => {
    await initialised();
    await expect(coordinator.moveReplica(move)).rejects.toMatchObject({ code: 'invalid_parameter' });
    await expect(coordinator.moveReplica(move)).rejects.toThrow(why);
  });

  test('more replicas, and fewer', async () => {
    nodes.push(new SimNode('n4'), new SimNode('n5'));
    await initialised();
    await coordinator.setReplicationFactor(5);
    await run();
    expect(Object.values(loads())).toEqual([6, 6, 6, 6, 6]);
    await coordinator.setReplicationFactor(2);
    await run();
    expect(Object.values(loads()).sort((a, b) => a - b)).toEqual([2, 2, 2, 3, 3]);
  });

  test('a replica that says what it said of an earlier epoch is not promoted', async () => {
    await initialised();
    const back = new SimNode('n4');
    nodes.push(back);
    await second();
    // It held partition 0 once, has let go of it since, and has not heard of the topology yet.
    const log = store.present!.partitions[0]!.log!;
    back.replicas.set(0, { log, missing: 0 });
    back.epoch = 1n;
    await registry.report(back.report());
    await coordinator.moveReplica({ partition: 0, from: store.present!.partitions[0]!.replicas[0]!, to: 'n4' });
    await registry.report(back.report());
    await clock.advance(100);
    for (const node of nodes.slice(0, 3)) {
      node.follow(store.present!, nodes);
      await registry.report(node.report());
    }
    await clock.advance(100);
    const outcome = await coordinator.step();
    expect(
      JSON.stringify(outcome, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    ).not.toContain('promote');
    expect(store.present!.partitions[0]!.joining).toEqual(['n4']);
  });
});

describe('nodes that fail', () => {
  test('a silent node keeps its replicas; others are preferred', async () => {
    nodes.push(new SimNode('n4'));
    await initialised();
    nodes[0]!.stop();
    for (let i = 0; i < 6; i++) await second();
    const before = loads();
    const { kinds } = await run();
    expect(kinds.every((kind) => kind.startsWith('prefer'))).toBe(true);
    expect(loads()).toEqual(before);
    expect(store.present!.partitions.every(({ replicas }) => replicas[0] !== 'n1')).toBe(true);
  });

  test('a node that is given up is replaced, on request at once, by itself after a while', async () => {
    nodes.push(new SimNode('n4'));
    await initialised();
    nodes[0]!.destroy(clock.elapsedMs());
    for (let i = 0; i < 6; i++) await second();
    await coordinator.drain('n1');
    await run();
    expect(loads()).toEqual({ n2: 6, n3: 6, n4: 6 });
    await coordinator.forget('n1');
    expect(store.present!.spec?.drained).toEqual([]);
    expect((await registry.list()).map(({ name }) => name).sort()).toEqual(['n2', 'n3', 'n4']);

    nodes.push(new SimNode('n5'));
    await second();
    await second();
    await run();
    await coordinator.close();
    coordinator = make(60_000);
    await second();
    nodes[1]!.destroy(clock.elapsedMs());
    for (let i = 0; i < 30; i++) await second();
    await run(1);
    expect(loads()['n2']).toBeGreaterThan(0);
    for (let i = 0; i < 40; i++) await second();
    await run();
    expect(loads()).toEqual({ n3: 6, n4: 6, n5: 6 });
  });

  test('a live replica does not go while one of those that stay is silent', async () => {
    nodes.push(new SimNode('n4'));
    await initialised();
    await coordinator.moveReplica({
      partition: 0,
      from: store.present!.partitions[0]!.replicas[0]!,
      to: nodes.find(({ name }) => !store.present!.partitions[0]!.replicas.includes(name))!.name,
    });
    const { replicas, leaving } = store.present!.partitions[0]!;
    nodes.find(({ name }) => name === replicas.find((each) => !leaving!.includes(each)))!.stop();
    for (let i = 0; i < 10; i++) {
      await second();
      await coordinator.step();
    }
    expect(store.present!.partitions[0]!.replicas).toHaveLength(4);
    const outcome = await coordinator.step();
    expect(JSON.stringify(outcome)).toMatch(/partition 0 cannot leave n\d: node n\d is silent/);
    for (const node of nodes) node.start();
    await second();
    await run();
    expect(store.present!.partitions[0]!.replicas).toHaveLength(3);
  });

  test('a node is not forgotten while it lives or holds anything', async () => {
    await initialised();
    await expect(coordinator.forget('n1')).rejects.toThrow('is live');
    nodes[0]!.stop();
    for (let i = 0; i < 6; i++) await second();
    await expect(coordinator.forget('n1')).rejects.toThrow('still holds');
  });

  test('a registry that lost everything is no reason to give up anybody', async () => {
    await initialised();
    for (const { name } of nodes) await registry.remove(name);
    await coordinator.close();
    coordinator = make(60_000);
    await settled();
    expect(await coordinator.step()).toEqual({ kind: 'waiting', for: 'reports of nodes' });
    nodes.push(new SimNode('n4'));
    await registry.report(nodes[3]!.report());
    await registry.report(nodes[3]!.report());
    await clock.advance(100);
    await run(3);
    expect(loads()).toEqual({ n1: 6, n2: 6, n3: 6 });
  });
});

describe('what is waited for', () => {
  test('a topology, and news of every node that is there', async () => {
    expect(await coordinator.step()).toEqual({ kind: 'waiting', for: 'a topology: the cluster has none' });
    await initialised();
    const fresh = make();
    await clock.advance(100);
    expect(await fresh.step()).toEqual({ kind: 'waiting', for: 'news of n1, n2, n3' });
    await second();
    expect(await fresh.step()).toEqual({ kind: 'done' });
    await fresh.close();
  });

  test('a store that is away, and changes of others', async () => {
    await initialised();
    await coordinator.drain('n1');
    store.faults = { refused: 1, unknown: 0, stale: 0 };
    expect(await coordinator.step()).toEqual({ kind: 'waiting', for: 'the store is away' });
  });

  test('a document that nobody can read is an error', async () => {
    await initialised();
    const broken = new Coordinator({
      topologyStore: { ...topologyStoreOver(store), read: async () => evenTopology(1, ['n1']) },
      registry,
      logStreams: logs,
      clock,
    });
    await second();
    await second();
    await expect(broken.step()).rejects.toMatchObject({ code: 'invalid_settings' });
    await broken.close();
  });
});
