// How far the archive brings a partition, and whether that is the moment that is wanted: a time after the last archived
// batch is one only where nothing shows that the log went on before it. What is not sure is told.
import type { History, ListedSegment, PathStep, Repository } from '@statestore/checkpoint';
import { coverageOf, readSegment } from '@statestore/checkpoint';
import { StateStoreError } from '@statestore/core';
import type { PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { Replayed } from './replay.ts';

/** A partition after it was restored. */
export interface PartitionReach {
  readonly partition: number;
  readonly position: bigint;
  /** Time of the newest batch in it, ns since 1970; 0n where it has none. */
  readonly clockNanos: bigint;
  /** Why it may be an earlier state than the one that was wanted; undefined: it is that one. */
  readonly warning: string | undefined;
}

export interface ReachOptions {
  readonly repository: Repository;
  readonly history: History;
  readonly summary: Pick<PartitionSummary, 'partition' | 'position' | 'incarnation' | 'clockNanos'>;
  readonly path: readonly PathStep[];
  readonly segments: ReadonlyMap<string, readonly ListedSegment[]>;
  /** The time that is wanted, ns since 1970; undefined: the newest. */
  readonly nanos: bigint | undefined;
  /** Time of the oldest state that is kept. */
  readonly sinceNanos: bigint;
  readonly signal: AbortSignal;
}

/** What is to be told whatever was reached; undefined: nothing. */
export function doubtOf({ history, summary: { partition }, nanos }: ReachOptions): string | undefined {
  if (nanos === undefined || !history.isBeforeAll(partition, nanos)) return undefined;
  return `nothing is archived of the log that partition ${partition} had at ${timeText(nanos)}`;
}

/**
 * What is to be told where the archive ends before a later batch; undefined: nothing. Rejects with `invalid_parameter`
 * where it is known that such a batch is missing.
 */
export async function warningOf(options: ReachOptions): Promise<string | undefined> {
  const { history, summary, path, segments, nanos } = options;
  const { partition } = summary;
  const { position, isEnd } = reachOf(summary.position, path, segments);
  // Somebody who needs what is missing on the way is told so as it is read.
  if (!isEnd) return undefined;
  const evidence = history.evidenceBeyond(partition, path, position, nanos);
  const archived = `partition ${partition} is archived up to its position ${position}`;
  if (nanos === undefined) return evidence === undefined ? undefined : `${archived}, and ${evidence.what}`;
  if (evidence !== undefined) {
    const { isPassed, nanos: lastNanos } = await timesOf(options, position);
    if (isPassed) return undefined;
    const since = evidence.nanos === undefined ? '' : `, and those from ${timeText(evidence.nanos)} on`;
    throw new StateStoreError(
      'invalid_parameter',
      `${archived}, of ${timeText(lastNanos)}, and ${evidence.what}: what it was at ${timeText(nanos)} is not known`,
      { hint: `moments from ${timeText(options.sinceNanos)} to ${timeText(lastNanos)} can be restored${since}` },
    );
  }
  const { incarnation } = path.at(-1) ?? summary;
  if (history.isKnownQuiet(partition, { incarnation, position }, nanos)) return undefined;
  return `${archived}: whether anything came after it until ${timeText(nanos)} is not known`;
}

/** What a partition has come to; `replayed` undefined: it is its checkpoint as it is. */
export function reachedOf(
  { partition, position, clockNanos }: Pick<PartitionSummary, 'partition' | 'position' | 'clockNanos'>,
  { warning, doubt }: { readonly warning: string | undefined; readonly doubt: string | undefined },
  replayed: Pick<Replayed, 'position' | 'clockNanos' | 'isStopped'> | undefined,
): PartitionReach {
  const reached = replayed ?? { position, clockNanos };
  return {
    partition,
    position: reached.position,
    clockNanos: reached.clockNanos,
    warning: doubt ?? (replayed?.isStopped === true ? undefined : warning),
  };
}

/** Lines for people: how far each partition was brought, and what of it is not sure. */
export function reachLines(reached: readonly PartitionReach[]): string[] {
  const lines = reached.map(
    ({ partition, position, clockNanos }) =>
      `Partition ${partition} is at position ${position}, of ${timeText(clockNanos)}.`,
  );
  return [...lines, ...reached.flatMap(({ warning }) => (warning === undefined ? [] : [`Warning: ${warning}.`]))];
}

export function timeText(nanos: bigint): string {
  return nanos === 0n ? 'its beginning' : new Date(Number(nanos / 1_000_000n)).toISOString();
}

/** As names of segments say. `isEnd`: nothing is missing up to there, and nothing of the last log is archived beyond. */
function reachOf(
  from: bigint,
  path: readonly PathStep[],
  segments: ReadonlyMap<string, readonly ListedSegment[]>,
): { readonly position: bigint; readonly isEnd: boolean } {
  let position = from;
  for (const { incarnation, through } of path) {
    const { spans } = coverageOf(segments.get(incarnation) ?? []);
    const span = spans.find(({ first, last }) => first <= position + 1n && last > position);
    if (span !== undefined) position = through !== undefined && span.last > through ? through : span.last;
    const isShort = through === undefined ? spans.some(({ last }) => last > position) : position < through;
    if (isShort) return { position, isEnd: false };
  }
  return { position, isEnd: true };
}

/** Whether a batch up to a position was stored later than the wanted time, and else the time of the last one. */
async function timesOf(
  { repository, summary, path, segments, nanos, signal }: ReachOptions,
  position: bigint,
): Promise<{ readonly isPassed: boolean; readonly nanos: bigint }> {
  let greatest = summary.clockNanos;
  for (const { incarnation, through } of path.toReversed()) {
    const until = through !== undefined && through < position ? through : position;
    const listed = (segments.get(incarnation) ?? []).filter(
      ({ first, last }) => last > summary.position && first <= until,
    );
    for (const segment of listed.toReversed()) {
      const read = await readSegment(repository, segment, { signal });
      if (typeof read === 'string') continue;
      for (const batch of read.batches) {
        if (batch.position <= summary.position || batch.position > until) continue;
        if (batch.timestampNanos > greatest) greatest = batch.timestampNanos;
      }
      if (nanos !== undefined && greatest > nanos) return { isPassed: true, nanos: greatest };
    }
  }
  return { isPassed: false, nanos: greatest };
}
