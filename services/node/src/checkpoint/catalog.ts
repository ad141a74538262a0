// The catalogue in the bucket: what the repository has, runs that ended, and statistics. A hint for gateways and
// metrics, which do not read the repository; written by whoever conducted a checkpoint.
import type { CompleteCheckpoint, Repository } from '@statestore/checkpoint';
import { listCheckpoints } from '@statestore/checkpoint';
import type {
  CatalogEntry,
  CheckpointCatalog,
  CheckpointRun,
  CheckpointRuns,
  CheckpointStatistics,
} from '@statestore/cluster';
import { limits, StateStoreError } from '@statestore/core';
import { CheckpointTrigger } from '@statestore/core/gen/statestore/v1/checkpoint_pb';

export interface CatalogSource {
  readonly runs: CheckpointRuns;
  readonly repository: Repository;
  readonly cluster: string;
}

const triggerNames: Readonly<Record<CheckpointTrigger, string>> = {
  [CheckpointTrigger.UNSPECIFIED]: 'unknown',
  [CheckpointTrigger.MANUAL]: 'manual',
  [CheckpointTrigger.SCHEDULE]: 'schedule',
  [CheckpointTrigger.SHUTDOWN]: 'shutdown',
  [CheckpointTrigger.RESTORE]: 'restore',
};

/** `ended`: a run that is over since the last time. Rejects where repository or store do not answer. */
export async function refreshCatalog(
  { runs, repository, cluster }: CatalogSource,
  nowMs: number,
  ended?: CheckpointRun,
): Promise<CheckpointCatalog> {
  const listed = await listCheckpoints({ repository, cluster });
  const complete = listed.filter((each) => each.state === 'complete').map(entryOf);
  for (let attempt = 0; attempt < limits.checkpointRunAttempts; attempt++) {
    const present = await runs.catalog();
    const before = present?.document;
    const isNew = ended !== undefined && before?.runs.some(({ id }) => id === ended.id) !== true;
    const statistics = before?.statistics ?? known(complete[0]);
    const catalog: CheckpointCatalog = {
      repository: repository.location,
      updatedAtMs: nowMs,
      checkpoints: complete.slice(0, limits.checkpointCatalogMax),
      // Without their partitions: of many runs that would be more than a message of NATS takes.
      runs: [...(isNew ? [{ ...ended, partitions: [] }] : []), ...(before?.runs ?? [])].slice(
        0,
        limits.checkpointRunsKept,
      ),
      statistics: isNew ? counted(statistics, ended, complete) : statistics,
    };
    if ((await runs.replaceCatalog(catalog, present?.revision ?? 0)).outcome === 'replaced') return catalog;
  }
  throw new StateStoreError('unavailable', 'others change the catalogue of checkpoints all the time', {
    retryAfterMs: limits.bucketRetryMs,
  });
}

/** Where nothing was counted yet: what the newest checkpoint itself tells. */
function known(newest: CatalogEntry | undefined): CheckpointStatistics {
  if (newest === undefined) return { created: 0, failed: 0 };
  const { startedAtMs, completedAtMs, storedBytes, uploadedBytes } = newest;
  return {
    created: 0,
    failed: 0,
    lastDurationMs: Math.max(0, completedAtMs - startedAtMs),
    lastSuccessAtMs: completedAtMs,
    lastStoredBytes: storedBytes,
    lastUploadedBytes: uploadedBytes,
  };
}

function counted(
  before: CheckpointStatistics,
  run: CheckpointRun,
  complete: readonly CatalogEntry[],
): CheckpointStatistics {
  if (run.state === 'failed') return { ...before, failed: before.failed + 1 };
  const { startedAtMs, finishedAtMs, checkpoint } = run;
  const entry = complete.find(({ id }) => id === checkpoint);
  return {
    ...before,
    created: before.created + 1,
    ...(startedAtMs === undefined || finishedAtMs === undefined
      ? {}
      : { lastDurationMs: Math.max(0, finishedAtMs - startedAtMs), lastSuccessAtMs: finishedAtMs }),
    ...(entry === undefined ? {} : { lastStoredBytes: entry.storedBytes, lastUploadedBytes: entry.uploadedBytes }),
  };
}

function entryOf({ totals, trigger, previous, ...checkpoint }: CompleteCheckpoint): CatalogEntry {
  const { id, startedAtMs, completedAtMs, conductor, version, partitions } = checkpoint;
  return {
    id,
    startedAtMs,
    completedAtMs,
    trigger: triggerNames[trigger] ?? 'unknown',
    conductor,
    version,
    ...(previous === undefined ? {} : { previous }),
    partitions,
    entries: Number(totals.entries),
    bytes: Number(totals.bytes),
    storedBytes: Number(totals.storedBytes),
    uploadedBytes: Number(totals.uploadedBytes),
  };
}
