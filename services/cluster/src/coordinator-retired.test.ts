import type { RetiredPartition, Topology } from '@statestore/core';
import { evenTopology, limits } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { MemoryLogs } from '../../node/src/testing/memory-logs.ts';
import { retiredChanges } from './coordinator-retired.ts';
import { ManualClock } from './coordinator.testing.ts';
import type { CoordinatorView } from './coordinator-view.ts';
import type { ReplicaReport } from './node-registry.ts';
import { RetiredSeen } from './retired-seen.ts';

const incarnation = '0198c5a4-0000-4000-8000-000000000001';

function retiredOf(partition: number, generation: number, change: Partial<RetiredPartition> = {}): RetiredPartition {
  return {
    placement: { partition, slots: [], replicas: ['n1'], log: { generation, incarnation } },
    sealedPosition: 5n,
    into: { partition: 0, generation: 1, position: 90n },
    slotsEpoch: 4n,
    ...change,
  };
}

const even = evenTopology(1, ['n1']);
const topologyOf = (...retired: readonly RetiredPartition[]): Topology => ({
  epoch: 9n,
  partitions: even.partitions.map((each) => ({ ...each, log: { generation: 1, incarnation } })),
  retired,
});

const replica = (partition: number, change: Partial<ReplicaReport> = {}): ReplicaReport => ({
  partition,
  state: 'running',
  reason: '',
  incarnation,
  appliedPosition: '90',
  storedPosition: '90',
  lag: 0,
  chain: 'c',
  stateHash: 's',
  entries: 0,
  bytes: 0,
  ...change,
});

function viewOf(
  topology: Topology,
  replicas: readonly ReplicaReport[],
  change: Partial<CoordinatorView> = {},
): CoordinatorView {
  const report = {
    name: 'n1',
    address: 'n1:1',
    zone: 'z',
    version: '1',
    boot: 'b',
    count: 1,
    epoch: '9',
    draining: false,
    disk: { freeBytes: 1, totalBytes: 1 },
    replicas,
  };
  const past = new Set(topology.retired?.map(({ placement }) => placement.partition));
  const nodes = new Map([['n1', { report, live: true, confirmed: true }]]);
  return { topology, nodes, givenUp: new Set(), pastGrace: past, logsRemoved: new Set(), ...change };
}

describe('a partition that was merged away', () => {
  const topology = topologyOf(retiredOf(3, 2));

  test('is kept for its time, then ended, and forgotten when its log is gone', () => {
    const replicas = [replica(0), replica(3)];
    expect(retiredChanges(viewOf(topology, replicas, { pastGrace: new Set() })).steps).toEqual([]);
    const ending = retiredChanges(viewOf(topology, replicas));
    expect(ending.steps).toEqual([{ kind: 'endRetired', partition: 3 }]);
    expect(ending.parts.retired).toEqual([{ ...retiredOf(3, 2), ended: true }]);
    const ended = topologyOf(retiredOf(3, 2, { ended: true }));
    expect(retiredChanges(viewOf(ended, replicas)).steps).toEqual([]);
    const gone = retiredChanges(viewOf(ended, replicas, { logsRemoved: new Set([3]) }));
    expect(gone).toEqual({
      steps: [{ kind: 'forgetRetired', partition: 3 }],
      parts: { retired: [], forgotten: 4n },
    });
  });

  test('what was forgotten only grows', () => {
    const ended = { ...topologyOf(retiredOf(3, 2, { ended: true })), forgotten: 7n };
    expect(retiredChanges(viewOf(ended, [], { logsRemoved: new Set([3]) })).parts.forgotten).toBe(7n);
    expect(retiredChanges(viewOf(ended, [])).parts.forgotten).toBe(7n);
  });

  test.each<[string, readonly ReplicaReport[]]>([
    ['has not got to where the other one took its slots', [replica(0, { appliedPosition: '89' }), replica(3)]],
    ['holds its log', [replica(0), replica(3, { holdsLog: true })]],
  ])('is kept while a node that is there %s', (_, replicas) => {
    const view = viewOf(topology, replicas);
    expect(retiredChanges(view).steps).toEqual([]);
    const silent = new Map([['n1', { ...view.nodes.get('n1')!, live: false }]]);
    expect(retiredChanges({ ...view, nodes: silent }).steps).toHaveLength(1);
  });

  test('is not kept for a replica that halted, nor for another log of that number', () => {
    expect(
      retiredChanges(viewOf(topology, [replica(0, { appliedPosition: '1', state: 'halted' }), replica(3)])).steps,
    ).toHaveLength(1);
    const later = topologyOf(retiredOf(3, 2, { into: { partition: 0, generation: 8, position: 90n } }));
    expect(retiredChanges(viewOf(later, [replica(0, { appliedPosition: '1' }), replica(3)])).steps).toHaveLength(1);
  });
});

describe('the time of a partition that was merged away', () => {
  test('counts from when it was first seen, for each merge anew', async () => {
    const clock = new ManualClock();
    const seen = new RetiredSeen(clock, new MemoryLogs());
    expect(seen.pastGrace(topologyOf(retiredOf(3, 2))).size).toBe(0);
    await clock.advance(limits.retiredKeptMs - 1);
    expect(seen.pastGrace(topologyOf(retiredOf(3, 2), retiredOf(4, 2))).size).toBe(0);
    await clock.advance(1);
    expect([...seen.pastGrace(topologyOf(retiredOf(3, 2), retiredOf(4, 2)))]).toEqual([3]);
    expect(seen.pastGrace(topologyOf(retiredOf(3, 5, { slotsEpoch: 9n }))).size).toBe(0);
  });
});

describe('the log of a partition that was merged away', () => {
  test('is removed with those that it carried on, once its partition is ended, and again where that was interrupted', async () => {
    const logs = new MemoryLogs();
    const seen = new RetiredSeen(new ManualClock(), logs);
    await logs.create({ partition: 3, generation: 2, replicas: 1 });
    await logs.create({ partition: 3, generation: 6, replicas: 1 });
    const { incarnation: own } = await logs.create({ partition: 3, generation: 7, replicas: 1 });
    const retired = retiredOf(3, 7);
    const placement = { ...retired.placement, log: { generation: 7, incarnation: own } };
    expect(await seen.removeLogs(topologyOf({ ...retired, placement }))).toEqual(new Set());
    expect(await logs.describe(3, 7)).toBeDefined();
    const ended = topologyOf({ ...retired, placement, ended: true });
    for (let i = 0; i < 2; i++) expect(await seen.removeLogs(ended)).toEqual(new Set([3]));
    expect(await logs.describe(3, 7)).toBeUndefined();
    expect(await logs.describe(3, 6)).toBeUndefined();
    // Of an earlier partition of that number: it went with that one, or somebody keeps it.
    expect(await logs.describe(3, 2)).toBeDefined();
    logs.down = true;
    await expect(seen.removeLogs(ended)).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('of another incarnation is left alone', async () => {
    const logs = new MemoryLogs();
    const seen = new RetiredSeen(new ManualClock(), logs);
    await logs.create({ partition: 3, generation: 7, replicas: 1 });
    await seen.removeLogs(topologyOf(retiredOf(3, 7, { ended: true })));
    expect(await logs.describe(3, 7)).toBeDefined();
  });
});
