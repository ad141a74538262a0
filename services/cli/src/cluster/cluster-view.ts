// What the state of a cluster is, for people and scripts: made of the topology and of what nodes report, and of
// nothing else. How it is printed: status-table.ts.
import type { BuildReport, KeptReport, ObservedNode, ReplicaReport } from '@statestore/cluster';
import { replicasThatDiffer } from '@statestore/cluster';
import type { PartitionPlacement, Topology } from '@statestore/core';
import { timeOf } from '../checkpoint/columns.ts';
import type { ResizeView } from '@statestore/cluster';
import { viewResize } from '@statestore/cluster';

export interface ClusterView {
  readonly cluster: string;
  /** Decimal text; undefined: there is no topology yet. */
  readonly epoch: string | undefined;
  readonly replicationFactor: number | undefined;
  readonly logReplicas: number | undefined;
  readonly nodes: readonly NodeView[];
  readonly partitions: readonly PartitionView[];
  /** Splits and merges under way, or to be; absent: none. */
  readonly resize?: ResizeView;
  /** Partitions that were merged into others a while ago; kept for those who still follow them. */
  readonly retired: readonly { readonly partition: number; readonly into: number }[];
  /** Data that nodes keep aside until a person removes them. */
  readonly kept: readonly KeptView[];
  /** What a person should look at, worst first; empty: all is well. */
  readonly problems: readonly string[];
}

export interface NodeView {
  readonly name: string;
  /** `unknown`: seen too short a time ago to tell. `absent`: the topology names it, and it has never reported. */
  readonly state: 'live' | 'silent' | 'unknown' | 'absent';
  readonly draining: boolean;
  readonly address: string;
  readonly zone: string;
  readonly version: string;
  readonly replicas: number;
  /** Partitions of which it is the preferred proposer. */
  readonly preferred: number;
  readonly diskFreeBytes: number;
  readonly diskTotalBytes: number;
}

export interface PartitionView {
  readonly partition: number;
  readonly slots: number;
  /** Of its log; 0: the topology names none. */
  readonly generation: number;
  /** The highest that a replica has applied, decimal text. */
  readonly position: string;
  /** As of that replica. */
  readonly entries: number;
  readonly bytes: number;
  readonly replicas: readonly ReplicaView[];
}

export interface ReplicaView {
  readonly node: string;
  readonly role: 'replica' | 'joining' | 'leaving';
  /** `none`: its node has not said anything of it; `silent`: its node says nothing any more. */
  readonly state: ReplicaReport['state'] | 'none' | 'silent';
  readonly haltCause: string | undefined;
  readonly reason: string;
  readonly appliedPosition: string;
  readonly storedPosition: string;
  /** Batches of the log that it has not applied, as far as its node knows. */
  readonly lag: number;
  /** While it is built: from what, and how far it is. */
  readonly build?: BuildReport;
}

export interface KeptView extends KeptReport {
  readonly node: string;
}

type Nodes = ReadonlyMap<string, ObservedNode>;

/** `settled`: the nodes were watched for so long that one that did not report meanwhile is silent. */
export function viewCluster(
  cluster: string,
  topology: Topology | undefined,
  nodes: Nodes,
  settled: boolean,
): ClusterView {
  const nodeViews = viewNodes(topology, nodes, settled);
  const states = new Map(nodeViews.map(({ name, state }) => [name, state]));
  const partitions = (topology?.partitions ?? []).map((placement) => viewPartition(placement, nodes, states));
  const resize = topology && viewResize(topology, nodes);
  const problems = problemsOf(
    topology,
    nodeViews,
    partitions,
    differencesOf(topology, nodes),
    silencesOf(nodes, states),
  );
  return {
    cluster,
    epoch: topology?.epoch.toString(),
    replicationFactor: topology?.spec?.replicationFactor,
    logReplicas: topology?.spec?.logReplicas,
    nodes: nodeViews,
    partitions,
    ...(resize && { resize }),
    retired: (topology?.retired ?? []).map(({ placement: { partition }, into }) => ({
      partition,
      into: into.partition,
    })),
    kept: keptOn(nodes),
    problems: [...problems, ...failuresOf(resize)],
  };
}

function viewNodes(topology: Topology | undefined, nodes: Nodes, settled: boolean): NodeView[] {
  const placements = topology?.partitions ?? [];
  const placed = placements.flatMap(({ replicas, joining = [] }) => [...replicas, ...joining]);
  const drained = new Set(topology?.spec?.drained);
  const names = [...new Set([...nodes.keys(), ...placed])].toSorted(byName);
  return names.map((name) => {
    const observed = nodes.get(name);
    const report = observed?.report;
    return {
      name,
      state: stateOf(observed, settled),
      draining: drained.has(name) || report?.draining === true,
      address: report?.address ?? '',
      zone: report?.zone ?? '',
      version: report?.version ?? '',
      replicas: placed.filter((node) => node === name).length,
      preferred: placements.filter(({ replicas }) => replicas[0] === name).length,
      diskFreeBytes: report?.disk.freeBytes ?? 0,
      diskTotalBytes: report?.disk.totalBytes ?? 0,
    };
  });
}

