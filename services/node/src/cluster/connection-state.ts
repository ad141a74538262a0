// What a node takes from its connection to NATS, where it was given one: whether it is there, and the way to
// its peers. Without one (tests, simulation) it is told.
import type { ProofExchange } from '@statestore/cluster';
import { isConnected, MemoryProofExchange, natsProofExchange, onConnectionChange } from '@statestore/cluster';
import type { ClusterNodeOptions, ConnectionState } from './node-options.ts';

export function connectionStateOf({ connection, connectionState }: ClusterNodeOptions): ConnectionState {
  if (connectionState !== undefined) return connectionState;
  if (connection === undefined) return { connected: true, onChange: () => () => undefined };
  return {
    get connected() {
      return isConnected(connection);
    },
    onChange: (listener) => onConnectionChange(connection, listener),
  };
}

export function proofExchangeOf({ connection, proofs, cluster }: ClusterNodeOptions): ProofExchange {
  if (proofs !== undefined) return proofs;
  return connection === undefined ? new MemoryProofExchange() : natsProofExchange(connection, cluster);
}
