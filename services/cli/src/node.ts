// `statestore node`: the partitions of one data folder, for gateways to reach over the link; or those that a
// cluster puts here (cluster/node.ts).
import { resolve } from 'node:path';
import { serveLink } from '@statestore/link';
import { openMetricsServer } from '@statestore/node';
import type { Logger } from 'pino';
import { nodeOfCluster } from './cluster/node.ts';
import { checkpointsOf } from './checkpoint-settings.ts';
import { nodeSettings } from './config.ts';
import { openEmbedded } from './embedded.ts';
import { journalHoldOf, openEmbeddedCheckpoints } from './node-checkpoints.ts';
import { ownMetrics } from './own-metrics.ts';
import { makeLog, stopOnSignal } from './running.ts';
import { type SettingsOf, readSettings } from './settings.ts';
import { version } from './version.ts';

export async function node(argv: readonly string[]): Promise<void> {
  const settings = readSettings('statestore node', 'A node on its own.', nodeSettings, { argv, env: process.env });
  if (settings === undefined) return;
  const { nats, logLevel } = settings;
  const log = makeLog(logLevel, 'statestore-node');
  if (nats === undefined) await nodeOnItsOwn(settings, log);
  else await nodeOfCluster({ ...settings, nats }, log);
}

async function nodeOnItsOwn(settings: SettingsOf<typeof nodeSettings>, log: Logger): Promise<void> {
  const { host, port, data, linkToken, metricsHost, metricsPort } = settings;
  const wanted = checkpointsOf(settings);
  const hold = journalHoldOf(wanted);
  const embedded = await openEmbedded(settings, log, hold);
  const registry = ownMetrics(embedded.node);
  const metrics = await openMetricsServer({
    host: metricsHost,
    port: metricsPort,
    registry,
    notReady: () => undefined,
  });
  const checkpoints = wanted && (await openEmbeddedCheckpoints({ checkpoints: wanted, embedded, hold, log, registry }));
  const server = await serveLink({
    service: embedded.node,
    host,
    port,
    ...(linkToken === undefined ? {} : { token: linkToken }),
  });
  const close = async (): Promise<void> => {
    await server.close();
    await checkpoints?.close();
    await metrics.close();
    await embedded.close();
  };
  stopOnSignal(log, close, wanted?.settings.shutdownMs);
  process.stdout.write(`StateStore ${version}: node listens on ${host}:${server.port}, data in ${resolve(data)}\n`);
}
