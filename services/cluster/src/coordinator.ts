// Makes the cluster what its topology document wants it to be, one safe change at a time: observe, plan,
// compare-and-set. It keeps nothing that matters: killed at any moment, another one goes on; of two at
// once, one is told that the other was first. A command line runs it until it is done, an operator for ever.
import { randomUUID } from 'node:crypto';
import type { PartitionLoad, ReplicaMove, Topology } from '@statestore/core';
import { StateStoreError } from '@statestore/core';
import { balanced } from './balance-edit.ts';
import { changeTopology } from './change-topology.ts';
import type { TopologyChange } from './change-topology.ts';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import { nextBatch } from './coordinator-batch.ts';
import type { CoordinatorStep } from './coordinator-steps.ts';
import type { CoordinatorView } from './coordinator-view.ts';
import { unconfirmed } from './coordinator-view.ts';
import type { InitialiseOptions, InitialiseOutcome } from './initialise.ts';
import { checkInitialise, checkNew, makeTopology } from './initialise.ts';
import type { LogStreams } from './log-streams.ts';
import type { NodeRegistry, ObservedNode } from './node-registry.ts';
import { NodesSeen } from './nodes-seen.ts';
import { RetiredSeen } from './retired-seen.ts';
import type { TopologyRecovery } from './recover-topology.ts';
import { recoverTopology } from './recover-topology.ts';
import type { Move } from './topology-edits.ts';
import { drained, holdsAnything, moved, undrained, withReplicationFactor } from './topology-edits.ts';
import type { TopologyStore } from './topology-store.ts';

export interface CoordinatorOptions {
  readonly topologyStore: TopologyStore;
  readonly registry: NodeRegistry;
  readonly logStreams: LogStreams;
  /** A node that says nothing for so long is given up: its replicas are made elsewhere. Default: never. */
  readonly giveUpAfterMs?: number;
  readonly clock?: Clock;
  /** Draws UUIDs. */
  readonly newId?: () => string;
}

export type StepOutcome =
  /** The cluster is as its topology wants it. */
  | { readonly kind: 'done' }
  | { readonly kind: 'changed'; readonly epoch: bigint; readonly steps: readonly CoordinatorStep[] }
  /** Nothing can be done now; for what, in words. */
  | { readonly kind: 'waiting'; readonly for: string };

export interface InitialiseWait {
  /** Place replicas when this many nodes are there. Default: the replication factor. */
  readonly nodes?: number;
  /** Gives up waiting for nodes, and for NATS. */
  readonly signal: AbortSignal;
}

