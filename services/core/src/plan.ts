// Where partitions and their replicas should be, and the steps from here to there: made from a topology,
// a wish and the nodes that there are, and nothing else. What it goes by:
//
// - A replica is given only to a node that accepts and lives, and taken only from one that does not accept
//   (drained, or given up), or to even the load. A node that is merely silent keeps its replicas.
// - Replicas of a partition lie in as many zones as there are; within that, nodes hold equally many,
//   give or take one, and as few replicas move as that allows.
// - The proposers that are preferred are spread evenly over live nodes.
// - No partition has fewer live replicas after a step than before, unless it has as many as are wanted.
//
// Who takes the steps makes a plan anew whenever something changed: the plan of its result is empty, and
// that of any state on the way is what is left. In parts: plan-slots.ts (splits and merges), plan-targets.ts
// (how many replicas each node is to hold), plan-place.ts (which), plan-prefer.ts, plan-step.ts (what a step does).
// Who goes from one number of partitions to another under load asks plan-resize.ts (what is still to come) and
// plan-replicas.ts (what moves meanwhile); plan-balance.ts weighs partitions by what they carry.
import { Placements } from './plan-placements.ts';
import { place } from './plan-place.ts';
import { preferEvenly } from './plan-prefer.ts';
import { stepsOf } from './plan-replicas.ts';
import { planSlots } from './plan-slots.ts';
import { checkPartitionCount, checkReplicationFactor } from './topology-check.ts';
import type { SlotRange, Topology } from './topology.ts';

/** What is wanted. */
export interface PlanSpec {
  readonly partitions: number;
  /** Replicas of each partition. Where fewer nodes may hold any, that many. */
  readonly replicationFactor: number;
}

/** A node as the planner sees it. One that has replicas and is not among the nodes is given up. */
export interface PlanNode {
  readonly name: string;
  /** Its failure domain: replicas of a partition are spread over several where there are several. */
  readonly zone: string;
  /**
   * Whether it may be given replicas, and keep them: false while it is drained, and once it is given up,
   * which is for the caller to say: a node that does not answer may be back in a minute.
   */
  readonly accepts: boolean;
  /** Whether it answers. */
  readonly live: boolean;
}

/**
 * One change of the topology. Each leaves every partition with as many live replicas as before, or with as
 * many as are wanted.
 */
export type PlanStep =
  /** Also of a node that joins already: that is to be brought to its end. Of one that leaves: it stays. */
  | { readonly kind: 'addReplica'; readonly partition: number; readonly node: string }
  /** Also of a node that joins: it need not. */
  | { readonly kind: 'removeReplica'; readonly partition: number; readonly node: string }
  /** The replica becomes the one that gateways prefer as proposer. */
  | { readonly kind: 'prefer'; readonly partition: number; readonly node: string }
  /** `slots` of `partition` become those of the new partition `child`. */
  | { readonly kind: 'split'; readonly partition: number; readonly child: number; readonly slots: readonly SlotRange[] }
  /** All slots of `partition` go back to `into`, and it ends. */
  | { readonly kind: 'merge'; readonly partition: number; readonly into: number };

/** Steps in the order in which they are to be taken; none where nothing is to be done. */
export type Plan = (topology: Topology, spec: PlanSpec, nodes: readonly PlanNode[]) => readonly PlanStep[];

/** Throws `invalid_settings` where the wish cannot be. */
export const plan: Plan = (topology, spec, nodes) => {
  const { partitions, replicationFactor } = spec;
  checkPartitionCount(partitions);
  checkReplicationFactor(replicationFactor);
  const slots = planSlots(topology.partitions, partitions);
  const placements = new Placements(slots.partitions, replicationFactor, nodes);
  place(placements);
  const steps: PlanStep[] = [...slots.steps, ...stepsOf(placements)];
  for (const { partition, node } of preferEvenly(placements.finals())) steps.push({ kind: 'prefer', partition, node });
  return steps;
};
