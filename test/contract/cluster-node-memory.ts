// A cluster's surroundings in memory: what tests of nodes run on where no server is needed.
import { MemoryNodeRegistry, MemoryProofExchange, MemoryTopologyStore, recoverLog } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import type { ConnectionState } from '../../services/node/src/cluster/node-options.ts';
import { MemoryLogs } from '../../services/node/src/testing/memory-logs.ts';
import type { ClusterBackend, NodeWorld } from './cluster-node-fixture.ts';
import { hurriedClock } from './recover-log-fixture.ts';

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
      recoverLog: async (lost, { signal }) => {
        if (!this.recovers) throw new StateStoreError('unavailable', 'nobody recovers anything');
        await recoverLog({ topologyStore, logStreams: logs, clock: hurriedClock }, lost, { signal });
      },
      close: () => Promise.resolve(),
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
