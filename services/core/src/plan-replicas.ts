// Which replicas move while the number of partitions changes. Before splits none does but those that have to: a child
// begins where its source is, and what is even in the end is known when all are there; so each byte moves once at most.
// Before merges what is to be one partition comes together where that one is to be, all at once: also once at most.
import { place } from './plan-place.ts';
import { Placements } from './plan-placements.ts';
import type { PlanNode, PlanStep } from './plan.ts';
import { preferEvenly } from './plan-prefer.ts';
import type { PartitionPlacement } from './topology.ts';

export interface ReplicasSpec {
  readonly replicationFactor: number;
  readonly nodes: readonly PlanNode[];
  /** Partitions that nothing is to be changed about: in a split or a merge. */
  readonly fixed: ReadonlySet<number>;
  /** By partition that is to be merged soon: the one that it is to be part of in the end. */
  readonly homes: ReadonlyMap<number, number>;
  /** Partitions among which nodes are to hold equally many. Others move only where they have to. */
  readonly even: ReadonlySet<number>;
}

export type ReplicaStep = Extract<PlanStep, { readonly node: string }>;

/** Steps in the order in which they are to be begun. */
export function planReplicas(partitions: readonly PartitionPlacement[], spec: ReplicasSpec): readonly ReplicaStep[] {
  const { replicationFactor, nodes, fixed, homes, even } = spec;
  const isOf = (isEven: boolean) => (each: PartitionPlacement) =>
    even.has(each.partition) === isEven && !homes.has(each.partition);
  const steps: ReplicaStep[] = [];
  const preferences: ReplicaStep[] = [];
  const holders = new Map<number, readonly string[]>();
  for (const isEven of [true, false]) {
    const placements = new Placements(partitions.filter(isOf(isEven)), replicationFactor, nodes, fixed);
    place(placements, isEven);
    steps.push(...stepsOf(placements));
    for (const { placement, holders: all } of placements.partitions) {
      holders.set(
        placement.partition,
        all.map(({ name }) => name),
      );
    }
    for (const each of preferEvenly(placements.finals())) preferences.push({ kind: 'prefer', ...each });
  }
  return [...steps, ...following(partitions, spec, holders), ...preferences];
}

function following(
  partitions: readonly PartitionPlacement[],
  { replicationFactor, nodes, fixed, homes }: ReplicasSpec,
  holders: ReadonlyMap<number, readonly string[]>,
): readonly ReplicaStep[] {
  const byPartition = new Map(partitions.map((placement) => [placement.partition, placement]));
  const those = [...homes.keys()].flatMap((partition) => byPartition.get(partition) ?? []);
  const placements = new Placements(those, replicationFactor, nodes, fixed);
  for (const state of placements.partitions) {
    const home = holders.get(homes.get(state.placement.partition)!);
    if (!state.fixed && home !== undefined) placements.follow(state, home);
  }
  return stepsOf(placements);
}

export function stepsOf(placements: Placements): readonly ReplicaStep[] {
  const steps: ReplicaStep[] = [];
  for (const { partition, adds, removes } of placements.changes()) {
    for (const node of adds) steps.push({ kind: 'addReplica', partition, node });
    for (const node of removes) steps.push({ kind: 'removeReplica', partition, node });
  }
  return steps;
}
