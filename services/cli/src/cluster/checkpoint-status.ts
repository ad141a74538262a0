// What `statestore status` says of checkpoints: the one that is made, with its progress and expected end, and the
// last that became complete. A cluster without a repository says nothing of them.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CheckpointRun, CheckpointRuns, CheckpointStatistics } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import { durationOf, sizeOf } from '../checkpoint/columns.ts';

export interface CheckpointView {
  readonly run?: CheckpointRun;
  readonly statistics: CheckpointStatistics;
  readonly repository: string;
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
    const { statistics, repository } = catalog;
    return { repository, statistics, ...(run === undefined ? {} : { run }) };
  } catch (error) {
    // The rest of the status is wanted then more than ever.
    if (error instanceof StateStoreError) return undefined;
    throw error;
  }
}

export function checkpointLines(view: CheckpointView | undefined, nowMs: number): string[] {
  if (view === undefined) return [];
  const { run, statistics, repository } = view;
  const { lastSuccessAtMs, lastStoredBytes, created, failed } = statistics;
  const size = lastStoredBytes === undefined ? '' : `, ${sizeOf(lastStoredBytes)}`;
  const last =
    lastSuccessAtMs === undefined
      ? 'none complete yet'
      : `the last one complete ${durationOf(Math.max(0, nowMs - lastSuccessAtMs))} ago${size}`;
  return [`Checkpoints in ${repository}: ${created} created, ${failed} failed; ${last}.`, ...runLines(run, nowMs)];
}

function runLines(run: CheckpointRun | undefined, nowMs: number): string[] {
  switch (run?.state) {
    case undefined:
    case 'completed':
      return [];
    case 'requested':
      return ['  one is asked for'];
    case 'failed':
      return [`  the last one failed: ${run.error?.message ?? 'nobody says why'}`];
    case 'running': {
      const { partitions, startedAtMs = nowMs, conductor } = run;
      const part = partitions.reduce((sum, each) => sum + each.part, 0) / Math.max(1, partitions.length);
      const bytes = partitions.reduce((sum, each) => sum + each.bytes, 0);
      const restMs = part > 0 ? (Math.max(0, nowMs - startedAtMs) * (1 - part)) / part : undefined;
      const rest = restMs === undefined ? '' : `, about ${durationOf(restMs)} to go`;
      return [
        `  one is made, conducted by ${conductor?.node}: ${(part * 100).toFixed(0)} %, ${sizeOf(bytes)} read${rest}`,
      ];
    }
  }
}
