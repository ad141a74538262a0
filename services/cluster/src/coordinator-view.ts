// What a coordinator sees of its cluster at one moment, and what planning needs of that. Pure.
import type { PartitionPlacement, PlanNode, Topology, TopologySpec } from '@statestore/core';
import { StateStoreError, limits } from '@statestore/core';
import type { ObservedNode, ReplicaReport } from './node-registry.ts';

export interface CoordinatorView {
  readonly topology: Topology;
  readonly nodes: ReadonlyMap<string, ObservedNode>;
  /** Nodes that were silent for so long that they are not waited for. */
  readonly givenUp: ReadonlySet<string>;
  /** Retired partitions that were kept for long enough. */
  readonly pastGrace: ReadonlySet<number>;
  /** Retired partitions that are ended, and whose logs are not there any more. */
  readonly logsRemoved: ReadonlySet<number>;
}

/** Throws `invalid_settings`: an embedded node's topology is not coordinated. */
export function specOf({ spec }: Topology): TopologySpec {
  if (spec !== undefined) return spec;
  throw new StateStoreError('invalid_settings', 'the topology does not say what is wanted: it is of no cluster');
}

/** Nodes that say something, but said nothing new yet since they are watched: they may be leftovers. */
export function unconfirmed({ nodes }: CoordinatorView): readonly string[] {
  return [...nodes].flatMap(([name, { live, confirmed }]) => (live && !confirmed ? [name] : []));
}

/** Also the nodes that hold something and are not heard of: they are silent, not given up. */
export function planNodes({ topology, nodes, givenUp }: CoordinatorView): readonly PlanNode[] {
  const drained = new Set(specOf(topology).drained);
  const known = new Map<string, PlanNode>();
  for (const [name, { report, live }] of nodes) {
    const accepts = !drained.has(name) && !report.draining && !givenUp.has(name);
    known.set(name, { name, zone: report.zone, accepts, live });
  }
  for (const { replicas, joining = [] } of topology.partitions) {
    for (const name of [...replicas, ...joining]) {
      if (known.has(name)) continue;
      known.set(name, { name, zone: '', accepts: !drained.has(name) && !givenUp.has(name), live: false });
    }
  }
  return [...known.values()];
}

/** Whether what it holds has to be made elsewhere: it is silent, and not waited for. */
export function isGivenUp({ topology, nodes, givenUp }: CoordinatorView, name: string): boolean {
  return nodes.get(name)?.live !== true && (givenUp.has(name) || specOf(topology).drained.includes(name));
}

/** Whether the node is there and has only not taken up the present topology yet: a matter of a moment. */
export function isBehind({ topology, nodes }: CoordinatorView, name: string): boolean {
  const observed = nodes.get(name);
  return observed?.live === true && BigInt(observed.report.epoch) !== topology.epoch;
}

/** Undefined: the replica serves, or could. Else what is not so yet, as part of a sentence. */
export function whyNotServing(view: CoordinatorView, placement: PartitionPlacement, name: string): string | undefined {
  const observed = view.nodes.get(name);
  if (observed === undefined || !observed.live) return `node ${name} is silent`;
  const { report } = observed;
  // What it says of an earlier topology may be of a replica that it had then and has not any more.
  if (isBehind(view, name)) return `node ${name} acts on epoch ${report.epoch} and not yet on ${view.topology.epoch}`;
  return whyNotRunning(view, placement, name);
}

/** As whyNotServing, by whatever topology the node acts on. */
export function whyNotRunning(
  { nodes }: CoordinatorView,
  { partition, log }: PartitionPlacement,
  name: string,
): string | undefined {
  const observed = nodes.get(name);
  if (observed === undefined || !observed.live) return `node ${name} is silent`;
  const replica = observed.report.replicas.find((each) => each.partition === partition);
  if (replica === undefined) return `node ${name} has not begun with partition ${partition}`;
  if (replica.state !== 'running') return `partition ${partition} on node ${name} is ${stateOf(replica)}`;
  if (replica.incarnation !== log?.incarnation) return `partition ${partition} on node ${name} follows another log`;
  return undefined;
}

/** As whyNotServing, of one that joins: it must also be near the end of its log. */
export function whyNotReady(view: CoordinatorView, placement: PartitionPlacement, name: string): string | undefined {
  const why = whyNotServing(view, placement, name);
  if (why !== undefined) return why;
  const lag =
    view.nodes.get(name)?.report.replicas.find(({ partition }) => partition === placement.partition)?.lag ?? 0;
  return lag <= limits.promoteLagMax
    ? undefined
    : `partition ${placement.partition} on node ${name} is ${lag} batches behind`;
}

function stateOf({ state, haltCause }: ReplicaReport): string {
  return haltCause === undefined ? state : `${state} (${haltCause})`;
}
