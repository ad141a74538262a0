// A small cluster that does what it is told, second by second: three nodes, memory stores, and one coordinator.
import type { Topology } from '@statestore/core';
import type { CoordinatorStep } from './coordinator-steps.ts';
import { Coordinator } from './coordinator.ts';
import { FaultyStore, ManualClock, SimNode, topologyStoreOver } from './coordinator.testing.ts';
import type { InitialiseOptions } from './initialise.ts';
import type { LogStreams } from './log-streams.ts';
import { MemoryNodeRegistry } from './memory-node-registry.ts';

export const wish: InitialiseOptions = { partitions: 6, replicationFactor: 3, logReplicas: 3 };
export const never = new AbortController().signal;

export class CoordinatedWorld<Logs extends LogStreams> {
  readonly clock = new ManualClock();
  readonly registry = new MemoryNodeRegistry({ clock: this.clock });
  readonly store = new FaultyStore(
    () => 0.99,
    () => {},
  );
  readonly nodes = ['n1', 'n2', 'n3'].map((name) => new SimNode(name));
  readonly logs: Logs;
  coordinator: Coordinator;

  constructor(logs: Logs) {
    this.logs = logs;
    this.coordinator = this.make();
  }

  make(giveUpAfterMs = Infinity): Coordinator {
    const { registry, clock, logs } = this;
    return new Coordinator({
      topologyStore: topologyStoreOver(this.store),
      registry,
      logStreams: logs,
      clock,
      giveUpAfterMs,
    });
  }

  get topology(): Topology {
    return this.store.present!;
  }

  /** Nodes act on the topology and report, and a second passes. */
  async second(): Promise<void> {
    for (const node of this.nodes) {
      if (this.store.present !== undefined) node.follow(this.store.present, this.nodes);
      if (node.up) await this.registry.report(node.report());
    }
    await this.clock.advance(1000);
  }

  async seconds(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.second();
  }

  async initialised(options = wish): Promise<Topology> {
    const making = this.coordinator.initialise(options, { signal: never });
    await this.seconds(4);
    const { topology } = await making;
    await this.second();
    return topology;
  }

  /** Steps until there is nothing to do; what they did, and what they waited for. */
  async run(secondsMax = 200): Promise<{ readonly kinds: readonly string[]; readonly waits: ReadonlySet<string> }> {
    const kinds: string[] = [];
    const waits = new Set<string>();
    for (let i = 0; i < secondsMax; i++) {
      const outcome = await this.coordinator.step();
      if (outcome.kind === 'done') return { kinds, waits };
      if (outcome.kind === 'waiting') waits.add(outcome.for);
      else kinds.push(...outcome.steps.map(textOf));
      await this.second();
    }
    return { kinds, waits: waits.add('it was not done in the end') };
  }

  loads(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { replicas } of this.topology.partitions) {
      for (const node of replicas) counts[node] = (counts[node] ?? 0) + 1;
    }
    return counts;
  }
}

function textOf(step: CoordinatorStep): string {
  if ('node' in step) return `${step.kind} ${step.partition} ${step.node}`;
  if ('into' in step) return `${step.kind} ${step.partition} ${step.into}`;
  return `${step.kind} ${step.kind === 'resized' ? step.partitions : step.partition}`;
}
