// `statestore gateway`: the HTTP API in front of a node of another process, or of a cluster (cluster/gateway.ts).
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { evenTopology, StateStoreError } from '@statestore/core';
import { buildGateway } from '@statestore/gateway';
import type { NodeService } from '@statestore/link';
import { connectLink } from '@statestore/link';
import type { Logger } from 'pino';
import { gatewayOfCluster } from './cluster/gateway.ts';
import { gatewaySettings } from './config.ts';
import { listen } from './listen.ts';
import { makeLog, stopOnSignal } from './running.ts';
import { type SettingsOf, readSettings } from './settings.ts';
import { version } from './version.ts';

export async function gateway(argv: readonly string[]): Promise<void> {
  const settings = readSettings('statestore gateway', 'A gateway on its own.', gatewaySettings, {
    argv,
    env: process.env,
  });
  if (settings === undefined) return;
  const { nats, logLevel } = settings;
  const log = makeLog(logLevel, 'statestore-gateway');
  if (nats === undefined) await gatewayOfNode(settings, log);
  else await gatewayOfCluster({ ...settings, nats }, log);
}

async function gatewayOfNode(settings: SettingsOf<typeof gatewaySettings>, log: Logger): Promise<void> {
  const { host, port, node: address, cursorKey, linkToken } = settings;
  const colon = address.lastIndexOf(':');
  const node = connectLink({
    host: address.slice(0, colon).replaceAll(/[[\]]/g, ''),
    port: Number(address.slice(colon + 1)),
    ...(linkToken === undefined ? {} : { token: linkToken }),
  });
  const partitions = await partitionsOf(node, address, log);
  const http = await buildGateway({
    topology: evenTopology(partitions, [address]),
    node,
    version,
    cursorKey: cursorKey === undefined ? randomBytes(32) : Buffer.from(cursorKey, 'base64'),
    log,
  });
  stopOnSignal(log, async () => {
    await http.close();
    await node.close();
  });
  const url = await listen(http, host, port);
  process.stdout.write(`StateStore ${version}: gateway listens on ${url}, node at ${address}\n`);
}

const retryMs = 1000;

/** How many partitions the node has; waits for the node as long as it takes. */
async function partitionsOf(node: NodeService, address: string, log: Logger): Promise<number> {
  for (;;) {
    try {
      return (await node.status()).partitions.length;
    } catch (error) {
      if (!(error instanceof StateStoreError) || !error.retryable) throw error;
      log.warn({ node: address, code: error.code }, 'the node does not answer yet');
      await sleep(retryMs);
    }
  }
}
