import { describe, expect, test } from 'vitest';
import { slotCount } from './limits.ts';
import { plan } from './plan.ts';
import { applySteps } from './plan-step.ts';
import { changed, checkSteps, copies, loads, nodesOf, placed, preferred, unevenness, zonesOf } from './plan.testing.ts';
import type { Topology } from './topology.ts';
import { evenTopology, slotOwners } from './topology.ts';

const spec = { partitions: 12, replicationFactor: 3 };
const three = nodesOf(3);
const even = placed(spec, three);

function only(...partitions: readonly Partial<Topology['partitions'][number]>[]): Topology {
  const { partitions: all } = evenTopology(partitions.length, ['n0']);
  return { epoch: 1n, partitions: all.map((placement, i) => ({ ...placement, ...partitions[i] })) };
}

const one = { partitions: 1, replicationFactor: 3 };

describe('placing', () => {
  test('from one node to three: every node holds everything, and is preferred for a third', () => {
    expect([...loads(even, three).values()]).toEqual([12, 12, 12]);
    expect([...preferred(even).values()]).toEqual([4, 4, 4]);
  });

  test('where all is as it should be there is nothing to do, whatever the order of the nodes', () => {
    expect(plan(even, spec, three)).toEqual([]);
    expect(plan(even, spec, three.toReversed())).toEqual([]);
  });

  test('a fourth node gets its quarter, and no replica moves beyond that', () => {
    const nodes = nodesOf(4);
    const steps = plan(even, spec, nodes);
    checkSteps(even, steps, spec, nodes);
    expect(copies(even, steps)).toBe(9);
    expect([...loads(applySteps(even, steps), nodes).values()]).toEqual([9, 9, 9, 9]);
  });

  test('a replica is added before one is taken', () => {
    const kinds = plan(even, spec, nodesOf(4)).filter(({ kind }) => kind !== 'prefer');
    const first = new Map<number, string>();
    for (const { kind, partition } of kinds) if (!first.has(partition)) first.set(partition, kind);
    expect(new Set(first.values())).toEqual(new Set(['addReplica']));
  });

  test('of fewer nodes than wanted replicas each holds all, and the rest comes when they do', () => {
    const nodes = nodesOf(2);
    const topology = placed(one, nodes);
    expect(topology.partitions[0]!.replicas.toSorted()).toEqual(['n0', 'n1']);
    expect(plan(topology, one, nodes)).toEqual([]);
    expect(plan(topology, one, nodesOf(3))).toEqual([{ kind: 'addReplica', partition: 0, node: 'n2' }]);
  });

  test.each([{ replicationFactor: 0 }, { replicationFactor: 8 }, { partitions: 0 }, { partitions: slotCount + 1 }])(
    'a wish that cannot be is refused: %o',
    (wrong) => expect(() => plan(even, { ...spec, ...wrong }, three)).toThrow(Object.keys(wrong)[0]!.slice(0, 9)),
  );
});

describe('nodes that are silent', () => {
  const nodes = nodesOf(5);
  const topology = placed(spec, nodes);

  test('keep their replicas', () => {
    const steps = plan(topology, spec, changed(nodes, ['n1'], { live: false }));
    expect(steps.filter(({ kind }) => kind !== 'prefer')).toEqual([]);
  });

  test('are not preferred, and are again when they are back', () => {
    const silent = changed(nodes, ['n1'], { live: false });
    const during = applySteps(topology, plan(topology, spec, silent));
    expect(preferred(during).has('n1')).toBe(false);
    const after = applySteps(during, plan(during, spec, nodes));
    expect([...preferred(after).values()].toSorted((a, b) => a - b)).toEqual([2, 2, 2, 3, 3]);
  });

  test('are given nothing', () => {
    const more = [...nodes, { name: 'n5', zone: 'z0', accepts: true, live: false }];
    expect(plan(topology, spec, more)).toEqual([]);
  });

  test('that are given up are replaced, each replica after its successor came', () => {
    const gone = changed(nodes, ['n1'], { live: false, accepts: false });
    const steps = plan(topology, spec, gone);
    checkSteps(topology, steps, spec, gone);
    expect(copies(topology, steps)).toBe(loads(topology, nodes).get('n1'));
    const after = applySteps(topology, steps);
    expect(loads(after, nodes).get('n1')).toBe(0);
    expect(unevenness(after, gone)).toBeLessThanOrEqual(1);
  });

  test('that nobody knows any more are given up', () => {
    const rest = nodes.filter(({ name }) => name !== 'n1');
    const steps = plan(topology, spec, rest);
    expect(loads(applySteps(topology, steps), rest).get('n1')).toBe(undefined);
  });

  test('all of them: nothing is done', () => {
    expect(plan(topology, spec, nodesOf(5, { live: false }))).toEqual([]);
    expect(plan(topology, spec, [])).toEqual([]);
  });
});

