// The catalogue in the bucket: what the repository has, runs that ended, and statistics. A hint for gateways and
// metrics, which do not read the repository. Who writes it, and when: catalog-keeper.ts.
import type { CompleteCheckpoint, ListedCheckpoint, Repository } from '@statestore/checkpoint';
import { listCheckpoints } from '@statestore/checkpoint';
import type {
  CatalogEntry,
  CheckpointCatalog,
  CheckpointRun,
  CheckpointRuns,
  CheckpointStatistics,
  Clearing,
  DamagedEntry,
  Namesake,
} from '@statestore/cluster';
import { limits, StateStoreError } from '@statestore/core';
import { CheckpointTrigger } from '@statestore/core/gen/statestore/v1/checkpoint_pb';

export interface CatalogSource {
  readonly runs: CheckpointRuns;
  readonly repository: Repository;
  readonly cluster: string;
  /** Which cluster of the name this is; undefined: that is not known yet. */
  readonly lineage?: (() => string | undefined) | undefined;
}

/** What is known beside what the repository says. */
export interface CatalogNews {
  /** A run that is over since the last time. */
  readonly ended?: CheckpointRun;
  /** What became of clearing up: reasons why nothing was removed, or none. */
  readonly blockedBy?: readonly string[];
  /** Blocks were read. */
  readonly read?: BlocksRead;
  /** Manifests that need not be read again. */
  readonly known?: Map<string, CompleteCheckpoint>;
}

export interface BlocksRead {
  /** By id: what is wrong with a block of it. */
  readonly damaged: ReadonlyMap<string, string>;
  /** Whether the two that logs are trimmed below are whole. */
  readonly isProven: boolean;
}

const triggerNames: Readonly<Record<CheckpointTrigger, string>> = {
  [CheckpointTrigger.UNSPECIFIED]: 'unknown',
  [CheckpointTrigger.MANUAL]: 'manual',
  [CheckpointTrigger.SCHEDULE]: 'schedule',
  [CheckpointTrigger.SHUTDOWN]: 'shutdown',
  [CheckpointTrigger.RESTORE]: 'restore',
};

/** Rejects where repository or store do not answer. */
export async function refreshCatalog(
  { runs, repository, cluster, lineage }: CatalogSource,
  nowMs: () => number,
  { ended, blockedBy, read, known = new Map() }: CatalogNews = {},
): Promise<CheckpointCatalog> {
  for (let attempt = 0; attempt < limits.checkpointRunAttempts; attempt++) {
    // Before the repository is looked at: whoever freezes after that, and goes on with what was there then, is refused.
    const present = await runs.catalog();
    const listed = await listCheckpoints({ repository, known });
    const ofName = completeOf(listed, cluster);
    const complete = ofName.map(entryOf);
    const namesake = namesakeOf(ofName, lineage?.());
    const before = present?.document;
    const isNew = ended !== undefined && before?.runs.some(({ id }) => id === ended.id) !== true;
    const statistics = statisticsBefore(before, repository, complete[0]);
    const clearing = blockedBy === undefined ? before?.clearing : clearingOf(blockedBy, before?.clearing, nowMs());
    const provenBefore = before?.repository === repository.location ? before.provenAtMs : undefined;
    const provenAtMs = read?.isProven === true ? Math.floor(nowMs()) : provenBefore;
    const catalog: CheckpointCatalog = {
      repository: repository.location,
      updatedAtMs: nowMs(),
      checkpoints: complete.slice(0, limits.checkpointCatalogMax),
      // Without their partitions: of many runs that would be more than a message of NATS takes.
      runs: [...(isNew ? [{ ...ended, partitions: [] }] : []), ...(before?.runs ?? [])].slice(
        0,
        limits.checkpointRunsKept,
      ),
      statistics: isNew ? counted(statistics, ended, complete) : statistics,
      damaged: [...damagedOf(listed), ...readOf(read, before, complete)].slice(0, limits.checkpointTroublesMax),
      ...(provenAtMs === undefined ? {} : { provenAtMs }),
      ...(clearing === undefined ? {} : { clearing }),
      ...(namesake === undefined ? {} : { namesake }),
    };
    if ((await runs.replaceCatalog(catalog, present?.revision ?? 0)).outcome === 'replaced') return catalog;
  }
  throw new StateStoreError('unavailable', 'others change the catalogue of checkpoints all the time', {
    retryAfterMs: limits.bucketRetryMs,
  });
}

