// `statestore gateway --nats …`: the HTTP API in front of all nodes of a cluster. Until there is a topology it
// waits, alive and not ready.
import { openClusterGateway } from '@statestore/gateway';
import type { Logger } from 'pino';
import type { gatewaySettings } from '../config.ts';
import { listen } from '../listen.ts';
import { Running } from '../running.ts';
import type { SettingsOf } from '../settings.ts';
import { version } from '../version.ts';
import { openWaitingRoom } from '../waiting-room.ts';
import { connectCluster } from './connect.ts';

type Settings = SettingsOf<typeof gatewaySettings> & { readonly nats: string[] };

export async function gatewayOfCluster(settings: Settings, log: Logger): Promise<void> {
  const { host, port, zone, linkToken } = settings;
  const running = new Running(log);
  const { signal } = running;
  const room = await running.open(
    openWaitingRoom(host, port, 'the gateway waits for NATS, and for the topology of the cluster'),
    (room) => room.close(),
  );
  const cluster = await running.open(
    connectCluster(settings, { name: `statestore-gateway ${host}:${port}`, log, signal }),
    (cluster) => cluster.close(),
  );
  const { gateway } = await running.open(
    openClusterGateway({
      topologyStore: cluster.topologyStore,
      nodeRegistry: cluster.registry,
      checkpoints: cluster.checkpointRuns,
      version,
      log,
      signal,
      ...(zone === '' ? {} : { zone }),
      ...(linkToken === undefined ? {} : { linkToken }),
    }),
    (opened) => opened.close(),
  );
  await room.close();
  const url = await listen(gateway, host, port);
  process.stdout.write(`StateStore ${version}: gateway of cluster ${settings.cluster} listens on ${url}\n`);
}
