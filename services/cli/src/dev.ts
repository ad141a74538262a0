// `statestore dev`: gateway, node and log in one process on one data folder, nothing else needed.
import { resolve } from 'node:path';
import { buildGateway } from '@statestore/gateway';
import { Registry } from 'prom-client';
import { checkpointsOf } from './checkpoint-settings.ts';
import { devSettings } from './config.ts';
import { openEmbedded } from './embedded.ts';
import { listen } from './listen.ts';
import { folderBeside, journalHoldOf, openEmbeddedCheckpoints } from './node-checkpoints.ts';
import { makeLog, stopOnSignal } from './running.ts';
import { readSettings } from './settings.ts';
import { version } from './version.ts';

export async function dev(argv: readonly string[]): Promise<void> {
  const settings = readSettings('statestore dev', 'A whole state store in one process.', devSettings, {
    argv,
    env: process.env,
  });
  if (settings === undefined) return;
  const { host, port, data, logLevel } = settings;
  const log = makeLog(logLevel, 'statestore-dev');
  const wanted = checkpointsOf(settings, folderBeside(data))!;
  const hold = journalHoldOf(wanted);
  const embedded = await openEmbedded(settings, log, hold);
  const registry = new Registry();
  const checkpoints = await openEmbeddedCheckpoints({ checkpoints: wanted, embedded, hold, log, registry });
  const gateway = await buildGateway({
    topology: embedded.topology,
    node: embedded.node,
    version,
    cursorKey: Buffer.from(embedded.description.secret, 'base64'),
    log,
    registry,
    checkpoints: checkpoints.runs,
  });
  const close = async (): Promise<void> => {
    await gateway.close();
    await checkpoints.close();
    await embedded.close();
  };
  stopOnSignal(log, close, wanted.settings.shutdownMs);
  const url = await listen(gateway, host, port);
  const { description } = embedded;
  process.stdout.write(welcome(url, resolve(data), `${description.partitions} partitions, ${description.engine}`));
}

function welcome(url: string, data: string, layout: string): string {
  const key = `${url}/v1/stores/demo/keys/greeting`;
  return `
StateStore ${version} is ready.

  listens on   ${url}   (API page: ${url}/docs)
  data         ${data}   (${layout})

Try:
  curl -X PUT '${key}?ttl=1h' -H 'content-type: text/plain' -d 'hello'
  curl -i '${key}'
  curl '${url}/v1/stores/demo/keys?prefix=gre&values=true'

`;
}
