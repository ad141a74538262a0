// `statestore node --nats …`: the replicas that the topology puts on this node, for gateways to reach over the
// link.
import { resolve } from 'node:path';
import { openRepository } from '@statestore/checkpoint';
import { StateStoreError } from '@statestore/core';
import { connectLink, serveLink } from '@statestore/link';
import { ClusterReplicas, openClusterNode, openJetStreamLog, openMetricsServer } from '@statestore/node';
import type { Logger } from 'pino';
import { checkpointsOf } from '../checkpoint-settings.ts';
import type { nodeSettings } from '../config.ts';
import { diskBoundsOf } from '../config.ts';
import { openNodeCheckpoints } from '../node-checkpoints.ts';
import { exitOnHalt, Running } from '../running.ts';
import type { SettingsOf } from '../settings.ts';
import { version } from '../version.ts';
import { openWaitingRoom } from '../waiting-room.ts';
import { openNodeArchive } from './archive.ts';
import { connectCluster } from './connect.ts';

type Settings = SettingsOf<typeof nodeSettings> & { readonly nats: string[] };

/** Throws `invalid_settings` where others could not reach it. */
function addressOf({ advertise, host, port }: Settings): string {
  if (advertise !== undefined) return advertise;
  if (port === 0) {
    throw new StateStoreError(
      'invalid_settings',
      '--port is 0, and --advertise is missing: nobody would find the node',
    );
  }
  if (host === '0.0.0.0' || host === '::') {
    throw new StateStoreError('invalid_settings', `--host is ${host}, and --advertise is missing`, {
      hint: 'say under which address gateways and other nodes reach it',
    });
  }
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export async function nodeOfCluster(settings: Settings, log: Logger): Promise<void> {
  const { cluster: clusterName, name, zone, data, engine, flushIntervalMs, linkToken } = settings;
  const { host, port, metricsHost, metricsPort } = settings;
  const address = addressOf(settings);
  const diskBounds = diskBoundsOf(settings);
  const wanted = checkpointsOf(settings);
  const running = new Running(log, wanted?.settings.shutdownMs);
  const { signal } = running;
  const room = await running.open(openWaitingRoom(metricsHost, metricsPort, 'the node waits for NATS'), (room) =>
    room.close(),
  );
  const cluster = await running.open(connectCluster(settings, { name: `statestore-node ${name}`, log, signal }), (c) =>
    c.close(),
  );
  const token = linkToken === undefined ? {} : { token: linkToken };
  const connectPeer = (peer: string) =>
    connectLink({ ...parsed(peer), software: `statestore-node ${version}`, ...token });
  // Of its own, and closed last: replicas are restored for as long as the node lives.
  const restores =
    wanted && (await running.open(openRepository(wanted.repository), (repository) => repository.close()));
  const node = await running.open(
    openClusterNode({
      cluster: clusterName,
      name,
      zone: zone === '' ? name : zone,
      address,
      dataPath: resolve(data),
      engine: engine ?? 'lmdb',
      diskBounds,
      version,
      connection: cluster.nats,
      topologyStore: cluster.topologyStore,
      registry: cluster.registry,
      logStreams: cluster.logStreams,
      openLog: (partition, log) => openJetStreamLog({ connection: cluster.nats, cluster: clusterName, partition, log }),
      connectPeer,
      onNotice: (notice, details) => log.warn(details, notice),
      onFatal: exitOnHalt(log),
      repository: restores,
      ...(flushIntervalMs === undefined ? {} : { flushIntervalMs }),
    }),
    (opened) => opened.close(),
  );
  await room.close();
  await running.open(
    openMetricsServer({
      host: metricsHost,
      port: metricsPort,
      registry: node.metrics,
      notReady: () => node.status().notReady,
    }),
    (server) => server.close(),
  );
  const server = await running.open(
    serveLink({ service: node.node, host, port, software: `statestore-node ${version}`, ...token }),
    (opened) => opened.close(),
  );
  // After the link, so that it ends before it: a final checkpoint of another node may need the replicas of this one. And a
  // repository that does not answer holds up nobody who reads and writes.
  if (wanted !== undefined) {
    const { topologyStore, registry, checkpointRuns: runs } = cluster;
    const replicas = new ClusterReplicas({ name, own: node.node, topologyStore, registry, connectPeer });
    const archive = await running.open(openNodeArchive({ wanted, node, replicas, cluster, log }), (a) => a.close());
    const { afterwards } = archive;
    const told = {
      cluster: clusterName,
      name,
      lineage: () => node.lineage(),
      node: node.node,
      runs,
      replicas,
      registry: node.metrics,
      afterwards,
      trims: true,
    };
    await running.open(openNodeCheckpoints(wanted, told, log), (checkpoints) => checkpoints.close());
  }
  process.stdout.write(
    `StateStore ${version}: node ${name} of cluster ${clusterName} listens on ${host}:${server.port}, data in ${resolve(data)}\n`,
  );
}

function parsed(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replaceAll(/[[\]]/g, ''), port: Number(address.slice(colon + 1)) };
}
