// What a step of a plan makes of a topology, once it is done. Who takes steps for real goes another way
// to the same end: a replica joins before it serves, and leaves once others do.
import type { PlanStep } from './plan.ts';
import { takeMerge, takeSplit } from './plan-slots.ts';
import type { PartitionPlacement, Topology } from './topology.ts';

/** Each step makes the next epoch. */
export function applySteps(topology: Topology, steps: readonly PlanStep[]): Topology {
  if (steps.length === 0) return topology;
  const all = new Map(topology.partitions.map((placement) => [placement.partition, placement]));
  for (const step of steps) {
    if (step.kind === 'split') takeSplit(all, step);
    else if (step.kind === 'merge') takeMerge(all, step);
    else {
      const placement = all.get(step.partition);
      if (placement !== undefined) all.set(step.partition, changed(placement, step));
    }
  }
  const partitions = [...all.values()].sort((a, b) => a.partition - b.partition);
  return { ...topology, epoch: topology.epoch + BigInt(steps.length), partitions };
}

function changed(
  placement: PartitionPlacement,
  { kind, node }: Extract<PlanStep, { readonly node: string }>,
): PartitionPlacement {
  const others = placement.replicas.filter((replica) => replica !== node);
  const leaving = without(placement.leaving, node);
  const isReplica = placement.replicas.includes(node);
  if (kind === 'prefer') return isReplica ? { ...placement, replicas: [node, ...others] } : placement;
  const { joining: _joining, leaving: _leaving, ...rest } = placement;
  const joining = without(placement.joining, node);
  const replicas = kind === 'removeReplica' ? others : isReplica ? placement.replicas : [...others, node];
  return {
    ...rest,
    replicas,
    ...(joining.length === 0 ? {} : { joining }),
    ...(leaving.length === 0 ? {} : { leaving }),
  };
}

function without(nodes: readonly string[] | undefined, node: string): readonly string[] {
  return nodes?.filter((other) => other !== node) ?? [];
}