describe('drains', () => {
  test('a drained node gives all its replicas away, and is preferred for none', () => {
    const nodes = nodesOf(4);
    const topology = placed(spec, nodes);
    const drained = changed(nodes, ['n0'], { accepts: false });
    const steps = plan(topology, spec, drained);
    checkSteps(topology, steps, spec, drained);
    expect(copies(topology, steps)).toBe(9);
    const after = applySteps(topology, steps);
    expect(loads(after, nodes).get('n0')).toBe(0);
    expect(preferred(after).has('n0')).toBe(false);
    expect(plan(after, spec, drained)).toEqual([]);
  });

  test('where there is nobody to take them, replicas stay; another is preferred', () => {
    const drained = changed(three, ['n0'], { accepts: false });
    const steps = plan(even, spec, drained);
    expect(steps.filter(({ kind }) => kind !== 'prefer')).toEqual([]);
    expect(preferred(applySteps(even, steps)).has('n0')).toBe(false);
  });

  test('a live replica stays while those that should follow it are silent', () => {
    const topology = only({ replicas: ['n0', 'n1', 'n2', 'n3'] });
    const nodes = changed(changed(nodesOf(4), ['n2', 'n3'], { live: false }), ['n0'], { accepts: false });
    expect(plan(topology, one, nodes).filter(({ kind }) => kind !== 'prefer')).toEqual([]);
    expect(plan(topology, one, changed(nodesOf(4), ['n0'], { accepts: false }))).toContainEqual({
      kind: 'removeReplica',
      partition: 0,
      node: 'n0',
    });
  });
});

describe('replication factor', () => {
  test('up: one more copy of everything', () => {
    const nodes = nodesOf(5);
    const topology = placed(spec, nodes);
    const more = { ...spec, replicationFactor: 4 };
    const steps = plan(topology, more, nodes);
    checkSteps(topology, steps, more, nodes);
    expect(copies(topology, steps)).toBe(12);
    expect(unevenness(applySteps(topology, steps), nodes)).toBeLessThanOrEqual(1);
  });

  test('down: no copy is made, silent replicas go first, and what remains is even', () => {
    const nodes = nodesOf(4);
    const topology = placed(spec, nodes);
    const fewer = { ...spec, replicationFactor: 2 };
    const silent = changed(nodes, ['n3'], { live: false });
    const steps = plan(topology, fewer, silent);
    checkSteps(topology, steps, fewer, silent);
    expect(copies(topology, steps)).toBe(0);
    const after = applySteps(topology, steps);
    expect(loads(after, nodes).get('n3')).toBe(0);
    expect(unevenness(after, silent)).toBeLessThanOrEqual(1);
    expect(plan(after, fewer, silent)).toEqual([]);
  });
});

describe('moves that are under way', () => {
  test('a joining node is to become a replica, and the leaving one to go', () => {
    const topology = only({ replicas: ['n0', 'n1', 'n2'], joining: ['n3'], leaving: ['n2'] });
    const nodes = changed(nodesOf(4), ['n2'], { accepts: false });
    const steps = plan(topology, one, nodes);
    expect(steps).toEqual([
      { kind: 'addReplica', partition: 0, node: 'n3' },
      { kind: 'removeReplica', partition: 0, node: 'n2' },
    ]);
    expect(copies(topology, steps)).toBe(0);
    const after = applySteps(topology, steps);
    expect(after.partitions[0]).toMatchObject({ replicas: ['n0', 'n1', 'n3'] });
    expect(plan(after, one, nodes)).toEqual([]);
  });

  test('a joining node that is given up is not waited for: the leaving one stays', () => {
    const topology = only({ replicas: ['n0', 'n1', 'n2'], joining: ['n3'], leaving: ['n2'] });
    const nodes = changed(nodesOf(5), ['n3'], { live: false, accepts: false });
    const steps = plan(topology, one, nodes);
    expect(copies(topology, steps)).toBe(0);
    expect(applySteps(topology, steps).partitions[0]).toEqual(only({ replicas: ['n0', 'n1', 'n2'] }).partitions[0]);
  });

  test('a leaving node that nobody follows stays', () => {
    const topology = only({ replicas: ['n0', 'n1', 'n2'], leaving: ['n2'] });
    expect(plan(topology, one, nodesOf(3))).toEqual([{ kind: 'addReplica', partition: 0, node: 'n2' }]);
  });
});

