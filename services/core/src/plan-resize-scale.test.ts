// From one number of partitions to another at the size that is promised: how long a plan takes, how even its end is, and
// what is copied against the least that can be.
import { describe, expect, test } from 'vitest';
import { slotCount } from './limits.ts';
import { nodesOf, placed, preferred, unevenness } from './plan.testing.ts';
import type { PlanNode } from './plan.ts';
import { planReplicas } from './plan-replicas.ts';
import type { ReplicasSpec } from './plan-replicas.ts';
import { mergeHomes, planResize } from './plan-resize.ts';
import { applySteps } from './plan-step.ts';
import { slotCountOf } from './slot-ranges.ts';
import type { PartitionPlacement, Topology } from './topology.ts';

const replicationFactor = 3;

interface Way {
  readonly after: Topology;
  /** Slots of replicas that were made on another node. */
  readonly copied: number;
  readonly rounds: number;
  readonly planMsMax: number;
}

/** As a coordinator goes it, but for its limits: all steps that may be taken at once are. */
function resized(topology: Topology, count: number, nodes: readonly PlanNode[]): Way {
  let now = topology;
  let copied = 0;
  let planMsMax = 0;
  for (let rounds = 0; ; rounds++) {
    const beganMs = performance.now();
    const { steps, partitions } = planResize(now, count);
    const homes = mergeHomes(steps, steps.length);
    const isMerging = homes.size > 0;
    const even = new Set(
      (isMerging ? partitions : steps.length === 0 ? now.partitions : []).map((each) => each.partition),
    );
    const spec: ReplicasSpec = { replicationFactor, nodes, fixed: new Set(), homes, even };
    const moves = planReplicas(now.partitions, spec);
    planMsMax = Math.max(planMsMax, performance.now() - beganMs);
    copied += slotsCopied(now, moves);
    const placedNow = applySteps(now, moves);
    if (steps.length === 0) {
      expect(planReplicas(placedNow.partitions, { ...spec, homes: new Map() })).toEqual([]);
      return { after: placedNow, copied, rounds, planMsMax };
    }
    const there = new Set(now.partitions.map(({ partition }) => partition));
    const touched = new Set<number>();
    const free = steps.filter((step) => {
      const other = step.kind === 'split' ? step.child : step.into;
      const isFree = !touched.has(step.partition) && !touched.has(other) && there.has(step.partition);
      touched.add(step.partition).add(other);
      return isFree;
    });
    expect(free.length).toBeGreaterThan(0);
    now = applySteps(placedNow, free);
  }
}

function slotsCopied({ partitions }: Topology, moves: ReturnType<typeof planReplicas>): number {
  const sizes = new Map(partitions.map(({ partition, slots }) => [partition, slotCountOf(slots)]));
  return moves.reduce((sum, { kind, partition }) => sum + (kind === 'addReplica' ? sizes.get(partition)! : 0), 0);
}

/** What nodes hold more of than before, whichever way: by slots, where all hold equally many in the end. */
function leastCopied(before: Topology, after: Topology): number {
  const held = slotsOfNodes(before.partitions);
  let least = 0;
  for (const [node, slots] of slotsOfNodes(after.partitions)) least += Math.max(0, slots - (held.get(node) ?? 0));
  return least;
}

function slotsOfNodes(partitions: readonly PartitionPlacement[]): Map<string, number> {
  const held = new Map<string, number>();
  for (const { replicas, slots } of partitions) {
    for (const node of replicas) held.set(node, (held.get(node) ?? 0) + slotCountOf(slots));
  }
  return held;
}

/** Of what becomes one partition, all but what lies on the three nodes that have most of it. */
function leastMerged(before: Topology, after: Topology): number {
  let least = 0;
  for (const { slots } of after.partitions) {
    const members = before.partitions.filter((each) =>
      each.slots.every(({ start }) => slots.some((range) => start >= range.start && start < range.end)),
    );
    const held = [...slotsOfNodes(members).values()].sort((a, b) => b - a);
    const kept = held.slice(0, replicationFactor).reduce((sum, each) => sum + each, 0);
    least += slotCountOf(slots) * replicationFactor - kept;
  }
  return least;
}

const sizesOf = ({ partitions }: Topology): number[] => partitions.map(({ slots }) => slotCountOf(slots));

/** Ten times of what it takes where nothing else runs: a bound for what grows too fast, not a measurement. */
const planMsAllowed = 20_000;

describe('1,000 nodes', () => {
  const nodes = nodesOf(1000);

  test.each([
    [1, slotCount],
    [64, slotCount],
    [1000, 3000],
  ])('from %i partitions to %i', (from, to) => {
    const topology = placed({ partitions: from, replicationFactor }, nodes);
    const { after, copied, rounds, planMsMax } = resized(topology, to, nodes);
    expect(after.partitions).toHaveLength(to);
    expect(unevenness(after, nodes)).toBeLessThanOrEqual(1);
    const sizes = sizesOf(after);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(2 * Math.min(...sizes) + 1);
    const proposers = [...preferred(after).values()];
    expect(Math.max(...proposers) - Math.min(...proposers)).toBeLessThanOrEqual(1);
    expect(copied).toBeLessThanOrEqual(leastCopied(topology, after) * 1.25);
    expect(rounds).toBeLessThanOrEqual(14);
    expect(planMsMax).toBeLessThan(planMsAllowed);
  });

  test.each([
    [slotCount, 256],
    [slotCount, 1000],
    [1000, 1],
  ])('from %i partitions to %i', (from, to) => {
    const topology = placed({ partitions: from, replicationFactor }, nodes);
    const { after, copied, planMsMax } = resized(topology, to, nodes);
    expect(after.partitions).toHaveLength(to);
    for (const { slots } of after.partitions) expect(slots).toHaveLength(1);
    expect(unevenness(after, nodes)).toBeLessThanOrEqual(1);
    expect(copied).toBeLessThanOrEqual(leastMerged(topology, after) * 1.1);
    expect(planMsMax).toBeLessThan(planMsAllowed);
  });

  test('there and back: what was split in place comes back to where it was', () => {
    const topology = placed({ partitions: 1000, replicationFactor }, nodes);
    const there = resized(topology, 2000, nodes).after;
    const { after } = resized(there, 1000, nodes);
    expect(sizesOf(after)).toEqual(sizesOf(topology));
  });
});

describe('few nodes', () => {
  test.each([
    [2, 8, 6],
    [4, 16, 12],
    [1, 64, 5],
  ])('from %i to %i partitions on %i nodes', (from, to, count) => {
    const nodes = nodesOf(count);
    const topology = placed({ partitions: from, replicationFactor }, nodes);
    const { after, copied } = resized(topology, to, nodes);
    expect(unevenness(after, nodes)).toBeLessThanOrEqual(1);
    expect(copied).toBeLessThanOrEqual(leastCopied(topology, after) * 1.25 + slotCount / to);
  });

  test.each([
    [8, 2, 6],
    [16, 4, 12],
    [16, 6, 5],
    [64, 3, 7],
  ])('from %i back to %i partitions on %i nodes', (from, to, count) => {
    const nodes = nodesOf(count);
    const topology = placed({ partitions: from, replicationFactor }, nodes);
    const { after, copied } = resized(topology, to, nodes);
    expect(unevenness(after, nodes)).toBeLessThanOrEqual(1);
    // The least leaves out that nodes are to be even.
    expect(copied).toBeLessThanOrEqual(leastMerged(topology, after) * 1.5);
  });
});
