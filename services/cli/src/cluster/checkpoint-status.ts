// What `statestore status` says of checkpoints: the one that is made, with its progress and expected end, the last that
// became complete, the last that failed, and what a person should look at. A cluster without a repository says nothing of
// them.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CheckpointCatalog, CheckpointRun, CheckpointRuns, CheckpointStatistics } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import { durationOf, sizeOf, timeOf } from '../checkpoint/columns.ts';

export interface CheckpointView {
  readonly run?: CheckpointRun;
  /** Of the runs that are remembered, the last that failed. */
  readonly lastFailed?: CheckpointRun;
  readonly statistics: CheckpointStatistics;
  readonly repository: string;
  readonly damaged: NonNullable<CheckpointCatalog['damaged']>;
  readonly clearing?: NonNullable<CheckpointCatalog['clearing']>;
  readonly namesake?: NonNullable<CheckpointCatalog['namesake']>;
}

const patienceMs = 2000;

/** Undefined: no node has a repository, or that cannot be told now. */
export async function checkpointView(runs: CheckpointRuns, waitMs = patienceMs): Promise<CheckpointView | undefined> {
  return Promise.race([asked(runs), sleep(waitMs, undefined, { ref: false })]);
}

async function asked(runs: CheckpointRuns): Promise<CheckpointView | undefined> {
  try {
    const catalog = (await runs.catalog())?.document;
    if (catalog === undefined) return undefined;
    const run = (await runs.run())?.document;
    const { statistics, repository, damaged = [], clearing, namesake } = catalog;
    const known = [...(run === undefined ? [] : [run]), ...catalog.runs];
    const lastFailed = known.find(({ state }) => state === 'failed');
    return {
      repository,
      statistics,
      damaged,
      ...(clearing === undefined ? {} : { clearing }),
      ...(namesake === undefined ? {} : { namesake }),
      ...(run === undefined ? {} : { run }),
      ...(lastFailed === undefined ? {} : { lastFailed }),
    };
  } catch (error) {
    // The rest of the status is wanted then more than ever.
    if (error instanceof StateStoreError) return undefined;
    throw error;
  }
}

/** What a person should look at; nothing of it passes by itself. */
export function checkpointProblems(view: CheckpointView | undefined): string[] {
  if (view === undefined) return [];
  const { damaged, clearing, namesake } = view;
  const damage = damaged.map(({ id, why }) => `checkpoint ${id} is damaged: ${why}`);
  if (namesake !== undefined) {
    const { checkpoint, conductor } = namesake;
    damage.push(`another cluster of this name keeps checkpoints here: ${checkpoint}, made by its node ${conductor}`);
  }
  const [first, ...others] = (clearing?.blockedBy ?? []).filter((why) => !damaged.some((each) => each.why === why));
  if (first === undefined) return damage;
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  return [...damage, `nothing of old checkpoints is cleared up: ${first}${more}`];
}

/** `nowMs` undefined: moments, and no ages, for what is printed only where it changed. */
export function checkpointLines(view: CheckpointView | undefined, nowMs: number | undefined): string[] {
  if (view === undefined) return [];
  const { statistics, repository } = view;
  const { lastSuccessAtMs, lastStoredBytes, created, failed } = statistics;
  const size = lastStoredBytes === undefined ? '' : `, ${sizeOf(lastStoredBytes)}`;
  const last =
    lastSuccessAtMs === undefined
      ? 'none complete yet'
      : `the last one complete ${when(lastSuccessAtMs, nowMs)}${size}`;
  const head = `Checkpoints in ${repository}: ${created} created, ${failed} failed; ${last}.`;
  return [head, ...runLines(view.run, nowMs), ...failureLines(view, nowMs)];
}

function when(ms: number, nowMs: number | undefined): string {
  return nowMs === undefined ? `at ${timeOf(ms)}` : `${durationOf(Math.max(0, nowMs - ms))} ago`;
}

function failureLines({ run, lastFailed }: CheckpointView, nowMs: number | undefined): string[] {
  if (lastFailed === undefined) return [];
  const { finishedAtMs, error } = lastFailed;
  const which = run?.id === lastFailed.id ? 'the last one failed' : 'one failed';
  const at = finishedAtMs === undefined ? '' : ` ${when(finishedAtMs, nowMs)}`;
  return [`  ${which}${at}: ${error?.message ?? 'nobody says why'}`];
}

function runLines(run: CheckpointRun | undefined, nowMs: number | undefined): string[] {
  if (run?.state === 'requested') return ['  one is asked for'];
  if (run?.state !== 'running') return [];
  const { partitions, conductor, startedAtMs } = run;
  const sum = (of: 'part' | 'records' | 'bytes'): number => partitions.reduce((all, each) => all + each[of], 0);
  const part = sum('part') / Math.max(1, partitions.length);
  const far = `${(part * 100).toFixed(0)} %, ${sum('records')} records, ${sizeOf(sum('bytes'))} read`;
  return [`  one is made, conducted by ${conductor?.node}: ${far}${rest(startedAtMs, part, nowMs)}`];
}

function rest(startedAtMs: number | undefined, part: number, nowMs: number | undefined): string {
  if (startedAtMs === undefined || nowMs === undefined || part <= 0) return '';
  return `, about ${durationOf((Math.max(0, nowMs - startedAtMs) * (1 - part)) / part)} to go`;
}
