import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PlanNode, PlanSpec, PlanStep } from './plan.ts';
import { plan } from './plan.ts';
import { applySteps } from './plan-step.ts';
import { checkSteps, copies, copiesAtLeast, placed, unevenness, zonesOf } from './plan.testing.ts';
import type { Topology } from './topology.ts';

type Event =
  | { readonly kind: 'join'; readonly zone: number }
  | { readonly kind: 'silence' | 'wake' | 'drain' | 'undrain' | 'forget'; readonly node: number }
  | { readonly kind: 'factor'; readonly factor: number };

const node = fc.nat(20);
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ kind: fc.constant('join' as const), zone: fc.nat(3) }),
  fc.record({ kind: fc.constantFrom('silence', 'wake', 'wake', 'drain', 'undrain', 'forget'), node }),
  fc.record({ kind: fc.constant('factor' as const), factor: fc.integer({ min: 1, max: 5 }) }),
);

interface World {
  readonly nodes: readonly PlanNode[];
  readonly spec: PlanSpec;
}

function happen({ nodes, spec }: World, happening: Event): World {
  if (happening.kind === 'factor') return { nodes, spec: { ...spec, replicationFactor: happening.factor } };
  if (happening.kind === 'join') {
    const name = `m${nodes.reduce((most, each) => Math.max(most, Number(each.name.slice(1))), 0) + 1}`;
    return { nodes: [...nodes, { name, zone: `z${happening.zone}`, accepts: true, live: true }], spec };
  }
  const { name } = nodes[happening.node % nodes.length]!;
  if (happening.kind === 'forget')
    return { nodes: nodes.length > 1 ? nodes.filter((n) => n.name !== name) : nodes, spec };
  const change = {
    silence: { live: false },
    wake: { live: true },
    drain: { accepts: false },
    undrain: { accepts: true },
  }[happening.kind];
  return { nodes: nodes.map((n) => (n.name === name ? { ...n, ...change } : n)), spec };
}

/** As one who takes steps: what is added joins first, and what it replaces is marked as leaving. */
function begin(topology: Topology, steps: readonly PlanStep[], count: number): Topology {
  const partitions = topology.partitions.map((placement) => {
    const own = steps.slice(0, count).filter(({ partition }) => partition === placement.partition);
    const { joining: wasJoining = [], leaving: wasLeaving = [], replicas, ...rest } = placement;
    const joining = new Set(wasJoining);
    const leaving = new Set(wasLeaving);
    for (const step of own) {
      if (step.kind === 'addReplica' && !leaving.delete(step.node)) joining.add(step.node);
      if (step.kind === 'removeReplica' && !joining.delete(step.node)) leaving.add(step.node);
    }
    return {
      ...rest,
      replicas,
      ...(joining.size === 0 ? {} : { joining: [...joining] }),
      ...(leaving.size === 0 ? {} : { leaving: [...leaving] }),
    };
  });
  return { ...topology, partitions };
}

const world = fc.record({
  nodes: fc.array(fc.nat(3), { minLength: 1, maxLength: 10 }),
  partitions: fc.integer({ min: 1, max: 24 }),
  replicationFactor: fc.integer({ min: 1, max: 5 }),
  events: fc.array(fc.tuple(event, fc.nat(40), fc.boolean()), { maxLength: 12 }),
});

describe('whatever happens', () => {
  test('steps are allowed, lead where nothing is left to do, and to what is wanted', () => {
    fc.assert(
      fc.property(world, ({ nodes: zones, partitions, replicationFactor, events }) => {
        const nodes = zones.map((zone, i) => ({ name: `n${i}`, zone: `z${zone}`, accepts: true, live: true }));
        let now: World = { nodes, spec: { partitions, replicationFactor } };
        let topology = placed(now.spec, now.nodes);
        for (const [happening, count, isTaken] of events) {
          now = happen(now, happening);
          const steps = plan(topology, now.spec, now.nodes);
          checkSteps(topology, steps, now.spec, now.nodes);
          const after = applySteps(topology, steps);
          expect(plan(after, now.spec, now.nodes)).toEqual([]);
          expectWanted(after, now);
          topology = isTaken ? applySteps(topology, steps.slice(0, count)) : begin(topology, steps, count);
        }
      }),
      { numRuns: 400 },
    );
  });

  test('planning anew on the way makes hardly more copies than the first plan said', () => {
    fc.assert(
      fc.property(world, fc.array(fc.nat(6), { minLength: 1, maxLength: 6 }), (made, counts) => {
        const { nodes: zones, partitions, replicationFactor, events } = made;
        const nodes = zones.map((zone, i) => ({ name: `n${i}`, zone: `z${zone}`, accepts: true, live: true }));
        let now: World = { nodes, spec: { partitions, replicationFactor } };
        let topology = placed(now.spec, now.nodes);
        for (const [happening] of events.slice(0, 3)) now = happen(now, happening);
        const first = copies(topology, plan(topology, now.spec, now.nodes));
        let sum = 0;
        for (let turn = 0; turn < 500; turn++) {
          const steps = plan(topology, now.spec, now.nodes);
          if (steps.length === 0) break;
          const next = steps.slice(0, 1 + counts[turn % counts.length]!);
          sum += copies(topology, next);
          topology = turn % 2 === 0 ? begin(topology, next, next.length) : applySteps(topology, next);
        }
        expect(plan(topology, now.spec, now.nodes)).toEqual([]);
        // With fewer replicas wanted there are many ways to be even, and each step taken may favour another.
        const less = now.spec.replicationFactor < replicationFactor ? partitions / 2 : 0;
        expect(sum).toBeLessThanOrEqual(first + 3 + first / 4 + less);
      }),
      { numRuns: 200 },
    );
  });

  test('no more replicas are copied than losses and evenness need, give or take a few', () => {
    let made = 0;
    let needed = 0;
    fc.assert(
      fc.property(world, ({ nodes: zones, partitions, replicationFactor, events }) => {
        const nodes = zones.map((_, i) => ({ name: `n${i}`, zone: 'z', accepts: true, live: true }));
        let now: World = { nodes, spec: { partitions, replicationFactor } };
        const topology = placed(now.spec, now.nodes);
        for (const [happening] of events.slice(0, 2)) {
          if (happening.kind !== 'silence')
            now = happen(now, happening.kind === 'join' ? { ...happening, zone: 0 } : happening);
        }
        now = { ...now, nodes: now.nodes.map((each) => ({ ...each, zone: 'z' })) };
        const steps = plan(topology, now.spec, now.nodes);
        made += copies(topology, steps);
        needed += copiesAtLeast(topology, now.spec, now.nodes);
        expect(copies(topology, steps)).toBeLessThanOrEqual(copiesAtLeast(topology, now.spec, now.nodes) + 3);
      }),
      { numRuns: 400 },
    );
    expect(made).toBeLessThanOrEqual(needed * 1.05);
  });
});

function expectWanted(topology: Topology, { nodes, spec }: World): void {
  const accepting = nodes.filter(({ accepts }) => accepts);
  if (accepting.some(({ live }) => !live)) return;
  const zones = new Set(accepting.map(({ zone }) => zone)).size;
  const factor = Math.min(spec.replicationFactor, accepting.length);
  for (const placement of topology.partitions) {
    const held = placement.replicas.filter((name) => accepting.some((each) => each.name === name));
    expect(held).toHaveLength(factor);
    expect(zonesOf(placement, nodes)).toBe(Math.min(factor, zones));
  }
  if (zones === 1) expect(unevenness(topology, nodes)).toBeLessThanOrEqual(1);
}