describe('zones', () => {
  test('each partition lies in three of them, and nodes of a zone hold equally many', () => {
    const nodes = nodesOf(9, { zones: 3 });
    const topology = placed({ partitions: 60, replicationFactor: 3 }, nodes);
    for (const placement of topology.partitions) expect(zonesOf(placement, nodes)).toBe(3);
    expect(unevenness(topology, nodes)).toBe(0);
  });

  test('two zones of three replicas: one or two in each', () => {
    const nodes = nodesOf(6, { zones: 2 });
    const topology = placed({ partitions: 40, replicationFactor: 3 }, nodes);
    for (const placement of topology.partitions) expect(zonesOf(placement, nodes)).toBe(2);
    expect(unevenness(topology, nodes)).toBe(0);
  });

  test('a zone of a single node: it holds a replica of everything, the others are even', () => {
    const nodes = nodesOf(7).map((node, i) => ({ ...node, zone: i === 0 ? 'small' : i < 4 ? 'b' : 'c' }));
    const topology = placed({ partitions: 30, replicationFactor: 3 }, nodes);
    for (const placement of topology.partitions) expect(zonesOf(placement, nodes)).toBe(3);
    expect([...loads(topology, nodes).values()]).toEqual([30, 10, 10, 10, 10, 10, 10]);
  });

  test('more zones than replicas of unequal size: nodes hold equally many all the same', () => {
    const zones = ['a', 'a', 'a', 'a', 'b', 'b', 'c', 'd', 'e', 'e'];
    const nodes = nodesOf(10).map((node, i) => ({ ...node, zone: zones[i]! }));
    const topology = placed({ partitions: 100, replicationFactor: 2 }, nodes);
    for (const placement of topology.partitions) expect(zonesOf(placement, nodes)).toBe(2);
    expect(unevenness(topology, nodes)).toBeLessThanOrEqual(1);
  });

  test('replicas that lie in one zone are spread', () => {
    const nodes = ['a', 'a', 'a', 'b', 'c'].map((zone, i) => ({ name: `n${i}`, zone, accepts: true, live: true }));
    const topology = only({ replicas: ['n0', 'n1', 'n2'] });
    const steps = plan(topology, one, nodes);
    checkSteps(topology, steps, one, nodes);
    expect(copies(topology, steps)).toBe(2);
    expect(zonesOf(applySteps(topology, steps).partitions[0]!, nodes)).toBe(3);
  });
});

describe('more and fewer partitions', () => {
  const sizes = ({ partitions }: Topology): number[] =>
    partitions.map(({ slots }) => slots.reduce((sum, { start, end }) => sum + end - start, 0));

  test.each([
    [1, 2],
    [3, 4],
    [4, 16],
    [16, 100],
    [1, slotCount],
  ])('from %i to %i: the largest has at most twice the slots of the smallest', (from, to) => {
    const topology = placed({ partitions: from, replicationFactor: 3 }, three);
    const wish = { partitions: to, replicationFactor: 3 };
    const steps = plan(topology, wish, three);
    expect(steps.filter(({ kind }) => kind === 'split')).toHaveLength(to - from);
    const after = applySteps(topology, steps);
    slotOwners(after);
    const all = sizes(after);
    expect(all).toHaveLength(to);
    expect(Math.max(...all)).toBeLessThanOrEqual(2 * Math.min(...all) + 1);
    expect(plan(after, wish, three)).toEqual([]);
  });

  test.each([
    [2, 1],
    [16, 4],
    [100, 16],
  ])('from %i back to %i: ranges are whole', (from, to) => {
    const topology = placed({ partitions: from, replicationFactor: 3 }, three);
    const wish = { partitions: to, replicationFactor: 3 };
    const steps = plan(topology, wish, three);
    expect(steps.filter(({ kind }) => kind === 'merge')).toHaveLength(from - to);
    const after = applySteps(topology, steps);
    slotOwners(after);
    for (const { slots } of after.partitions) expect(slots).toHaveLength(1);
    expect(plan(after, wish, three)).toEqual([]);
  });

  test('doubled and halved again, partitions have the slots that they had', () => {
    const topology = placed({ partitions: 8, replicationFactor: 3 }, three);
    const wish = (partitions: number) => ({ partitions, replicationFactor: 3 });
    const doubled = applySteps(topology, plan(topology, wish(16), three));
    const back = applySteps(doubled, plan(doubled, wish(8), three));
    expect(sizes(back)).toEqual(sizes(topology));
  });
});
