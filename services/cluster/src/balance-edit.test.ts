import type { PartitionLoad } from '@statestore/core';
import { limits } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { balanced } from './balance-edit.ts';
import { ObedientCluster } from './coordinator-batch.testing.ts';
import { withPartitions } from './resize-edits.ts';

const nodes = ['n0', 'n1', 'n2', 'n3'];

/** Partitions of one node are heavy. */
function uneven(cluster: ObedientCluster): ReadonlyMap<number, PartitionLoad> {
  return new Map(
    cluster.topology.partitions.map(({ partition, replicas }) => {
      const bytes = replicas.includes('n0') ? 1000 : 10;
      return [partition, { bytes, operationsPerS: 0 }];
    }),
  );
}

function bytesOf(cluster: ObedientCluster, loads: ReadonlyMap<number, PartitionLoad>): number[] {
  return cluster.nodes.map((node) =>
    cluster.topology.partitions.reduce(
      (sum, { partition, replicas }) => sum + (replicas.includes(node) ? loads.get(partition)!.bytes : 0),
      0,
    ),
  );
}

describe('balance', () => {
  test('goes on in rounds of as many copies as may be made, until nodes carry equally much; plans leave it so', () => {
    const cluster = new ObedientCluster({ partitions: 64, nodes, replicationFactor: 1 });
    const loads = uneven(cluster);
    const before = bytesOf(cluster, loads);
    let rounds = 0;
    for (; rounds < 50; rounds++) {
      const { moves, edit } = balanced(cluster.view, loads);
      if (edit === undefined) break;
      for (const node of nodes) {
        expect(moves.filter(({ to }) => to === node).length).toBeLessThanOrEqual(limits.joinsPerNodeMax);
      }
      cluster.edit(() => edit);
      expect(cluster.calm()).toEqual({ kind: 'done' });
    }
    expect(rounds).toBeGreaterThan(1);
    expect(rounds).toBeLessThan(50);
    const after = bytesOf(cluster, loads);
    expect(before).toEqual([16_000, 160, 160, 160]);
    expect(Math.max(...after) - Math.min(...after)).toBeLessThanOrEqual(1000);
    const counts = nodes.map(
      (node) => cluster.topology.partitions.filter(({ replicas }) => replicas.includes(node)).length,
    );
    expect(counts).toEqual([16, 16, 16, 16]);
  });

  test('is refused while the number of partitions is being changed', () => {
    const cluster = new ObedientCluster({ partitions: 4, nodes, replicationFactor: 1 });
    cluster.edit((topology) => withPartitions(topology, 8));
    expect(() => balanced(cluster.view, uneven(cluster))).toThrow(
      expect.objectContaining({ code: 'invalid_parameter' }),
    );
  });

  test('changes nothing where nothing is known', () => {
    const cluster = new ObedientCluster({ partitions: 4, nodes, replicationFactor: 1 });
    expect(balanced(cluster.view, new Map())).toEqual({ moves: [], edit: undefined });
  });
});
