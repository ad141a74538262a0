import { evenTopology, limits } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryLogs } from '../../node/src/testing/memory-logs.ts';
import { CoordinatedWorld, wish } from './coordinator-world.testing.ts';
import { Coordinator } from './coordinator.ts';
import { SimNode, settled, topologyStoreOver } from './coordinator.testing.ts';

let world: CoordinatedWorld<MemoryLogs>;

beforeEach(() => {
  world = new CoordinatedWorld(new MemoryLogs());
});
afterEach(() => world.coordinator.close());

describe('moves', () => {
  test('a new node gets its share: joins, serves, and only then another one goes', async () => {
    await world.initialised();
    world.nodes.push(new SimNode('n4'));
    await world.second();
    await world.second();
    const { kinds, waits } = await world.run();
    expect(world.loads()).toEqual({ n1: 5, n2: 5, n3: 4, n4: 4 });
    expect([...waits].join()).not.toContain('not done');
    for (const [at, kind] of kinds.entries()) {
      if (!kind.startsWith('remove')) continue;
      const partition = kind.split(' ')[1];
      expect(kinds.slice(0, at).some((each) => each === `promote ${partition} n4`)).toBe(true);
    }
    expect(kinds.filter((kind) => kind.startsWith('join'))).toHaveLength(4);
  });

  test('a node builds two replicas at a time', async () => {
    await world.initialised({ ...wish, partitions: 40 });
    const late = new SimNode('n4');
    late.copyTurns = 1000;
    world.nodes.push(late);
    for (let i = 0; i < 5; i++) {
      await world.second();
      await world.coordinator.step();
    }
    const joining = world.topology.partitions.filter((each) => each.joining !== undefined);
    expect(joining).toHaveLength(limits.joinsPerNodeMax);
    for (const { leaving } of joining) expect(leaving).toHaveLength(1);
    const outcome = await world.coordinator.step();
    expect(outcome).toMatchObject({ kind: 'waiting' });
    expect(JSON.stringify(outcome)).toContain('is copying');
  });

  test('a drained node gives everything away and gets nothing, until it is undrained', async () => {
    world.nodes.push(new SimNode('n4'));
    await world.initialised();
    await world.coordinator.drain('n2');
    expect((await world.coordinator.drain('n2')).changed).toBe(false);
    await world.run();
    expect(world.loads()).toEqual({ n1: 6, n3: 6, n4: 6 });
    await world.coordinator.undrain('n2');
    await world.run();
    expect(Object.values(world.loads()).sort((a, b) => a - b)).toEqual([4, 4, 5, 5]);
  });

  test('a node that asks for it itself is drained as well', async () => {
    world.nodes.push(new SimNode('n4'));
    await world.initialised();
    world.nodes[1]!.draining = true;
    await world.second();
    await world.run();
    expect(world.loads()).toEqual({ n1: 6, n3: 6, n4: 6 });
  });

  test('a drain that nobody can take waits, and says for whom', async () => {
    await world.initialised();
    await world.coordinator.drain('n2');
    const { kinds } = await world.run(5);
    expect(kinds.filter((kind) => !kind.startsWith('prefer'))).toEqual([]);
    const outcome = await world.coordinator.step();
    expect(outcome).toMatchObject({ kind: 'waiting' });
    expect(JSON.stringify(outcome)).toContain('has 2 of 3 replicas, beside those on n2: there are not enough nodes');
  });

  test('one replica is moved by hand', async () => {
    world.nodes.push(new SimNode('n4'));
    await world.initialised();
    const { partition, replicas } = world.topology.partitions.find((each) => !each.replicas.includes('n4'))!;
    await world.coordinator.moveReplica({ partition, from: replicas[1]!, to: 'n4' });
    expect((await world.coordinator.moveReplica({ partition, from: replicas[1]!, to: 'n4' })).changed).toBe(false);
    const { kinds } = await world.run();
    expect(kinds).toContain(`promote ${partition} n4`);
    expect(kinds).toContain(`remove ${partition} ${replicas[1]}`);
  });

  test.each<[string, { partition: number; from: string; to: string }]>([
    ['there is no partition 99', { partition: 99, from: 'n1', to: 'n2' }],
    ['has no replica of partition 0', { partition: 0, from: 'n9', to: 'n1' }],
    ['has a replica of partition 0 already', { partition: 0, from: 'n1', to: 'n2' }],
    ['node n9 is not there', { partition: 0, from: 'n1', to: 'n9' }],
  ])('a move is refused: %s', async (why, move) => {
    await world.initialised();
    await expect(world.coordinator.moveReplica(move)).rejects.toMatchObject({ code: 'invalid_parameter' });
    await expect(world.coordinator.moveReplica(move)).rejects.toThrow(why);
  });

  test('more replicas, and fewer', async () => {
    world.nodes.push(new SimNode('n4'), new SimNode('n5'));
    await world.initialised();
    await world.coordinator.setReplicationFactor(5);
    await world.run();
    expect(Object.values(world.loads())).toEqual([6, 6, 6, 6, 6]);
    await world.coordinator.setReplicationFactor(2);
    await world.run();
    expect(Object.values(world.loads()).sort((a, b) => a - b)).toEqual([2, 2, 2, 3, 3]);
  });

  test('a replica that says what it said of an earlier epoch is not promoted', async () => {
    await world.initialised();
    const back = new SimNode('n4');
    world.nodes.push(back);
    await world.second();
    // It held partition 0 once, has let go of it since, and has not heard of the topology yet.
    const log = world.topology.partitions[0]!.log!;
    back.replicas.set(0, { log, missing: 0 });
    back.epoch = 1n;
    await world.registry.report(back.report());
    await world.coordinator.moveReplica({ partition: 0, from: world.topology.partitions[0]!.replicas[0]!, to: 'n4' });
    await world.registry.report(back.report());
    await world.clock.advance(100);
    for (const node of world.nodes.slice(0, 3)) {
      node.follow(world.topology, world.nodes);
      await world.registry.report(node.report());
    }
    await world.clock.advance(100);
    const outcome = await world.coordinator.step();
    expect(
      JSON.stringify(outcome, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    ).not.toContain('promote');
    expect(world.topology.partitions[0]!.joining).toEqual(['n4']);
  });
});

describe('nodes that fail', () => {
  test('a silent node keeps its replicas; others are preferred', async () => {
    world.nodes.push(new SimNode('n4'));
    await world.initialised();
    world.nodes[0]!.stop();
    await world.seconds(6);
    const before = world.loads();
    const { kinds } = await world.run();
    expect(kinds.every((kind) => kind.startsWith('prefer'))).toBe(true);
    expect(world.loads()).toEqual(before);
    expect(world.topology.partitions.every(({ replicas }) => replicas[0] !== 'n1')).toBe(true);
  });

  test('a node that is given up is replaced, on request at once, by itself after a while', async () => {
    world.nodes.push(new SimNode('n4'));
    await world.initialised();
    world.nodes[0]!.destroy(world.clock.elapsedMs());
    await world.seconds(6);
    await world.coordinator.drain('n1');
    await world.run();
    expect(world.loads()).toEqual({ n2: 6, n3: 6, n4: 6 });
    await world.coordinator.forget('n1');
    expect(world.topology.spec?.drained).toEqual([]);
    expect((await world.registry.list()).map(({ name }) => name).sort()).toEqual(['n2', 'n3', 'n4']);

    world.nodes.push(new SimNode('n5'));
    await world.second();
    await world.second();
    await world.run();
    await world.coordinator.close();
    world.coordinator = world.make(60_000);
    await world.second();
    world.nodes[1]!.destroy(world.clock.elapsedMs());
    await world.seconds(30);
    await world.run(1);
    expect(world.loads()['n2']).toBeGreaterThan(0);
    await world.seconds(40);
    await world.run();
    expect(world.loads()).toEqual({ n3: 6, n4: 6, n5: 6 });
  });

  test('a live replica does not go while one of those that stay is silent', async () => {
    world.nodes.push(new SimNode('n4'));
    await world.initialised();
    await world.coordinator.moveReplica({
      partition: 0,
      from: world.topology.partitions[0]!.replicas[0]!,
      to: world.nodes.find(({ name }) => !world.topology.partitions[0]!.replicas.includes(name))!.name,
    });
    const { replicas, leaving } = world.topology.partitions[0]!;
    world.nodes.find(({ name }) => name === replicas.find((each) => !leaving!.includes(each)))!.stop();
    for (let i = 0; i < 10; i++) {
      await world.second();
      await world.coordinator.step();
    }
    expect(world.topology.partitions[0]!.replicas).toHaveLength(4);
    const outcome = await world.coordinator.step();
    expect(JSON.stringify(outcome)).toMatch(/partition 0 cannot leave n\d: node n\d is silent/);
    for (const node of world.nodes) node.start();
    await world.second();
    await world.run();
    expect(world.topology.partitions[0]!.replicas).toHaveLength(3);
  });

  test('a node is not forgotten while it lives or holds anything', async () => {
    await world.initialised();
    await expect(world.coordinator.forget('n1')).rejects.toThrow('is live');
    world.nodes[0]!.stop();
    await world.seconds(6);
    await expect(world.coordinator.forget('n1')).rejects.toThrow('still holds');
  });

  test('a registry that lost everything is no reason to give up anybody', async () => {
    await world.initialised();
    for (const { name } of world.nodes) await world.registry.remove(name);
    await world.coordinator.close();
    world.coordinator = world.make(60_000);
    await settled();
    expect(await world.coordinator.step()).toEqual({ kind: 'waiting', for: 'reports of nodes' });
    world.nodes.push(new SimNode('n4'));
    await world.registry.report(world.nodes[3]!.report());
    await world.registry.report(world.nodes[3]!.report());
    await world.clock.advance(100);
    await world.run(3);
    expect(world.loads()).toEqual({ n1: 6, n2: 6, n3: 6 });
  });
});

describe('what is waited for', () => {
  test('a topology, and news of every node that is there', async () => {
    expect(await world.coordinator.step()).toEqual({ kind: 'waiting', for: 'a topology: the cluster has none' });
    await world.initialised();
    const fresh = world.make();
    await world.clock.advance(100);
    expect(await fresh.step()).toEqual({ kind: 'waiting', for: 'news of n1, n2, n3' });
    await world.second();
    expect(await fresh.step()).toEqual({ kind: 'done' });
    await fresh.close();
  });

  test('a store that is away, and changes of others', async () => {
    await world.initialised();
    await world.coordinator.drain('n1');
    world.store.faults = { refused: 1, unknown: 0, stale: 0 };
    expect(await world.coordinator.step()).toEqual({ kind: 'waiting', for: 'the store is away' });
  });

  test('a document that nobody can read is an error', async () => {
    await world.initialised();
    const broken = new Coordinator({
      topologyStore: { ...topologyStoreOver(world.store), read: async () => evenTopology(1, ['n1']) },
      registry: world.registry,
      logStreams: world.logs,
      clock: world.clock,
    });
    await world.second();
    await world.second();
    await expect(broken.step()).rejects.toMatchObject({ code: 'invalid_settings' });
    await broken.close();
  });
});
