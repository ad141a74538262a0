// `statestore status`: what a cluster is and how it does, once or again and again. Ends with 3 where something
// is wrong, so that scripts can ask.
import { setTimeout as sleep } from 'node:timers/promises';
import { clusterSettings } from '../cluster-settings.ts';
import { flag, readSettings } from '../settings.ts';
import { withCluster } from './command.ts';
import type { ClusterConnection } from './connect.ts';
import type { CheckpointView } from './checkpoint-status.ts';
import { checkpointLines, checkpointProblems, checkpointView } from './checkpoint-status.ts';
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
      let seen = await look(await observer.settled((ms) => sleep(ms)), connection);
      if (watch) seen = await showAgain(seen, () => look(observer.view, connection), json, signal);
      else process.stdout.write(`${json ? jsonOf(seen, 2) : textOf(seen, Date.now())}\n`);
      process.exitCode = seen.view.problems.length === 0 ? 0 : problemsExitCode;
    } finally {
      await observer.close();
    }
  });
}

interface Seen {
  readonly view: ClusterView;
  readonly checkpoints: CheckpointView | undefined;
}

async function look(cluster: ClusterView, { checkpointRuns }: ClusterConnection): Promise<Seen> {
  const checkpoints = await checkpointView(checkpointRuns);
  const problems = [...cluster.problems, ...checkpointProblems(checkpoints)];
  return { view: { ...cluster, problems }, checkpoints };
}

function jsonOf({ view, checkpoints }: Seen, indent?: number): string {
  return JSON.stringify({ ...view, ...(checkpoints === undefined ? {} : { checkpoints }) }, undefined, indent);
}

/** `nowMs` undefined: without what is different each second. */
function textOf({ view, checkpoints }: Seen, nowMs: number | undefined, rowsMax?: number): string {
  const lines = checkpointLines(checkpoints, nowMs);
  return [statusTable(view, rowsMax && rowsMax - lines.length), ...lines].join('\n');
}

/** What was seen last. */
/* oxlint-disable-next-line max-params -- what is shown first, how more is had, how it is shown, until when */
async function showAgain(first: Seen, again: () => Promise<Seen>, json: boolean, signal: AbortSignal): Promise<Seen> {
  const screen = new Screen(process.stdout);
  for (let seen = first; ; seen = await again()) {
    if (json) process.stdout.write(`${jsonOf(seen)}\n`);
    else screen.show(textOf(seen, screen.isTerminal ? Date.now() : undefined, screen.rows));
    await sleep(refreshMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return seen;
  }
}
