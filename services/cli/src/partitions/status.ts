// `statestore partitions status`: how far a resize is, and what each partition holds; once or again and again.
import { setTimeout as sleep } from 'node:timers/promises';
import { columns, sizeOf } from '../checkpoint/columns.ts';
import { clusterSettings } from '../cluster-settings.ts';
import type { PartitionView } from '../cluster/cluster-view.ts';
import { withCluster } from '../cluster/command.ts';
import { resizeLines } from '../cluster/resize-text.ts';
import { Screen } from '../cluster/screen.ts';
import { flag, readSettings } from '../settings.ts';
import { Outlook } from './outlook.ts';
import type { ResizeLook } from './resize-watch.ts';
import { jsonOf, ResizeWatch } from './resize-watch.ts';

const statusSettings = {
  ...clusterSettings,
  json: flag('one JSON document, or one a line with --watch'),
  watch: flag('show it again each second, until interrupted'),
};

const refreshMs = 1000;
/** So long a single look watches what is under way, to tell when it will end. */
const speedMs = 4000;

export async function status(argv: readonly string[]): Promise<void> {
  const settings = readSettings('statestore partitions status', 'How far a resize is.', statusSettings, {
    argv,
    env: process.env,
  });
  if (settings === undefined) return;
  const { json, watch } = settings;
  await withCluster(settings, 'partitions-status', async (connection, signal) => {
    const pause = async (ms: number): Promise<void> => sleep(ms, undefined, { signal }).catch(() => {});
    const watched = await ResizeWatch.open(connection);
    const outlook = new Outlook(connection);
    const look = async (): Promise<ResizeLook> =>
      watched.look(watched.look().view.resize === undefined ? undefined : await outlook.waitsFor());
    try {
      await watched.settled((ms) => sleep(ms));
      if (watch) return await again(look, { json, signal, pause });
      let seen = await look();
      for (let ms = 0; seen.view.resize !== undefined && ms < speedMs && !signal.aborted; ms += refreshMs) {
        await pause(refreshMs);
        seen = await look();
      }
      process.stdout.write(`${json ? jsonOf(seen, Date.now(), 2) : textOf(seen)}\n`);
    } finally {
      await outlook.close();
      await watched.close();
    }
  });
}

interface Showing {
  readonly json: boolean;
  readonly signal: AbortSignal;
  readonly pause: (ms: number) => Promise<void>;
}

async function again(look: () => Promise<ResizeLook>, { json, signal, pause }: Showing): Promise<void> {
  const screen = new Screen(process.stdout);
  screen.clear();
  while (!signal.aborted) {
    const seen = await look();
    if (json) process.stdout.write(`${jsonOf(seen, Date.now())}\n`);
    else screen.show(textOf(seen, screen.rows));
    await pause(refreshMs);
  }
}

/** `rowsMax`: at most so many lines, for a screen; partitions that do not fit are counted. */
export function textOf({ view, remainingMs }: ResizeLook, rowsMax = Number.POSITIVE_INFINITY): string {
  const { cluster, epoch, resize, retired, partitions, problems } = view;
  if (epoch === undefined) return `cluster ${cluster}: no topology`;
  const head = resize === undefined ? [steadyText(view)] : resizeLines(resize, { remainingMs });
  const gone = retired.map(({ partition, into }) => `${partition} into ${into}`);
  const merged = gone.length === 0 ? [] : [`Merged a while ago: ${gone.join(', ')}.`];
  const bad = problems.length === 0 ? [] : ['Problems:', ...problems.map((problem) => `  ${problem}`)];
  const rows = columns([['PARTITION', 'SLOTS', 'ENTRIES', 'BYTES', 'REPLICAS'], ...partitions.map(rowOf)]).split('\n');
  const room = Math.max(3, rowsMax - head.length - merged.length - bad.length - 2);
  const shown = rows.length <= room ? rows : [...rows.slice(0, room - 1), `… and ${rows.length - room + 1} more`];
  return [...head, ...merged, '', ...shown, ...(bad.length === 0 ? [] : ['', ...bad])].join('\n');
}

function steadyText({ cluster, partitions }: ResizeLook['view']): string {
  return `cluster ${cluster}: ${partitions.length} partitions; none is split or merged.`;
}

function rowOf({ partition, slots, entries, bytes, replicas }: PartitionView): string[] {
  const nodes = replicas.map(({ node, role }) => (role === 'replica' ? node : `${node} (${role})`));
  return [String(partition), String(slots), String(entries), sizeOf(bytes), nodes.join(' ')];
}
