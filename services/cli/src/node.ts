// `statestore node`: the partitions of one data folder, for gateways to reach over the link.
import { resolve } from 'node:path';
import { serveLink } from '@statestore/link';
import { nodeSettings } from './config.ts';
import { openEmbedded } from './embedded.ts';
import { makeLog, stopOnSignal } from './running.ts';
import { readSettings } from './settings.ts';
import { version } from './version.ts';

export async function node(argv: readonly string[]): Promise<void> {
  const settings = readSettings('statestore node', 'A node on its own.', nodeSettings, { argv, env: process.env });
  if (settings === undefined) return;
  const { host, port, data, linkToken, logLevel } = settings;
  const log = makeLog(logLevel, 'statestore-node');
  const embedded = await openEmbedded(settings, log);
  const server = await serveLink({
    service: embedded.node,
    host,
    port,
    ...(linkToken === undefined ? {} : { token: linkToken }),
  });
  stopOnSignal(log, async () => {
    await server.close();
    await embedded.close();
  });
  process.stdout.write(`StateStore ${version}: node listens on ${host}:${server.port}, data in ${resolve(data)}\n`);
}
