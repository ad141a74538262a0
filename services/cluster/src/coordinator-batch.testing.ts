// A cluster that does at once what its topology says, for judging what a coordinator makes of it: every node reports
// what it is to hold, and splits and merges end when a test says so.
import type { Reshape, Topology } from '@statestore/core';
import { applySteps, checkTopology, evenTopology, plan } from '@statestore/core';
import { nextBatch } from './coordinator-batch.ts';
import type { CoordinatorBatch } from './coordinator-batch.ts';
import type { CoordinatorStep } from './coordinator-steps.ts';
import type { CoordinatorView } from './coordinator-view.ts';
import { withoutEmpty } from './change-topology.ts';
import type { ObservedNode, ReplicaReport } from './node-registry.ts';
import { mergeDone, reshapeDropped, splitDone } from './reshape-edits.ts';
import type { Edit } from './topology-edits.ts';

export function uuidOf(count: number): string {
  return `0198c5a4-0000-4000-8000-${String(count).padStart(12, '0')}`;
}

export interface ObedientOptions {
  readonly partitions: number;
  readonly nodes: readonly string[];
  readonly replicationFactor?: number;
  readonly zoneOf?: (node: string) => string;
}

export class ObedientCluster {
  topology: Topology;
  /** In this order; those that are not here are not there. */
  nodes: readonly string[];
  readonly silent = new Set<string>();
  readonly givenUp = new Set<string>();
  readonly steps: CoordinatorStep[] = [];
  /** Replicas that were built on another node, in slots. */
  slotsCopied = 0;
  readonly #zoneOf: (node: string) => string;
  #ids = 0;

  constructor({ partitions, nodes, replicationFactor = 3, zoneOf = () => 'z' }: ObedientOptions) {
    this.nodes = nodes;
    this.#zoneOf = zoneOf;
    const seed = evenTopology(partitions, [nodes[0]!]);
    const planned = nodes.map((name) => ({ name, zone: zoneOf(name), accepts: true, live: true }));
    const placed = applySteps(seed, plan(seed, { partitions, replicationFactor }, planned));
    this.topology = {
      epoch: 1n,
      spec: { replicationFactor, logReplicas: 1, drained: [] },
      partitions: placed.partitions.map((each) => ({ ...each, log: { generation: 1, incarnation: this.newId() } })),
    };
    checkTopology(this.topology);
  }

  readonly newId = (): string => uuidOf(++this.#ids);

  get view(): CoordinatorView {
    const { topology, silent, givenUp } = this;
    const retired = topology.retired ?? [];
    const pastGrace = new Set(retired.map(({ placement }) => placement.partition));
    const logsRemoved = new Set(retired.flatMap(({ ended, placement }) => (ended ? [placement.partition] : [])));
    const held = new Map<string, ReplicaReport[]>(this.nodes.map((name) => [name, []]));
    for (const { partition, replicas, joining = [], log } of topology.partitions) {
      for (const name of [...replicas, ...joining]) held.get(name)?.push(reportOf(partition, log!.incarnation));
    }
    const nodes = new Map<string, ObservedNode>();
    for (const [name, replicas] of held) nodes.set(name, this.#observed(name, replicas, !silent.has(name)));
    return { topology, nodes, givenUp, pastGrace, logsRemoved };
  }

  #observed(name: string, replicas: readonly ReplicaReport[], live: boolean): ObservedNode {
    const report = {
      name,
      address: `${name}:1`,
      zone: this.#zoneOf(name),
      version: '1',
      boot: 'b',
      count: 1,
      epoch: String(this.topology.epoch),
      draining: false,
      disk: { freeBytes: 1, totalBytes: 1 },
      replicas,
    };
    return { report, live, confirmed: true };
  }

  step(): CoordinatorBatch {
    const batch = nextBatch(this.view, this.newId);
    if (batch.kind !== 'change') return batch;
    this.#take(batch.next);
    this.steps.push(...batch.steps);
    for (const step of batch.steps) {
      if (step.kind !== 'join') continue;
      const { slots } = this.topology.partitions.find(({ partition }) => partition === step.partition)!;
      for (const { start, end } of slots) this.slotsCopied += end - start;
    }
    return batch;
  }

  edit(change: (topology: Topology) => Edit): void {
    const edit = change(this.topology);
    if (edit !== undefined) this.#take(withoutEmpty({ ...this.topology, ...edit, epoch: this.topology.epoch + 1n }));
  }

  /** It comes to its end, also where it is cancelled: it was decided before. */
  finish({ id, kind }: Reshape): void {
    const continues = { incarnation: uuidOf(0), position: 5n, chain: '0'.repeat(32) };
    this.edit((topology) =>
      kind === 'split'
        ? splitDone(topology, id, { continues })
        : mergeDone(topology, id, { sealedPosition: 5n, intoPosition: 6n }),
    );
  }

  drop({ id }: Reshape): void {
    this.edit((topology) => reshapeDropped(topology, id));
  }

  /** Until nothing is left to do, or only waiting. */
  calm(stepsMax = 5000): CoordinatorBatch {
    for (let i = 0; i < stepsMax; i++) {
      const batch = this.step();
      const [reshape] = this.topology.reshapes ?? [];
      if (reshape?.cancelled) this.drop(reshape);
      else if (reshape !== undefined) this.finish(reshape);
      else if (batch.kind !== 'change') return batch;
    }
    throw new Error(`it is not calm after ${stepsMax} steps`);
  }

  #take(next: Topology): void {
    checkTopology(next);
    this.topology = next;
  }
}

function reportOf(partition: number, incarnation: string): ReplicaReport {
  return {
    partition,
    state: 'running',
    reason: '',
    incarnation,
    appliedPosition: '7',
    storedPosition: '7',
    lag: 0,
    chain: 'c',
    stateHash: 's',
    entries: 0,
    bytes: 0,
  };
}