function keptOn(nodes: Nodes): KeptView[] {
  const names = [...nodes.keys()].toSorted(byName);
  return names.flatMap((node) => (nodes.get(node)?.report.kept ?? []).map((kept) => ({ node, ...kept })));
}

function stateOf(observed: ObservedNode | undefined, settled: boolean): NodeView['state'] {
  if (observed === undefined) return 'absent';
  if (observed.confirmed) return 'live';
  return observed.live && !settled ? 'unknown' : 'silent';
}

/** node-2 before node-10. */
function byName(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

function viewPartition(
  placement: PartitionPlacement,
  nodes: Nodes,
  states: ReadonlyMap<string, NodeView['state']>,
): PartitionView {
  const { partition, slots, replicas, joining = [], leaving = [], log } = placement;
  const views = [...replicas, ...joining].map((node): ReplicaView => {
    const report = nodes.get(node)?.report.replicas.find((replica) => replica.partition === partition);
    const role = joining.includes(node) ? 'joining' : leaving.includes(node) ? 'leaving' : 'replica';
    const silent = states.get(node) === 'silent' || states.get(node) === 'absent';
    return {
      node,
      role,
      state: silent ? 'silent' : (report?.state ?? 'none'),
      haltCause: report?.haltCause,
      reason: report?.reason ?? '',
      appliedPosition: report?.appliedPosition ?? '0',
      storedPosition: report?.storedPosition ?? '0',
      lag: report?.lag ?? 0,
      ...(report?.build === undefined || silent ? {} : { build: report.build }),
    };
  });
  const position = views.reduce((most, { appliedPosition }) => maxOf(most, BigInt(appliedPosition)), 0n);
  const at = views.find(({ appliedPosition }) => BigInt(appliedPosition) === position)?.node;
  const furthest = nodes.get(at ?? '')?.report.replicas.find((replica) => replica.partition === partition);
  return {
    partition,
    slots: slots.reduce((sum, { start, end }) => sum + end - start, 0),
    generation: log?.generation ?? 0,
    position: position.toString(),
    entries: furthest?.entries ?? 0,
    bytes: furthest?.bytes ?? 0,
    replicas: views,
  };
}

function maxOf(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** What nodes found while a log waits to be recovered, or some wait beside it: nothing that goes away by itself. */
function differencesOf(topology: Topology | undefined, nodes: Nodes): string[] {
  return (topology?.partitions ?? []).flatMap((placement) =>
    replicasThatDiffer(placement, nodes).map(
      ({ node, than, position }) =>
        `partition ${placement.partition} on ${node} has another history than on ${than}: at ${position} they differ`,
    ),
  );
}

/** Nodes that have a repository of checkpoints that does not answer them. */
function silencesOf(nodes: Nodes, states: ReadonlyMap<string, NodeView['state']>): string[] {
  const names = [...nodes.keys()].toSorted(byName);
  return names.flatMap((name) => {
    const silence = nodes.get(name)?.report.repositorySilence;
    if (silence === undefined || states.get(name) !== 'live') return [];
    return [
      `the repository of checkpoints has not answered node ${name} since ${timeOf(silence.sinceMs)}: ${silence.why}`,
    ];
  });
}

/** It is tried again, and yet a person may have to do something for it. */
function failuresOf(resize: ResizeView | undefined): string[] {
  return (resize?.reshapes ?? []).flatMap(({ kind, source, target, nodes }) =>
    nodes
      .filter(({ state }) => state === 'failed')
      .map(({ node, why }) => `the ${kind} ${source} → ${target} failed on ${node}: ${why || 'nobody says why'}`),
  );
}

/* oxlint-disable-next-line max-params -- what was found of each */
function problemsOf(
  topology: Topology | undefined,
  nodes: readonly NodeView[],
  partitions: readonly PartitionView[],
  differences: readonly string[],
  silences: readonly string[],
): string[] {
  if (topology === undefined) return ['there is no topology: run `statestore init`'];
  const problems: { readonly weight: number; readonly text: string }[] = differences.map((text) => ({
    weight: 2,
    text,
  }));
  for (const { partition, replicas } of partitions) {
    const serving = replicas.filter(({ role, state }) => role !== 'joining' && state === 'running');
    if (serving.length === 0) problems.push({ weight: 3, text: `partition ${partition}: no replica serves it` });
    for (const { node, state, haltCause, reason } of replicas) {
      if (state !== 'halted') continue;
      const why = [haltCause, reason].filter((text) => text !== undefined && text !== '').join(': ');
      problems.push({ weight: 2, text: `partition ${partition} on ${node} has halted: ${why}` });
    }
  }
  for (const { name, state, replicas } of nodes) {
    if (replicas === 0 || (state !== 'silent' && state !== 'absent')) continue;
    const how = state === 'silent' ? 'says nothing any more' : 'has never reported';
    problems.push({ weight: 1, text: `node ${name} ${how}; ${replicas} replicas are on it` });
  }
  problems.push(...silences.map((text) => ({ weight: 1, text })));
  return problems.toSorted((a, b) => b.weight - a.weight).map(({ text }) => text);
}
