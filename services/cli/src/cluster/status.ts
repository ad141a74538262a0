// `statestore status`: what a cluster is and how it does, once or again and again. Ends with 3 where something
// is wrong, so that scripts can ask.
import { setTimeout as sleep } from 'node:timers/promises';
import { clusterSettings } from '../cluster-settings.ts';
import { flag, readSettings } from '../settings.ts';
import { withCluster } from './command.ts';
import type { ClusterConnection } from './connect.ts';
import { checkpointLines, checkpointView } from './checkpoint-status.ts';
import type { ClusterView } from './cluster-view.ts';
import { ClusterObserver } from './observer.ts';
import { Screen } from './screen.ts';
import { statusTable } from './status-table.ts';

const statusSettings = {
  ...clusterSettings,
  json: flag('one JSON document, or one a line with --watch'),
  watch: flag('show it again each second, until interrupted'),
};

export const problemsExitCode = 3;
const refreshMs = 1000;

export async function status(argv: readonly string[]): Promise<void> {
  const settings = readSettings('statestore status', 'How a cluster does.', statusSettings, {
    argv,
    env: process.env,
  });
  if (settings === undefined) return;
  const { json, watch } = settings;
  await withCluster(settings, 'status', async (connection, signal) => {
    const observer = await ClusterObserver.open(connection);
    try {
      const view = await observer.settled((ms) => sleep(ms));
      if (watch) await showAgain(observer, json, signal);
      else process.stdout.write(`${await shown(view, connection, json)}\n`);
      process.exitCode = exitCodeOf(observer.view);
    } finally {
      await observer.close();
    }
  });
}

async function shown(view: ClusterView, { checkpointRuns }: ClusterConnection, json: boolean): Promise<string> {
  const checkpoints = await checkpointView(checkpointRuns);
  if (json) return JSON.stringify({ ...view, ...(checkpoints === undefined ? {} : { checkpoints }) }, undefined, 2);
  return [statusTable(view), ...checkpointLines(checkpoints, Date.now())].join('\n');
}

function exitCodeOf({ problems }: ClusterView): number {
  return problems.length === 0 ? 0 : problemsExitCode;
}

async function showAgain(observer: ClusterObserver, json: boolean, signal: AbortSignal): Promise<void> {
  const screen = new Screen(process.stdout);
  while (!signal.aborted) {
    const { view } = observer;
    if (json) process.stdout.write(`${JSON.stringify(view)}\n`);
    else screen.show(statusTable(view, screen.rows));
    await sleep(refreshMs, undefined, { signal }).catch(() => {});
  }
}