export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #seen: NodesSeen;
  readonly #retired: RetiredSeen;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    const { registry, clock = systemClock, giveUpAfterMs = Infinity } = options;
    this.#seen = new NodesSeen(registry, clock, giveUpAfterMs);
    this.#retired = new RetiredSeen(clock, options.logStreams);
  }

  /**
   * Waits for nodes, makes the logs, writes epoch 1; nothing where there is a topology. Rejects with
   * `invalid_settings`, with `data_format` where the cluster had one before, with `unavailable` when the signal says so.
   */
  async initialise(options: InitialiseOptions, { nodes, signal }: InitialiseWait): Promise<InitialiseOutcome> {
    checkInitialise(options);
    const { topologyStore, registry } = this.#options;
    const count = Math.max(options.replicationFactor, nodes ?? 0);
    for (;;) {
      try {
        const present = await topologyStore.read();
        if (present !== undefined) return { kind: 'present', topology: present };
        const confirmed = await this.#seen.confirmed(count, signal);
        checkNew(await registry.list());
        return await makeTopology(this.#options, options, confirmed);
      } catch (error) {
        if (!(error instanceof StateStoreError) || !error.retryable || signal.aborted) throw error;
      }
      await this.#seen.pause(signal);
    }
  }

  /** At most one change of the topology. Rejects with what is no matter of waiting, as a damaged document. */
  async step(): Promise<StepOutcome> {
    try {
      return await this.#step();
    } catch (error) {
      if (error instanceof StateStoreError && error.retryable) return { kind: 'waiting', for: error.message };
      throw error;
    }
  }

  async #step(): Promise<StepOutcome> {
    const { topologyStore, newId = randomUUID } = this.#options;
    const topology = await topologyStore.read();
    if (topology === undefined) return { kind: 'waiting', for: 'a topology: the cluster has none' };
    const seen = this.#viewOf(topology);
    if (seen === undefined) return { kind: 'waiting', for: 'reports of nodes' };
    const news = unconfirmed(seen);
    if (news.length > 0) return { kind: 'waiting', for: `news of ${news.join(', ')}` };
    const view = { ...seen, logsRemoved: await this.#retired.removeLogs(topology) };
    const batch = nextBatch(view, newId);
    if (batch.kind !== 'change') return batch;
    const outcome = await topologyStore.replace(batch.next);
    if (outcome === 'conflict') return { kind: 'waiting', for: 'another change of the topology' };
    return { kind: 'changed', epoch: batch.next.epoch, steps: batch.steps };
  }

  #viewOf(topology: Topology): CoordinatorView | undefined {
    const { nodes } = this.#seen;
    if (nodes === undefined) return undefined;
    const named = topology.partitions.flatMap(({ replicas, joining = [] }) => [...replicas, ...joining]);
    const givenUp = this.#seen.givenUp(named);
    const pastGrace = this.#retired.pastGrace(topology);
    return { topology, nodes, givenUp, pastGrace, logsRemoved: new Set() };
  }

  /** All nodes as they report; undefined: nothing was heard of any yet. */
  get nodes(): ReadonlyMap<string, ObservedNode> | undefined {
    return this.#seen.nodes;
  }

  /** See decideTopology: what nodes saw last is put in the place of a topology that was lost. */
  recoverTopology(options: { readonly force?: boolean } = {}): Promise<TopologyRecovery> {
    return recoverTopology(this.#options, options);
  }

  /** The node is to give its replicas away: kept in the topology, carried out by steps. */
  drain(node: string): Promise<TopologyChange> {
    return changeTopology(this.#options.topologyStore, (topology) => drained(topology, node));
  }

  undrain(node: string): Promise<TopologyChange> {
    return changeTopology(this.#options.topologyStore, (topology) => undrained(topology, node));
  }

  setReplicationFactor(factor: number): Promise<TopologyChange> {
    return changeTopology(this.#options.topologyStore, (topology) => withReplicationFactor(topology, factor));
  }

  /** Begins the move of one replica; steps carry it out. Rejects with `invalid_parameter` where it cannot be. */
  async moveReplica(move: Move): Promise<TopologyChange> {
    const target = this.#seen.nodes?.get(move.to);
    if (target?.live !== true) throw new StateStoreError('invalid_parameter', `node ${move.to} is not there`);
    return changeTopology(this.#options.topologyStore, (topology) => moved(topology, move));
  }

  /**
   * Begins moves after which nodes carry more equally much, as many as may be under way at a time; none where they do, as
   * far as can be. Steps carry them out; called again after that, it goes on. Rejects with `invalid_parameter` while the
   * number of partitions is being changed, and with `unavailable` before anything was heard of nodes.
   */
  async balance(
    loads: ReadonlyMap<number, PartitionLoad>,
  ): Promise<TopologyChange & { readonly moves: readonly ReplicaMove[] }> {
    let moves: readonly ReplicaMove[] = [];
    const change = await changeTopology(this.#options.topologyStore, (topology) => {
      const view = this.#viewOf(topology);
      if (view === undefined) throw new StateStoreError('unavailable', 'there are no reports of nodes yet');
      const balancing = balanced(view, loads);
      ({ moves } = balancing);
      return balancing.edit;
    });
    return { ...change, moves };
  }

  /** Strikes out a node that has left for good. Rejects with `invalid_parameter` while it is live or holds anything. */
  async forget(node: string): Promise<void> {
    if (this.#seen.nodes?.get(node)?.live === true) {
      throw new StateStoreError('invalid_parameter', `node ${node} is live`, { hint: 'stop it first' });
    }
    await changeTopology(this.#options.topologyStore, (topology) => {
      if (!holdsAnything(topology, node)) return undrained(topology, node);
      throw new StateStoreError('invalid_parameter', `node ${node} still holds replicas`, { hint: 'drain it first' });
    });
    await this.#options.registry.remove(node);
  }

  close(): Promise<void> {
    return this.#seen.close();
  }
}