/** Others may have theirs in the same repository. */
function completeOf(listed: readonly ListedCheckpoint[], cluster: string): CompleteCheckpoint[] {
  return listed.flatMap((each) => (each.state === 'complete' && each.cluster === cluster ? [each] : []));
}

/**
 * Another cluster of the name, or data folder, that made one since the last but one of this one: it goes on beside it. What it
 * made before, and what a restore made, is only what this one came from.
 */
function namesakeOf(ofName: readonly CompleteCheckpoint[], lineage: string | undefined): Namesake | undefined {
  const own = ofName.filter((each) => each.lineage === lineage);
  const since = (own[1] ?? own[0])?.id;
  const other = ofName.find((each) => each.lineage !== lineage && each.trigger !== CheckpointTrigger.RESTORE);
  if (since === undefined || other === undefined || other.id < since) return undefined;
  const { id: checkpoint, conductor, completedAtMs } = other;
  return { checkpoint, lineage: other.lineage, conductor, completedAtMs };
}

/** Of any cluster: whose they are cannot be read, and nobody clears up while they are there. */
function damagedOf(listed: readonly ListedCheckpoint[]): { readonly id: string; readonly why: string }[] {
  return listed
    .flatMap((each) => (each.state === 'damaged' ? [{ id: each.id, why: shortened(each.damage.message) }] : []))
    .slice(0, limits.checkpointTroublesMax);
}

/** The newest first. Those whose blocks were found to be damaged stay named while they are listed, until somebody reads them again. */
function readOf(
  read: BlocksRead | undefined,
  before: CheckpointCatalog | undefined,
  complete: readonly CatalogEntry[],
): DamagedEntry[] {
  const known = (before?.damaged ?? []).flatMap((each) => (each.read === true ? [[each.id, each.why] as const] : []));
  const listed = new Set(complete.map(({ id }) => id));
  return [...(read?.damaged ?? known)]
    .flatMap(([id, why]) => (listed.has(id) ? [{ id, why: shortened(why), read: true } as const] : []))
    .toSorted((a, b) => (a.id > b.id ? -1 : 1));
}

function clearingOf(blockedBy: readonly string[], before: Clearing | undefined, nowMs: number): Clearing {
  if (blockedBy.length === 0) return { atMs: nowMs, blockedBy };
  const reasons = blockedBy.slice(0, limits.checkpointTroublesMax).map(shortened);
  return { atMs: nowMs, blockedBy: reasons, blockedSinceMs: before?.blockedSinceMs ?? nowMs };
}

function shortened(text: string): string {
  return text.slice(0, limits.checkpointErrorCharsMax);
}

/** Of the last one: by this repository, else by what its newest checkpoint itself tells. */
function statisticsBefore(
  before: CheckpointCatalog | undefined,
  { location }: Repository,
  newest: CatalogEntry | undefined,
): CheckpointStatistics {
  const { created = 0, failed = 0, lastSuccessAtMs } = before?.statistics ?? {};
  if (before?.repository === location && lastSuccessAtMs !== undefined) return before.statistics;
  return { created, failed, ...(newest === undefined ? {} : lastOf(newest, newest.startedAtMs)) };
}

function counted(
  before: CheckpointStatistics,
  run: CheckpointRun,
  complete: readonly CatalogEntry[],
): CheckpointStatistics {
  if (run.state === 'failed') return { ...before, failed: before.failed + 1 };
  const { startedAtMs, finishedAtMs, checkpoint } = run;
  const entry = complete.find(({ id }) => id === checkpoint);
  const created = before.created + 1;
  // Its own time, not that of the run: one that was taken over may have been found complete long after.
  if (entry !== undefined) return { ...before, created, ...lastOf(entry, startedAtMs ?? entry.startedAtMs) };
  if (startedAtMs === undefined || finishedAtMs === undefined) return { ...before, created };
  return {
    ...before,
    created,
    lastDurationMs: Math.max(0, finishedAtMs - startedAtMs),
    lastSuccessAtMs: finishedAtMs,
  };
}

function lastOf({ completedAtMs, storedBytes, uploadedBytes }: CatalogEntry, startedAtMs: number) {
  return {
    lastDurationMs: Math.max(0, completedAtMs - startedAtMs),
    lastSuccessAtMs: completedAtMs,
    lastStoredBytes: storedBytes,
    lastUploadedBytes: uploadedBytes,
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
