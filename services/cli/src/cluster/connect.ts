// What every process and command of a cluster holds of it: the connection to NATS and what is kept there.
import type { CheckpointRuns, LogStreams, NatsConnection, NodeRegistry, TopologyStore } from '@statestore/cluster';
import {
  connectNats,
  jetStreamCheckpointRuns,
  jetStreamLogStreams,
  jetStreamNodeRegistry,
  jetStreamTopologyStore,
} from '@statestore/cluster';
import type { Logger } from 'pino';
import { type clusterSettings, logNats, natsOptions } from '../cluster-settings.ts';
import type { SettingsOf } from '../settings.ts';

export interface ClusterConnection {
  readonly cluster: string;
  readonly nats: NatsConnection;
  readonly topologyStore: TopologyStore;
  readonly registry: NodeRegistry;
  readonly logStreams: LogStreams;
  readonly checkpointRuns: CheckpointRuns;
  /** After whatever uses it. */
  close(): Promise<void>;
}

export interface ConnectOptions {
  /** Of the process, for the monitoring of NATS. */
  readonly name: string;
  readonly log: Logger;
  /** Default: for ever. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
}

/** Rejects as `connectNats` does. */
export async function connectCluster(
  settings: SettingsOf<typeof clusterSettings>,
  { name, log, waitMs, signal }: ConnectOptions,
): Promise<ClusterConnection> {
  const { nats: servers, cluster, logReplicas: replicas } = settings;
  const nats = await connectNats({
    ...natsOptions(servers, settings),
    name,
    onStatus: logNats(log),
    ...(waitMs === undefined ? {} : { waitMs }),
    ...(signal === undefined ? {} : { signal }),
  });
  const onProblem = (what: string) => (problem: unknown) => log.warn({ err: problem }, what);
  return {
    cluster,
    nats,
    topologyStore: await jetStreamTopologyStore(nats, cluster, {
      replicas,
      onProblem: onProblem('the topology cannot be watched; trying again'),
    }),
    registry: await jetStreamNodeRegistry(nats, cluster, {
      replicas,
      onProblem: onProblem('the nodes cannot be watched; trying again'),
    }),
    logStreams: jetStreamLogStreams(nats, cluster),
    checkpointRuns: jetStreamCheckpointRuns(nats, cluster, { replicas }),
    close: () => nats.close(),
  };
}
