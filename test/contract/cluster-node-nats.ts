// A cluster's surroundings on real NATS servers: logs, topology, registry and proofs over a connection for each
// node. The servers are shared by the tests of a file; each test has a cluster name of its own.
import {
  connectNats,
  jetStreamLogStreams,
  jetStreamNodeRegistry,
  jetStreamTopologyStore,
  natsProofExchange,
} from '@statestore/cluster';
import { openJetStreamLog } from '../../services/node/src/log/jetstream-log.ts';
import type { NatsCluster } from '../servers/nats-cluster.ts';
import type { ClusterBackend, NodeWorld } from './cluster-node-fixture.ts';

export class NatsBackend implements ClusterBackend {
  readonly logReplicas: number;
  readonly #nats: NatsCluster;
  readonly #cluster: string;

  constructor(nats: NatsCluster, cluster: string, replicas: number) {
    this.#nats = nats;
    this.#cluster = cluster;
    this.logReplicas = replicas;
  }

  async world(node: string): Promise<NodeWorld> {
    const cluster = this.#cluster;
    const replicas = this.logReplicas;
    const connection = await connectNats({ servers: this.#nats.urls, name: node });
    const logStreams = jetStreamLogStreams(connection, cluster);
    const topologyStore = await jetStreamTopologyStore(connection, cluster, { replicas });
    return {
      topologyStore,
      registry: await jetStreamNodeRegistry(connection, cluster, { replicas }),
      logStreams,
      openLog: (partition, log) => openJetStreamLog({ connection, cluster, partition, log }),
      connection,
      proofs: natsProofExchange(connection, cluster),
      close: () => connection.close(),
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
