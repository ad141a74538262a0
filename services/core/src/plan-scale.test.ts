// Planning at the size that is promised: 1,000 nodes and 4,096 partitions, and what happens to such a
// cluster, held against what moves at least.
import { describe, expect, test } from 'vitest';
import type { PlanNode, PlanSpec, PlanStep } from './plan.ts';
import { plan } from './plan.ts';
import { applySteps } from './plan-step.ts';
import {
  changed,
  copies,
  copiesAtLeast,
  loads,
  nodesOf,
  placed,
  preferred,
  unevenness,
  zonesOf,
} from './plan.testing.ts';
import type { Topology } from './topology.ts';

const spec: PlanSpec = { partitions: 4096, replicationFactor: 3 };

/** No partition of a plan is left with fewer live replicas than it had, or than are wanted. */
function neverFewer(topology: Topology, steps: readonly PlanStep[], nodes: readonly PlanNode[]): void {
  const live = new Set(nodes.filter((node) => node.live).map(({ name }) => name));
  const counts = new Map(
    topology.partitions.map(({ partition, replicas }) => [partition, replicas.filter((name) => live.has(name)).length]),
  );
  for (const { kind, partition, ...rest } of steps) {
    const before = counts.get(partition)!;
    if (!('node' in rest) || !live.has(rest.node) || kind === 'prefer') continue;
    const after = before + (kind === 'addReplica' ? 1 : -1);
    expect(after >= Math.min(before, spec.replicationFactor)).toBe(true);
    counts.set(partition, after);
  }
}

function taken(topology: Topology, nodes: readonly PlanNode[]): { readonly after: Topology; readonly copied: number } {
  const steps = plan(topology, spec, nodes);
  neverFewer(topology, steps, nodes);
  const after = applySteps(topology, steps);
  expect(plan(after, spec, nodes)).toEqual([]);
  return { after, copied: copies(topology, steps) };
}

const names = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `n${from + i}`);

describe('1,000 nodes, 4,096 partitions, three replicas', () => {
  const nodes = nodesOf(1000);
  const topology = placed(spec, nodes);

  test('are placed evenly, preferred evenly, and the peers of a node are many', () => {
    expect(unevenness(topology, nodes)).toBeLessThanOrEqual(1);
    const proposers = [...preferred(topology).values()];
    expect(proposers).toHaveLength(1000);
    expect(Math.max(...proposers) - Math.min(...proposers)).toBeLessThanOrEqual(1);
    const peers = new Set(
      topology.partitions
        .flatMap(({ replicas }) => (replicas.includes('n500') ? replicas : []))
        .filter((n) => n !== 'n500'),
    );
    expect(peers.size).toBeGreaterThan(15);
    expect(plan(topology, spec, nodes)).toEqual([]);
  });

  test('one node is drained: what it held is copied, and nothing else', () => {
    const drained = changed(nodes, ['n500'], { accepts: false });
    const { after, copied } = taken(topology, drained);
    expect(copied).toBe(loads(topology, nodes).get('n500'));
    expect(unevenness(after, drained)).toBeLessThanOrEqual(1);
  });

  test('a hundred nodes die and are given up', () => {
    const rest = changed(nodes, names(100, 200), { accepts: false, live: false });
    const { after, copied } = taken(topology, rest);
    expect(copied).toBeLessThanOrEqual(copiesAtLeast(topology, spec, rest) * 1.01);
    expect(unevenness(after, rest)).toBeLessThanOrEqual(1);
  });

  test('two hundred nodes come', () => {
    const more = nodesOf(1200);
    const { after, copied } = taken(topology, more);
    expect(copied).toBeLessThanOrEqual(copiesAtLeast(topology, spec, more) * 1.01);
    expect(unevenness(after, more)).toBeLessThanOrEqual(1);
  });

  test('a hundred nodes are silent: nothing is copied', () => {
    const silent = changed(nodes, names(100, 200), { live: false });
    const { after, copied } = taken(topology, silent);
    expect(copied).toBe(0);
    const live = new Set(silent.filter((node) => node.live).map(({ name }) => name));
    for (const { replicas } of after.partitions) {
      expect(live.has(replicas[0]!)).toBe(replicas.some((name) => live.has(name)));
    }
  });
});

describe('1,000 nodes in five zones of unequal size', () => {
  const zoneOf = (i: number): string => (i < 400 ? 'a' : i < 650 ? 'b' : i < 850 ? 'c' : i < 950 ? 'd' : 'e');
  const nodes = nodesOf(1000).map((node, i) => ({ ...node, zone: zoneOf(i) }));
  const topology = placed(spec, nodes);

  test('each partition lies in three of them; where a zone could hold more than its share it does not', () => {
    for (const placement of topology.partitions) expect(zonesOf(placement, nodes)).toBe(3);
    // Zone a has 40 % of the nodes and may hold a third of the replicas: its nodes hold fewer.
    const counts = loads(topology, nodes);
    const byZone = Map.groupBy(nodes, ({ zone }) => zone);
    for (const [zone, members] of byZone) {
      const held = members.map(({ name }) => counts.get(name)!);
      expect(Math.max(...held) - Math.min(...held)).toBeLessThanOrEqual(1);
      if (zone === 'a') expect(held.reduce((a, b) => a + b)).toBe(4096);
    }
    expect(
      unevenness(
        topology,
        nodes.filter(({ zone }) => zone !== 'a'),
      ),
    ).toBeLessThanOrEqual(1);
  });

  test('a whole zone is given up', () => {
    const rest = nodes.map((node) => (node.zone === 'c' ? { ...node, accepts: false, live: false } : node));
    const { after, copied } = taken(topology, rest);
    for (const placement of after.partitions) expect(zonesOf(placement, rest)).toBe(3);
    const lost = [...loads(topology, nodes)].filter(([name]) => zoneOf(Number(name.slice(1))) === 'c');
    expect(copied).toBeLessThanOrEqual(lost.reduce((sum, [, count]) => sum + count, 0) * 1.25);
  });
});

describe('few nodes, 4,096 partitions', () => {
  test('from three to four, and back', () => {
    const three = nodesOf(3);
    const four = nodesOf(4);
    const topology = placed(spec, three);
    const { after, copied } = taken(topology, four);
    expect(copied).toBe(3072);
    expect([...loads(after, four).values()]).toEqual([3072, 3072, 3072, 3072]);
    const back = taken(after, changed(four, ['n3'], { accepts: false }));
    expect(back.copied).toBe(3072);
    expect([...loads(back.after, three).values()]).toEqual([4096, 4096, 4096]);
  });

  test('a thousand nodes, each in a zone of its own', () => {
    const nodes = nodesOf(1000, { zones: 1000 });
    const topology = placed(spec, nodes);
    expect(unevenness(topology, nodes)).toBeLessThanOrEqual(1);
    const { copied } = taken(topology, changed(nodes, ['n7'], { accepts: false }));
    expect(copied).toBe(loads(topology, nodes).get('n7'));
  });
});
