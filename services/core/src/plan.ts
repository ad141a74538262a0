// What planning works with: where partitions and their replicas should be, and the steps from here to
// there. Types only; a plan is made from a topology, a wish and the nodes that there are, and nothing else.
import type { SlotRange, Topology } from './topology.ts';

/** What is wanted. */
export interface PlanSpec {
  readonly partitions: number;
  /** Replicas of each partition; at most the number of nodes that may hold any. */
  readonly replicationFactor: number;
}

/** A node as the planner sees it. */
export interface PlanNode {
  readonly name: string;
  /** Its failure domain: replicas of a partition are spread over several where there are several. */
  readonly zone: string;
  /** Whether it may be given replicas; false while it is drained. */
  readonly accepts: boolean;
  /** Whether it answers. */
  readonly live: boolean;
}

/** One change of the topology. Each leaves every partition with as many live replicas as before, or more. */
export type PlanStep =
  | { readonly kind: 'addReplica'; readonly partition: number; readonly node: string }
  | { readonly kind: 'removeReplica'; readonly partition: number; readonly node: string }
  /** The replica becomes the one that gateways prefer as proposer. */
  | { readonly kind: 'prefer'; readonly partition: number; readonly node: string }
  /** `slots` of `partition` become those of the new partition `child`. */
  | { readonly kind: 'split'; readonly partition: number; readonly child: number; readonly slots: readonly SlotRange[] }
  /** All slots of `partition` go back to `into`, and it ends. */
  | { readonly kind: 'merge'; readonly partition: number; readonly into: number };

/** Steps in the order in which they are to be taken; none where nothing is to be done. */
export type Plan = (topology: Topology, spec: PlanSpec, nodes: readonly PlanNode[]) => readonly PlanStep[];
