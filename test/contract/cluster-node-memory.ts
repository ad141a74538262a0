// A cluster's surroundings in memory: what tests of nodes run on where no server is needed.
import { MemoryNodeRegistry, MemoryProofExchange, MemoryTopologyStore } from '@statestore/cluster';
import type { LogStreams, TopologyStore } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import type { ConnectionState, RecoveryPoint } from '../../services/node/src/cluster/node-options.ts';
import { MemoryLogs } from '../../services/node/src/testing/memory-logs.ts';
import type { ClusterBackend, NodeWorld } from './cluster-node-fixture.ts';

/** A connection that is cut and mended by hand. */
export class ManualConnection implements ConnectionState {
  connected = true;
  readonly #listeners = new Set<() => void>();

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  set(connected: boolean): void {
    this.connected = connected;
    for (const listener of this.#listeners) listener();
  }
}

export class MemoryBackend implements ClusterBackend {
  readonly logReplicas = 1;
  readonly logs = new MemoryLogs();
  readonly topologyStore = new MemoryTopologyStore();
  readonly registry = new MemoryNodeRegistry();
  readonly proofs = new MemoryProofExchange();
  readonly connections = new Map<string, ManualConnection>();
  /** False: whoever would recover a log finds that it cannot. */
  recovers = true;

  world(node: string): Promise<NodeWorld> {
    const { logs, topologyStore, registry, proofs } = this;
    const connectionState = this.connections.get(node) ?? new ManualConnection();
    this.connections.set(node, connectionState);
    return Promise.resolve({
      topologyStore,
      registry,
      logStreams: logs,
      openLog: (partition, log) => logs.open(partition, log),
      proofs,
      connectionState,
      recoverLog: (from) =>
        this.recovers
          ? recoverByTopology(from, logs, topologyStore)
          : Promise.reject(new StateStoreError('unavailable', 'nobody recovers anything')),
      close: () => Promise.resolve(),
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A log of the next generation, named in the topology in the place of the one that was lost. */
export async function recoverByTopology(
  { partition, incarnation, position, chain }: RecoveryPoint,
  logs: LogStreams,
  topologyStore: TopologyStore,
  replicas = 1,
): Promise<void> {
  const topology = (await topologyStore.read())!;
  const placement = topology.partitions.find((each) => each.partition === partition)!;
  if (placement.log!.incarnation !== incarnation) return;
  const generation = placement.log!.generation + 1;
  const continues = { incarnation, position, chain };
  const log = await logs.create({ partition, generation, replicas, first: position + 1n, continues });
  const partitions = topology.partitions.map((each) => (each === placement ? { ...placement, log } : each));
  await topologyStore.replace({ ...topology, epoch: topology.epoch + 1n, partitions });
}
