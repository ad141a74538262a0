import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Exchange, PartitionLoad } from './plan-balance.ts';
import { planBalance } from './plan-balance.ts';
import { changed, loads as counts, nodesOf, placed, unevenness, zonesOf } from './plan.testing.ts';
import type { PlanNode } from './plan.ts';
import { plan } from './plan.ts';
import type { Topology } from './topology.ts';

const load = (bytes: number, operationsPerS = 0): PartitionLoad => ({ bytes, operationsPerS });

function moved(topology: Topology, exchanges: readonly Exchange[]): Topology {
  const moves = exchanges.flat();
  const partitions = topology.partitions.map((placement) => {
    const move = moves.find(({ partition }) => partition === placement.partition);
    if (move === undefined) return placement;
    expect(placement.replicas).toContain(move.from);
    expect(placement.replicas).not.toContain(move.to);
    return { ...placement, replicas: [...placement.replicas.filter((name) => name !== move.from), move.to] };
  });
  return { ...topology, partitions };
}

function carried(
  { partitions }: Topology,
  nodes: readonly PlanNode[],
  loads: ReadonlyMap<number, PartitionLoad>,
): number[] {
  return nodes.map(({ name }) =>
    partitions.reduce(
      (sum, { partition, replicas }) => sum + (replicas.includes(name) ? loads.get(partition)!.bytes : 0),
      0,
    ),
  );
}

describe('balance by load', () => {
  test('heavy partitions on one node are exchanged for light ones', () => {
    const nodes = nodesOf(2);
    const spec = { partitions: 8, replicationFactor: 1 };
    const topology = placed(spec, nodes);
    const loads = new Map(
      topology.partitions.map(({ partition, replicas }) => [partition, load(replicas[0] === 'n0' ? 100 : 1)]),
    );
    const exchanges = planBalance(topology.partitions, nodes, loads);
    expect(exchanges).toHaveLength(2);
    const after = moved(topology, exchanges);
    expect(carried(after, nodes, loads)).toEqual([202, 202]);
    expect(plan(after, spec, nodes).filter(({ kind }) => kind !== 'prefer')).toEqual([]);
  });

  test('operations count as bytes do', () => {
    const nodes = nodesOf(2);
    const topology = placed({ partitions: 4, replicationFactor: 1 }, nodes);
    const loads = new Map(
      topology.partitions.map(({ partition, replicas }) => [partition, load(1, replicas[0] === 'n0' ? 50 : 0)]),
    );
    expect(planBalance(topology.partitions, nodes, loads)).toHaveLength(1);
  });

  test('what is even is left alone; so is what nobody can relieve, and what nothing is known of', () => {
    const nodes = nodesOf(3);
    const topology = placed({ partitions: 9, replicationFactor: 1 }, nodes);
    const of = (bytes: (partition: number) => number): Map<number, PartitionLoad> =>
      new Map(topology.partitions.map(({ partition }) => [partition, load(bytes(partition))]));
    expect(
      planBalance(
        topology.partitions,
        nodes,
        of(() => 7),
      ),
    ).toEqual([]);
    expect(planBalance(topology.partitions, nodes, new Map())).toEqual([]);
    expect(
      planBalance(
        topology.partitions,
        [],
        of(() => 7),
      ),
    ).toEqual([]);
    // One is all that there is: wherever it lies, that node carries all.
    expect(
      planBalance(
        topology.partitions,
        nodes,
        of((partition) => (partition === 0 ? 100 : 0)),
      ),
    ).toEqual([]);
  });

  test('replicas of all nodes: there is nowhere to go', () => {
    const nodes = nodesOf(3);
    const topology = placed({ partitions: 4, replicationFactor: 3 }, nodes);
    expect(planBalance(topology.partitions, nodes, new Map([[0, load(9)]]))).toEqual([]);
  });

  test('a partition that moves already, or has a replica on a node that is away, is left alone', () => {
    const nodes = nodesOf(4);
    const topology = placed({ partitions: 8, replicationFactor: 1 }, nodes);
    const loads = new Map(
      topology.partitions.map(({ partition, replicas }) => [partition, load(replicas[0] === 'n0' ? 100 : 1)]),
    );
    const silent = changed(nodes, ['n0'], { live: false });
    expect(planBalance(topology.partitions, silent, loads)).toEqual([]);
  });

  test('it is more even than before, in numbers as even, and in as many zones', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 9 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.nat(1000), { minLength: 2, maxLength: 40 }),
        (count, zones, replicationFactor, weights) => {
          const nodes = nodesOf(count, { zones });
          const spec = { partitions: weights.length, replicationFactor };
          const topology = placed(spec, nodes);
          const loads = new Map(weights.map((bytes, partition) => [partition, load(bytes)]));
          const after = moved(topology, planBalance(topology.partitions, nodes, loads));
          const [before, now] = [carried(topology, nodes, loads), carried(after, nodes, loads)];
          expect(Math.max(...now)).toBeLessThanOrEqual(Math.max(...before));
          expect(unevenness(after, nodes)).toBeLessThanOrEqual(Math.max(1, unevenness(topology, nodes)));
          expect([...counts(after, nodes).values()].reduce((a, b) => a + b)).toBe(
            [...counts(topology, nodes).values()].reduce((a, b) => a + b),
          );
          for (const [at, placement] of after.partitions.entries()) {
            expect(zonesOf(placement, nodes)).toBeGreaterThanOrEqual(zonesOf(topology.partitions[at]!, nodes));
          }
          expect(plan(after, spec, nodes).filter(({ kind }) => kind !== 'prefer')).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
