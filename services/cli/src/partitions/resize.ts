// `statestore partitions resize N`: writes down how many partitions there are to be, and stays until there are. The nodes
// carry it out by themselves; this command coordinates beside them, and may be interrupted at any moment.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Coordinator, StepOutcome } from '@statestore/cluster';
import { changeTopology, withPartitions } from '@statestore/cluster';
import type { Topology } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import { ProgressLine } from '../checkpoint/columns.ts';
import { clusterSettings } from '../cluster-settings.ts';
import { withCluster } from '../cluster/command.ts';
import type { ClusterConnection } from '../cluster/connect.ts';
import { coordinated, coordinationSettings, nodesSettled, stepsText } from '../cluster/coordinate.ts';
import type { Setting } from '../settings.ts';
import { flag, readSettings, wholeNumber } from '../settings.ts';
import { ResizeStory } from './resize-story.ts';
import { jsonOf, ResizeWatch } from './resize-watch.ts';

const resizeSettings = {
  partitions: {
    schema: wholeNumber(1, limits.partitionsMax),
    allowed: `1 to ${limits.partitionsMax}`,
    help: 'how many partitions there are to be',
    operand: true,
  } satisfies Setting<number>,
  ...clusterSettings,
  ...coordinationSettings,
  detach: flag('only write down the wish; the nodes carry it out'),
  json: flag('a JSON document each second, one a line'),
};

const print = (line: string): void => void process.stdout.write(`${line}\n`);

export async function resize(argv: readonly string[]): Promise<void> {
  const description = 'Splits or merges partitions until there are so many, while everything is served.';
  const settings = readSettings('statestore partitions resize', description, resizeSettings, {
    argv,
    env: process.env,
  });
  if (settings === undefined) return;
  const { partitions, detach, json, timeout, giveUpAfter } = settings;
  await withCluster(settings, 'partitions-resize', async (connection, signal) => {
    const { changed, topology } = await changeTopology(connection.topologyStore, (now) =>
      withPartitions(now, partitions),
    );
    if (!json) print(askedText(topology, partitions, changed));
    if (detach) return;
    await coordinated(connection, giveUpAfter, (coordinator) =>
      follow({ connection, coordinator, signal, timeout, json, wanted: partitions }),
    );
  });
}

function askedText({ partitions, spec }: Topology, wanted: number, changed: boolean): string {
  const paused = spec?.resizePaused === true ? ' It is paused: statestore partitions resume.' : '';
  if (partitions.length === wanted) return `There are ${wanted} partitions.${paused}`;
  return `${changed ? 'From' : 'On the way from'} ${partitions.length} to ${wanted} partitions.${paused}`;
}

interface Following {
  readonly connection: ClusterConnection;
  readonly coordinator: Coordinator;
  readonly signal: AbortSignal;
  readonly timeout: number | undefined;
  readonly json: boolean;
  readonly wanted: number;
}

const pauseMs = 250;
const hint = 'what was done stays, and the nodes go on; the same command looks on from there';

/** Resolves when it is done. Rejects with `unavailable` where nothing changed for `timeout`, or when interrupted. */
async function follow({ connection, coordinator, signal, timeout = Infinity, json, wanted }: Following): Promise<void> {
  const watched = await ResizeWatch.open(connection);
  const line = new ProgressLine(process.stderr);
  const story = new ResizeStory((text) => {
    line.clear();
    if (!json) print(text);
  });
  try {
    // The nodes go ahead meanwhile.
    await nodesSettled(coordinator, signal);
    for (let toldMs = -Infinity; !signal.aborted;) {
      const outcome = await coordinator.step();
      if (outcome.kind === 'changed') story.tell(`epoch ${outcome.epoch}: ${stepsText(outcome.steps)}`);
      const look = watched.look(outcome.kind === 'waiting' ? outcome.for : undefined);
      const nowMs = performance.now();
      if (json && nowMs - toldMs >= 1000) {
        print(jsonOf(look, Date.now()));
        toldMs = nowMs;
      }
      story.saw(look, nowMs);
      if (await isDone(outcome, connection)) {
        if (json) print(jsonOf(watched.look(), Date.now()));
        return story.end((await connection.topologyStore.read())?.partitions.length ?? 0, wanted);
      }
      if (process.stderr.isTTY) line.show(story.line(look));
      if (story.silentMs(nowMs) > timeout) {
        throw new StateStoreError('unavailable', `nothing has changed for ${timeout / 1000} s${story.why()}`, { hint });
      }
      if (outcome.kind !== 'changed') await sleep(pauseMs, undefined, { signal }).catch(() => {});
    }
  } finally {
    line.clear();
    await watched.close();
  }
  throw new StateStoreError('unavailable', 'interrupted', { hint });
}

/** As whoever coordinates sees it, and as it is: a wish may come between. */
async function isDone(outcome: StepOutcome, { topologyStore }: ClusterConnection): Promise<boolean> {
  if (outcome.kind !== 'done') return false;
  const topology = await topologyStore.read();
  if (topology === undefined || (topology.reshapes ?? []).length > 0) return false;
  const { partitions, spec } = topology;
  return partitions.length === (spec?.partitions ?? partitions.length);
}
