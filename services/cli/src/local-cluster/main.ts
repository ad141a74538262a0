// `npm run cluster`: three nats-servers, three nodes and a gateway as real processes on this machine, until it is
// interrupted. What dies is started again, as Kubernetes would.
import { setTimeout as sleep } from 'node:timers/promises';
import { StateStoreError } from '@statestore/core';
import { clusterSettings } from '../cluster-settings.ts';
import { diskBoundsOf } from '../config.ts';
import { connectCluster } from '../cluster/connect.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import { ClusterObserver } from '../cluster/observer.ts';
import { Screen } from '../cluster/screen.ts';
import { statusTable } from '../cluster/status-table.ts';
import { makeLog, stopSignal } from '../running.ts';
import { readSettings } from '../settings.ts';
import { startLocalCluster } from './local-cluster.ts';
import { processTable, shortPath } from './process-table.ts';
import { localClusterSettings } from './settings.ts';
import type { ClusterEvent, LocalCluster } from './types.ts';

const refreshMs = 1000;

async function main(argv: readonly string[]): Promise<void> {
  const settings = readSettings('npm run cluster --', 'A whole cluster on this machine.', localClusterSettings, {
    argv,
    env: process.env,
  });
  if (settings === undefined) return;
  const stopping = stopSignal();
  const screen = new Screen(process.stdout);
  const { diskLowPercent, diskCriticalPercent, ...processes } = settings;
  const { folder, cluster: name, port, nodes, replicas = Math.min(3, nodes), ...others } = processes;
  if (replicas > nodes) {
    throw new StateStoreError('invalid_settings', `--replicas is ${replicas}; there are ${nodes} nodes`);
  }
  diskBoundsOf(settings);
  process.stdout.write(`Starting a cluster in ${folder} …\n`);
  const starting = startLocalCluster({
    ...others,
    signal: stopping,
    folder,
    name,
    nodes,
    replicas,
    gatewayPort: port,
    diskPercent: () => ({ low: diskLowPercent, critical: diskCriticalPercent }),
    onEvent: (event) => {
      if (!screen.isTerminal || event.what === 'exited') process.stdout.write(`${eventLine(event)}\n`);
    },
  });
  try {
    const cluster = await starting;
    try {
      await show(cluster, screen, stopping);
    } finally {
      process.stdout.write('\nStopping …\n');
      await cluster.close();
    }
  } catch (error) {
    // What was interrupted failed because of that.
    if (!stopping.aborted) throw error;
  }
  process.stdout.write('Stopped. The data is kept.\n');
}

function eventLine({ process: { name, pid }, what, how }: ClusterEvent): string {
  const details = [how, what === 'started' ? `pid ${pid}` : undefined].filter((part) => part !== undefined);
  return `${new Date().toISOString()} ${name} ${what}${details.length === 0 ? '' : ` (${details.join(', ')})`}`;
}

async function show(cluster: LocalCluster, screen: Screen, stopping: AbortSignal): Promise<void> {
  await Promise.race([cluster.ready(), aborted(stopping)]);
  if (stopping.aborted) return;
  const [gateway] = cluster.gateways;
  const text = welcome(cluster, gateway?.url ?? '');
  const connection = await connectCluster(
    readSettings('', '', clusterSettings, { argv: connectionArguments(cluster), env: {} })!,
    { name: 'statestore-local-cluster', log: makeLog('silent', 'statestore'), signal: stopping },
  );
  const observer = await ClusterObserver.open(connection);
  try {
    screen.clear();
    screen.show(screen.isTerminal ? live(cluster, observer.view, text, screen) : text);
    let told = '';
    while (!stopping.aborted) {
      await sleep(refreshMs, undefined, { signal: stopping }).catch(() => {});
      if (stopping.aborted) break;
      if (screen.isTerminal) screen.show(live(cluster, observer.view, text, screen));
      else told = tellProblems(observer.view, told);
    }
  } finally {
    await observer.close();
    await connection.close();
  }
}

function connectionArguments({ natsUrls, name }: LocalCluster): readonly string[] {
  return ['--nats', natsUrls.join(','), '--cluster', name];
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function welcome({ folder, name, natsUrls }: LocalCluster, url: string): string {
  const key = `${url}/v1/stores/demo/keys/greeting`;
  return `StateStore is ready on ${url}   (API page: ${url}/docs)

  curl -X PUT '${key}' -H 'content-type: text/plain' -d 'hello'
  curl -i '${key}'
  services/cli/statestore status --cluster ${name} --nats ${natsUrls.join(',')}

Data and logs: ${shortPath(folder)}   Ctrl-C stops everything.
`;
}

function live(cluster: LocalCluster, view: ClusterView, text: string, screen: Screen): string {
  const processes = processTable(cluster.processes);
  const used = text.split('\n').length + cluster.processes.length + 1;
  return `${text}\n${processes}\n\n${statusTable(view, screen.rows - used)}`;
}

/** Without a terminal: what is wrong, whenever that changes. */
function tellProblems({ problems }: ClusterView, told: string): string {
  const text = problems.length === 0 ? 'no problems' : problems.join('; ');
  if (text !== told && !(told === '' && problems.length === 0)) {
    process.stdout.write(`${new Date().toISOString()} ${text}\n`);
  }
  return text;
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: unknown) => {
    const isKnown = error instanceof StateStoreError;
    const hint = isKnown && error.hint !== undefined ? `\n${error.hint}` : '';
    process.stderr.write(`cluster: ${isKnown ? error.message : String(error)}${hint}\n`);
    process.exit(isKnown && error.code === 'invalid_settings' ? 2 : 1);
  },
);
