import type { Topology } from '@statestore/core';
import { evenTopology, limits } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { MemoryNodeRegistry } from './memory-node-registry.ts';
import { MemoryTopologyStore } from './memory-topology-store.ts';
import type { NodeReport } from './node-registry.ts';
import { decideTopology, recoverTopology } from './recover-topology.ts';

const topology = (epoch: bigint, ...nodes: readonly string[]): Topology => ({
  ...evenTopology(2, nodes.length === 0 ? ['n1', 'n2'] : nodes),
  epoch,
});

function report(name: string, lastTopology?: Topology, epoch = 0n): NodeReport {
  return {
    name,
    address: 'h:1',
    zone: '',
    version: '',
    boot: name,
    count: 1,
    epoch: String(epoch),
    draining: false,
    disk: { freeBytes: 0, totalBytes: 0 },
    replicas: [],
    ...(lastTopology === undefined ? {} : { lastTopology }),
  };
}

describe('a lost topology', () => {
  test('is the newest that anybody saw, of an epoch that nobody saw', () => {
    const decision = decideTopology([report('n2', topology(7n)), report('n1', topology(8n, 'n1', 'n2'))]);
    expect(decision).toEqual({
      kind: 'restore',
      topology: topology(8n + limits.topologyRecoveryEpochs),
      lastEpoch: 8n,
      from: ['n1'],
      despite: [],
    });
  });

  test.each<[string, readonly NodeReport[], string]>([
    ['nobody tells of one', [report('n1'), report('n2')], 'no node tells'],
    ['nobody reports', [], 'no node tells'],
    ['one of its nodes has not spoken', [report('n1', topology(8n))], 'node n2 has not told'],
    ['one of its nodes has nothing to tell', [report('n1', topology(8n)), report('n2')], 'node n2 has not told'],
    [
      'two differ about an epoch',
      [report('n1', topology(8n)), report('n2', topology(8n, 'n2', 'n1'))],
      'n1 and n2 tell of different topologies of epoch 8',
    ],
    [
      'somebody acts on a newer one',
      [report('n1', topology(8n)), report('n2', topology(8n)), report('n3', undefined, 9n)],
      'node n3 acts on epoch 9',
    ],
  ])('is not restored where %s', (_, reports, why) => {
    const decision = decideTopology(reports);
    expect(decision).toMatchObject({ kind: 'refused' });
    expect('why' in decision && decision.why.join('\n')).toContain(why);
  });

  test('is restored all the same where that is insisted on, and what spoke against it is said', () => {
    expect(decideTopology([report('n1', topology(8n))], { force: true })).toMatchObject({
      kind: 'restore',
      lastEpoch: 8n,
      despite: ['node n2 has not told what it saw last: it may have seen a newer one'],
    });
    expect(decideTopology([report('n1')], { force: true })).toMatchObject({ kind: 'refused' });
  });

  test('is put where none is, once', async () => {
    const topologyStore = new MemoryTopologyStore();
    const registry = new MemoryNodeRegistry();
    for (const name of ['n1', 'n2']) await registry.report(report(name, topology(8n)));
    const world = { topologyStore, registry };
    expect(await recoverTopology(world)).toMatchObject({ kind: 'restored', lastEpoch: 8n, from: ['n1', 'n2'] });
    expect(await topologyStore.read()).toEqual(topology(1008n));
    expect(await recoverTopology(world)).toEqual({ kind: 'present', topology: topology(1008n) });
    expect(await topologyStore.replace(topology(1009n))).toBe('replaced');
  });

  test('is not put over one that came meanwhile', async () => {
    const topologyStore = new MemoryTopologyStore();
    const registry = new MemoryNodeRegistry();
    for (const name of ['n1', 'n2']) await registry.report(report(name, topology(8n)));
    const list = registry.list.bind(registry);
    registry.list = async () => {
      await topologyStore.restore(topology(2000n));
      return list();
    };
    expect(await recoverTopology({ topologyStore, registry })).toEqual({ kind: 'present', topology: topology(2000n) });
  });
});
