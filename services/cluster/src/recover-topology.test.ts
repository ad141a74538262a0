import type { Topology } from '@statestore/core';
import { evenTopology, limits, StateStoreError } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { MemoryNodeRegistry } from './memory-node-registry.ts';
import { MemoryTopologyStore } from './memory-topology-store.ts';
import type { NodeReport } from './node-registry.ts';
import { decideTopology, recoverTopology } from './recover-topology.ts';

const skipped = limits.topologyRecoveryEpochs;

function topology(epoch: bigint, replicas: readonly string[] = ['a', 'b', 'c']): Topology {
  return { ...evenTopology(2, replicas), epoch, spec: { replicationFactor: 3, logReplicas: 3, drained: [] } };
}

function report(name: string, lastTopology?: Topology, epoch = lastTopology?.epoch ?? 0n): NodeReport {
  return {
    name,
    address: `${name}:1`,
    zone: 'z',
    version: '1',
    boot: 'b',
    count: 1,
    epoch: String(epoch),
    draining: false,
    disk: { freeBytes: 1, totalBytes: 1 },
    replicas: [],
    ...(lastTopology === undefined ? {} : { lastTopology }),
  };
}

describe('which topology is put back', () => {
  const all = (epochs: readonly bigint[]): NodeReport[] =>
    ['a', 'b', 'c'].map((name, i) => report(name, topology(epochs[i]!)));

  test('the newest that anybody saw, as one that nobody saw', () => {
    const decision = decideTopology(all([7n, 9n, 8n]));
    expect(decision).toMatchObject({ kind: 'restore', lastEpoch: 9n, from: ['b'], despite: [] });
    if (decision.kind === 'restore') expect(decision.topology).toEqual({ ...topology(9n), epoch: 9n + skipped });
  });

  test('all that saw it are told of', () => {
    expect(decideTopology(all([9n, 9n, 9n]))).toMatchObject({ kind: 'restore', from: ['a', 'b', 'c'] });
  });

  test.each<[string, readonly NodeReport[], RegExp]>([
    ['nobody tells of one', [report('a'), report('b')], /no node tells/],
    [
      'two tell of different ones of one epoch',
      [report('a', topology(9n)), report('b', topology(9n, ['b', 'a', 'c'])), report('c', topology(9n))],
      /a and b tell of different topologies of epoch 9/,
    ],
    ['a node that it names is silent', all([9n, 9n, 9n]).slice(0, 2), /node c has not told/],
    ['a node knows of a newer one', [...all([9n, 9n, 9n]), report('d', undefined, 10n)], /node d acts on epoch 10/],
  ])('not where %s', (_, reports, why) => {
    const decision = decideTopology(reports);
    expect(decision.kind).toBe('refused');
    if (decision.kind === 'refused') expect(decision.why.join('\n')).toMatch(why);
  });

  test('insisted on, it says what spoke against it', () => {
    const decision = decideTopology(all([9n, 8n, 8n]).slice(0, 2), { force: true });
    expect(decision).toMatchObject({ kind: 'restore', lastEpoch: 9n, despite: [expect.stringContaining('node c')] });
    expect(decideTopology([report('a')], { force: true }).kind).toBe('refused');
  });
});

describe('putting it back', () => {
  async function lost() {
    const topologyStore = new MemoryTopologyStore();
    const registry = new MemoryNodeRegistry();
    for (const name of ['a', 'b', 'c']) await registry.report(report(name, topology(9n)));
    return { topologyStore, registry };
  }

  test('is done once, and nothing is done where there is one', async () => {
    const world = await lost();
    expect(await recoverTopology(world)).toMatchObject({ kind: 'restored', lastEpoch: 9n });
    const restored = (await world.topologyStore.read())!;
    expect(restored.epoch).toBe(9n + skipped);
    expect(await recoverTopology(world)).toEqual({ kind: 'present', topology: restored });
  });

  test('by several at once is done once', async () => {
    const world = await lost();
    const outcomes = await Promise.all([1, 2, 3].map(() => recoverTopology(world)));
    expect(outcomes.filter(({ kind }) => kind === 'restored')).toHaveLength(1);
    expect((await world.topologyStore.read())!.epoch).toBe(9n + skipped);
  });

  test('with an unknown outcome is found done when it is begun again', async () => {
    const world = await lost();
    const restore = world.topologyStore.restore.bind(world.topologyStore);
    world.topologyStore.restore = async (next) => {
      await restore(next);
      throw new StateStoreError('outcome_unknown', 'nobody answered');
    };
    await expect(recoverTopology(world)).rejects.toMatchObject({ code: 'outcome_unknown' });
    expect(await recoverTopology(world)).toMatchObject({ kind: 'present' });
  });

  test('is not done over one that came meanwhile', async () => {
    const world = await lost();
    const list = world.registry.list.bind(world.registry);
    world.registry.list = async () => {
      await world.topologyStore.restore(topology(2000n));
      return list();
    };
    expect(await recoverTopology(world)).toEqual({ kind: 'present', topology: topology(2000n) });
  });

  test('changes nothing where it is refused', async () => {
    const world = await lost();
    await world.registry.remove('c');
    expect(await recoverTopology(world)).toMatchObject({ kind: 'refused' });
    expect(await world.topologyStore.read()).toBeUndefined();
  });
});
