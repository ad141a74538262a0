// Starts a local cluster: real nats-servers, nodes and gateways, on loopback or in network namespaces.
import type { LocalCluster, LocalClusterOptions } from './types.ts';

/** Resolves when every process is up and, unless told otherwise, the topology is made. */
export function startLocalCluster(options: LocalClusterOptions = {}): Promise<LocalCluster> {
  return Promise.reject(new Error(`a local cluster cannot be started yet (${JSON.stringify(options)})`));
}
