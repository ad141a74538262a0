import { evenTopology } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryLogs } from '../../node/src/testing/memory-logs.ts';
import { CoordinatedWorld, never, wish } from './coordinator-world.testing.ts';
import { SimNode } from './coordinator.testing.ts';
import { decodeTopology, encodeTopology } from './topology-codec.ts';

let world: CoordinatedWorld<MemoryLogs>;

beforeEach(() => {
  world = new CoordinatedWorld(new MemoryLogs());
});
afterEach(() => world.coordinator.close());

describe('initialising', () => {
  test('makes logs and a topology of the nodes that are there', async () => {
    const topology = await world.initialised();
    expect(topology).toMatchObject({ epoch: 1n, spec: { replicationFactor: 3, logReplicas: 3, drained: [] } });
    expect(world.loads()).toEqual({ n1: 6, n2: 6, n3: 6 });
    for (const { partition, log } of topology.partitions) {
      expect((await world.logs.describe(partition, 1))?.log).toEqual(log);
    }
    expect(await world.coordinator.step()).toEqual({ kind: 'done' });
  });

  describe('from a checkpoint', () => {
    const checkpoint = '01900000-0000-7000-8000-000000000001';
    const continues = (partition: number) => ({
      incarnation: `01900000-0000-7000-8000-00000000010${partition}`,
      position: 40n + BigInt(partition),
      chain: 'ab'.repeat(16),
    });
    // Uneven, and one that nothing was written to.
    const partitions = [
      {
        slots: [
          { start: 0, end: 100 },
          { start: 4000, end: 4096 },
        ],
        continues: continues(0),
      },
      { slots: [{ start: 100, end: 4000 }], continues: undefined },
    ];
    const options = { ...wish, partitions: 2, from: { checkpoint, partitions } };

    test('logs carry on its states, slots are those that it has, and the topology names it', async () => {
      const topology = await world.initialised(options);
      expect(topology.restoredFrom).toEqual({ checkpoint });
      expect(topology.partitions.map(({ slots }) => slots)).toEqual(partitions.map(({ slots }) => slots));
      expect(topology.partitions.map(({ log }) => log?.continues)).toEqual([continues(0), undefined]);
      expect(await world.logs.describe(0, 1)).toMatchObject({ first: 41n, last: 40n });
      expect(await world.logs.describe(1, 1)).toMatchObject({ first: 1n, last: 0n });
      expect(decodeTopology(encodeTopology(topology))).toEqual(topology);
    });

    test('also after it was interrupted; from another one it is refused', async () => {
      const log = await world.logs.create({
        partition: 0,
        generation: 1,
        replicas: 3,
        first: 41n,
        continues: continues(0),
      });
      await world.logs.create({ partition: 1, generation: 1, replicas: 3, first: 42n, continues: continues(1) });
      const making = world.coordinator.initialise(options, { signal: never });
      await Promise.all([expect(making).rejects.toMatchObject({ code: 'data_format' }), world.seconds(4)]);
      await world.logs.remove(1, 1);
      expect((await world.initialised(options)).partitions[0]!.log).toEqual(log);
    });

    test('logs are of the generation that is named, and those of earlier ones are not hidden', async () => {
      const later = { ...options, from: { checkpoint, partitions, generation: 6 } };
      const lost = await world.logs.create({ partition: 1, generation: 2, replicas: 3 });
      await (await world.logs.open(1, lost)).append(Buffer.from('a'));
      const making = world.coordinator.initialise(later, { signal: never });
      const refused = { code: 'data_format', message: expect.stringContaining('has 1 batches') as string };
      await Promise.all([expect(making).rejects.toMatchObject(refused), world.seconds(4)]);
      await world.logs.remove(1, 2);
      // Empty, of an attempt that was to begin at another generation.
      await world.logs.create({ partition: 0, generation: 4, replicas: 3, first: 41n, continues: continues(0) });
      const topology = await world.initialised(later);
      expect(topology.partitions.map(({ log }) => log?.generation)).toEqual([6, 6]);
      expect(await world.logs.describe(0, 6)).toMatchObject({ first: 41n, last: 40n });
    });

    test('of another number of partitions it is refused', async () => {
      await expect(
        world.coordinator.initialise({ ...options, partitions: 3 }, { signal: never }),
      ).rejects.toMatchObject({ code: 'invalid_settings' });
    });
  });

  test('waits for nodes that say something new: what is left of others does not count', async () => {
    for (const name of ['old1', 'old2', 'old3']) await world.registry.report(new SimNode(name).report());
    const topology = await world.initialised();
    expect(new Set(topology.partitions.flatMap(({ replicas }) => replicas))).toEqual(new Set(['n1', 'n2', 'n3']));
  });

  test('gives up when it is told to, saying who is there', async () => {
    world.nodes.pop();
    const giveUp = new AbortController();
    const making = world.coordinator.initialise(wish, { signal: giveUp.signal });
    await world.seconds(4);
    giveUp.abort();
    await expect(making).rejects.toMatchObject({ code: 'unavailable', message: '2 of 3 nodes are there: n1, n2' });
    expect(await world.logs.describe(0, 1)).toBeUndefined();
  });

  test('by two at once makes one', async () => {
    const other = world.make();
    const both = Promise.all([
      world.coordinator.initialise(wish, { signal: never }),
      other.initialise(wish, { signal: never }),
    ]);
    await world.seconds(6);
    const outcomes = await both;
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['initialised', 'present']);
    expect(outcomes[0].topology).toEqual(outcomes[1].topology);
    await other.close();
  });

  test('goes on after it was interrupted', async () => {
    world.logs.create = new Proxy(world.logs.create.bind(world.logs), {
      apply: (create, _, [log]: [Parameters<MemoryLogs['create']>[0]]) =>
        log.partition === 3 ? Promise.reject(new Error('killed')) : create(log),
    });
    await expect(
      Promise.all([world.coordinator.initialise(wish, { signal: never }), world.seconds(4)]),
    ).rejects.toThrow('killed');
    world.logs.create = MemoryLogs.prototype.create.bind(world.logs);
    const made = await world.logs.describe(0, 1);
    const topology = await world.initialised();
    expect(topology.partitions[0]!.log).toEqual(made!.log);
  });

  test('changes nothing where there is one', async () => {
    await world.initialised();
    expect(await world.coordinator.initialise({ ...wish, partitions: 9 }, { signal: never })).toMatchObject({
      kind: 'present',
      topology: { epoch: 1n },
    });
  });

  test('is refused where nodes remember another topology, and where logs have records', async () => {
    const remembering = new SimNode('n9');
    const lastTopology = { ...evenTopology(1, ['n9']), epoch: 7n };
    await world.registry.report({ ...remembering.report(), lastTopology });
    const first = world.coordinator.initialise(wish, { signal: never });
    await Promise.all([expect(first).rejects.toMatchObject({ code: 'data_format' }), world.seconds(4)]);
    await world.registry.remove('n9');
    const log = await world.logs.create({ partition: 2, generation: 1, replicas: 3 });
    await (await world.logs.open(2, log)).append(Buffer.from('a'));
    const second = world.coordinator.initialise(wish, { signal: never });
    await Promise.all([expect(second).rejects.toMatchObject({ code: 'data_format' }), world.seconds(4)]);
  });

  test.each([{ partitions: 0 }, { replicationFactor: 0 }, { logReplicas: 2 }])('refuses %o', async (wrong) => {
    await expect(world.coordinator.initialise({ ...wish, ...wrong }, { signal: never })).rejects.toMatchObject({
      code: 'invalid_settings',
    });
  });
});
