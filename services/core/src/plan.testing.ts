// What tests of planning ask of plans and of topologies: how even one is, whether each step was allowed, and
// how few replicas could have moved.
import type { PlanNode, PlanSpec, PlanStep } from './plan.ts';
import { plan } from './plan.ts';
import { applySteps } from './plan-step.ts';
import type { PartitionPlacement, Topology } from './topology.ts';
import { checkTopology } from './topology-check.ts';
import { evenTopology } from './topology.ts';

export interface NodeOptions {
  readonly zones?: number;
  readonly accepts?: boolean;
  readonly live?: boolean;
}

export function nodesOf(count: number, { zones = 1, accepts = true, live = true }: NodeOptions = {}): PlanNode[] {
  return Array.from({ length: count }, (_, i) => ({ name: `n${i}`, zone: `z${i % zones}`, accepts, live }));
}

export function changed(nodes: readonly PlanNode[], names: readonly string[], change: Partial<PlanNode>): PlanNode[] {
  return nodes.map((node) => (names.includes(node.name) ? { ...node, ...change } : node));
}

/** A topology of its plan, made from one where a single node holds everything. */
export function placed(spec: PlanSpec, nodes: readonly PlanNode[]): Topology {
  const seed = evenTopology(spec.partitions, [nodes[0]!.name]);
  return applySteps(seed, plan(seed, spec, nodes));
}

export function loads(topology: Topology, nodes: readonly PlanNode[]): Map<string, number> {
  const counts = new Map(nodes.map(({ name }) => [name, 0]));
  for (const { replicas } of topology.partitions) {
    for (const node of replicas) counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  return counts;
}

export function preferred(topology: Topology): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { replicas } of topology.partitions) counts.set(replicas[0]!, (counts.get(replicas[0]!) ?? 0) + 1);
  return counts;
}

/** Greatest minus least number of replicas on nodes that may be given any. */
export function unevenness(topology: Topology, nodes: readonly PlanNode[]): number {
  const counts = loads(topology, nodes);
  const usable = nodes.filter(({ accepts, live }) => accepts && live).map(({ name }) => counts.get(name)!);
  return Math.max(...usable) - Math.min(...usable);
}

/** Copies that the steps make: replicas that were neither there nor being built. */
export function copies(topology: Topology, steps: readonly PlanStep[]): number {
  const before = new Map(topology.partitions.map((placement) => [placement.partition, placement]));
  return steps.filter((step) => {
    if (step.kind !== 'addReplica') return false;
    const { replicas = [], joining = [] } = before.get(step.partition) ?? {};
    return !replicas.includes(step.node) && !joining.includes(step.node);
  }).length;
}

/** Throws where a step leaves fewer live replicas than are allowed, or a topology that makes no sense. */
export function checkSteps(
  topology: Topology,
  steps: readonly PlanStep[],
  { replicationFactor }: PlanSpec,
  nodes: readonly PlanNode[],
): void {
  checkTopology(applySteps(topology, steps));
  const live = new Set(nodes.filter((node) => node.live).map(({ name }) => name));
  const liveOf = ({ replicas }: PartitionPlacement): number => replicas.filter((name) => live.has(name)).length;
  const present = new Map(topology.partitions.map((placement) => [placement.partition, placement]));
  for (const step of steps) {
    const before = present.get(step.partition);
    if (before === undefined) throw new Error(`there is no partition for ${JSON.stringify(step)}`);
    const made = applySteps({ epoch: 1n, partitions: [...present.values()].filter(isOf(step)) }, [step]);
    for (const placement of made.partitions) present.set(placement.partition, placement);
    if (step.kind === 'merge') present.delete(step.partition);
    const after = present.get(step.partition);
    if (after === undefined || liveOf(after) >= Math.min(liveOf(before), replicationFactor)) continue;
    throw new Error(`${JSON.stringify(step)} leaves ${liveOf(after)} live replicas of ${liveOf(before)}`);
  }
}

function isOf(step: PlanStep): (placement: PartitionPlacement) => boolean {
  return ({ partition }) => partition === step.partition || (step.kind === 'merge' && partition === step.into);
}

/** Zones in which the partition has a replica on a node that may keep one. */
export function zonesOf({ replicas }: PartitionPlacement, nodes: readonly PlanNode[]): number {
  const zones = new Map(nodes.filter(({ accepts }) => accepts).map(({ name, zone }) => [name, zone]));
  return new Set(replicas.flatMap((name) => zones.get(name) ?? [])).size;
}

/**
 * Copies that are needed at least, where all nodes are of one zone and none is silent: what was lost has to
 * be made again, and who is to hold more than it has has to be given it.
 */
export function copiesAtLeast(topology: Topology, spec: PlanSpec, nodes: readonly PlanNode[]): number {
  const names = nodes.filter(({ accepts, live }) => accepts && live).map(({ name }) => name);
  const factor = Math.min(spec.replicationFactor, names.length);
  let lost = 0;
  const kept = new Map(names.map((name) => [name, 0]));
  for (const { replicas } of topology.partitions) {
    const here = replicas.filter((name) => kept.has(name));
    lost += Math.max(0, factor - here.length);
    for (const name of here) kept.set(name, kept.get(name)! + 1);
  }
  const total = topology.partitions.length * factor;
  const each = Math.floor(total / names.length);
  const odd = total - each * names.length;
  const most = [...kept.values()].sort((a, b) => b - a);
  const given = most.reduce((sum, count, i) => sum + Math.max(0, each + (i < odd ? 1 : 0) - count), 0);
  return Math.max(lost, given);
}
