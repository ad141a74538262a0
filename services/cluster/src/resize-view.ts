// How far a change of the number of partitions is, for people and scripts: made of the topology and of what nodes report,
// and of nothing else. How it is printed is the command line's; when it will be done: resize-pace.ts.
import type { NodeReport, ReshapeReport } from './node-registry.ts';
import type { Reshape, SlotRange, Topology } from '@statestore/core';
import { applySteps, plan } from '@statestore/core';

export interface ResizeView {
  /** That there are now. */
  readonly partitions: number;
  /** That there are to be; undefined: nobody says any more, and what is under way is given up. */
  readonly wanted: number | undefined;
  readonly paused: boolean;
  /** Splits and merges that are done since it was asked for, and all of them together. */
  readonly done: number;
  readonly all: number;
  /** 0 to 1, with what is half done. */
  readonly part: number;
  /** Slots that are still to go to another partition. */
  readonly slotsLeft: number;
  readonly reshapes: readonly ReshapeView[];
  /** Why nothing, or not more, is done; in words. */
  readonly waits: readonly string[];
}

export interface ReshapeView {
  readonly id: string;
  readonly kind: Reshape['kind'];
  readonly source: number;
  readonly target: number;
  readonly slots: number;
  readonly cancelled: boolean;
  /** Of its nodes, the one that is least far: `none` has not begun. `failed`: any. */
  readonly state: ReshapeReport['state'] | 'none';
  /** 0 to 1, of the same. */
  readonly part: number;
  /** Taken over so far, by the node that has most. */
  readonly entries: number;
  readonly bytes: number;
  readonly nodes: readonly ReshapeNodeView[];
}

export interface ReshapeNodeView {
  readonly node: string;
  readonly state: ReshapeReport['state'] | 'none' | 'silent';
  readonly part: number;
  /** What it does or waits for, in words; empty: nothing to be said. */
  readonly why: string;
}

/** What is seen of a node: a part of ObservedNode. */
interface SeenNode {
  readonly live: boolean;
  readonly report: Pick<NodeReport, 'reshapes'>;
}

type Nodes = ReadonlyMap<string, SeenNode>;

/** Undefined: there are as many partitions as are wanted, and nothing is under way. */
export function viewResize(topology: Topology, nodes: Nodes): ResizeView | undefined {
  const { partitions, reshapes = [], spec } = topology;
  const wanted = spec?.partitions;
  const present = partitions.length;
  if (reshapes.length === 0 && (wanted ?? present) === present) return undefined;
  const views = reshapes.map((reshape) => viewReshape(reshape, topology, nodes));
  const planned = plannedAfter(topology);
  const left = views.length + planned.count;
  const all = Math.max(left, Math.abs((wanted ?? present) - (spec?.partitionsBefore ?? present)));
  const done = all - left;
  const paused = spec?.resizePaused === true;
  const underWay = views.reduce((sum, { part }) => sum + part, 0);
  return {
    partitions: present,
    wanted,
    paused,
    done,
    all,
    part: all === 0 ? 1 : (done + underWay) / all,
    slotsLeft: planned.slots + views.reduce((sum, { slots, part }) => sum + slots * (1 - part), 0),
    reshapes: views,
    waits: waitsOf(views, paused && planned.count > 0),
  };
}

function viewReshape(reshape: Reshape, topology: Topology, nodes: Nodes): ReshapeView {
  const { id, kind, source, target, slots, cancelled = false } = reshape;
  const placement = topology.partitions.find(({ partition }) => partition === source);
  const views = (placement?.replicas ?? []).map((node) => viewNode(node, id, nodes.get(node)));
  const reports = [...nodes.values()].flatMap(({ report }) => reportOf(report, id) ?? []);
  const heard = views.filter(({ state }) => state !== 'silent');
  const state = stateOf(heard);
  const most = (of: (report: ReshapeReport) => number): number => Math.max(0, ...reports.map(of));
  return {
    id,
    kind,
    source,
    target,
    slots: countOf(slots),
    cancelled,
    state,
    part: heard.length === 0 ? 0 : Math.min(...heard.map(({ part }) => part)),
    entries: most(({ entries }) => entries),
    bytes: most(({ bytes }) => bytes),
    nodes: views,
  };
}

function viewNode(node: string, id: string, observed: SeenNode | undefined): ReshapeNodeView {
  if (observed?.live !== true) return { node, state: 'silent', part: 0, why: '' };
  const report = reportOf(observed.report, id);
  if (report === undefined) return { node, state: 'none', part: 0, why: '' };
  const { state, part = 0, why } = report;
  return { node, state, part: state === 'built' ? 1 : part, why };
}

function reportOf({ reshapes = [] }: SeenNode['report'], id: string): ReshapeReport | undefined {
  return reshapes.find((report) => report.id === id);
}

const order = ['none', 'building', 'near', 'built'] as const;

function stateOf(nodes: readonly ReshapeNodeView[]): ReshapeView['state'] {
  if (nodes.some(({ state }) => state === 'failed')) return 'failed';
  return order.find((each) => nodes.some(({ state }) => state === each)) ?? 'none';
}

/** The splits and merges that are to be begun after those under way, and how many slots they take from a partition to another. */
function plannedAfter(topology: Topology): { readonly count: number; readonly slots: number } {
  const { spec, reshapes = [] } = topology;
  const wanted = spec?.partitions;
  if (wanted === undefined) return { count: 0, slots: 0 };
  const after = applySteps(
    topology,
    reshapes.map(({ kind, source, target, slots }) =>
      kind === 'split' ? { kind, partition: source, child: target, slots } : { kind, partition: source, into: target },
    ),
  );
  if (after.partitions.length === wanted) return { count: 0, slots: 0 };
  const sizes = new Map(after.partitions.map(({ partition, slots }) => [partition, countOf(slots)]));
  const sizeOf = (partition: number): number => sizes.get(partition) ?? 0;
  let [count, moved] = [0, 0];
  for (const step of plan(after, { partitions: wanted, replicationFactor: 1 }, [])) {
    if (step.kind !== 'split' && step.kind !== 'merge') continue;
    count++;
    const slots = step.kind === 'split' ? countOf(step.slots) : sizeOf(step.partition);
    moved += slots;
    const to = step.kind === 'split' ? step.child : step.into;
    sizes.set(to, sizeOf(to) + slots);
    sizes.set(step.partition, sizeOf(step.partition) - slots);
  }
  return { count, slots: moved };
}

function waitsOf(reshapes: readonly ReshapeView[], paused: boolean): readonly string[] {
  const waits = paused ? ['it is paused: what is under way ends, and nothing else is begun'] : [];
  for (const { kind, source, target, nodes } of reshapes) {
    for (const { node, state, why } of nodes) {
      if (state === 'silent') waits.push(`node ${node} is silent, and has a replica of partition ${source}`);
      if (state === 'failed') waits.push(`${kind} ${source} → ${target} failed on ${node}: ${why}`);
    }
  }
  return [...new Set(waits)];
}

function countOf(slots: readonly SlotRange[]): number {
  return slots.reduce((sum, { start, end }) => sum + end - start, 0);
}
