// Where an archiver goes on, from what is archived and what the log still has. It never begins without the chain of
// what came before: a segment that cannot be proved is of no use.
import type { ArchivedLog, ChainPoint, ListedSegment, PositionSpan, Repository } from '@statestore/checkpoint';
import { listSegments, planFilling, readSegment } from '@statestore/checkpoint';
import type { BatchRecord } from '@statestore/core';
import { hashToHex, newHash, StateStoreError } from '@statestore/core';
import type { LogBounds } from '../log/log.ts';

export interface BeginningOptions {
  readonly repository: Repository;
  readonly log: ArchivedLog;
  /** Of this log. */
  readonly segments: readonly ListedSegment[];
  /** Of the log, now. */
  readonly bounds: LogBounds;
  readonly point: () => ChainPoint | undefined;
  readonly signal: AbortSignal;
}

export interface Beginning {
  /** The first batch to archive is the next one. */
  readonly after: bigint;
  /** There. */
  readonly chain: string;
  /** Where archived segments begin again; undefined: nowhere. */
  readonly until: bigint | undefined;
  /** The batch at `after`, as it is archived, where the log still has it, too. */
  readonly last: BatchRecord | undefined;
  /** What is not archived and not in the log any more. */
  readonly gap: PositionSpan | undefined;
}

/**
 * Rejects with `unavailable` where nothing is known yet that it could begin from, with `data_corrupt` where the log
 * lost what was archived.
 */
export async function beginArchiving(options: BeginningOptions): Promise<Beginning> {
  const { repository, segments, bounds, log, signal } = options;
  const plan = planFilling(segments, bounds.first);
  if (plan === undefined) return beginAnew(options);
  const { after, until } = plan;
  if (after > bounds.last) {
    throw new StateStoreError(
      'data_corrupt',
      `the log ${log.incarnation} ends at ${bounds.last}, and was archived up to ${after}`,
    );
  }
  const ending = segments.find(({ last }) => last === after)!;
  const read = await readSegment(repository, ending, { signal, expected: log });
  if (typeof read === 'string') {
    // What cannot be read does not count as archived.
    return beginArchiving({ ...options, segments: segments.filter((each) => each !== ending) });
  }
  const last = after >= bounds.first ? read.batches.at(-1) : undefined;
  return { after, chain: read.chain, until, last, gap: undefined };
}

async function beginAnew(options: BeginningOptions): Promise<Beginning> {
  const { segments, bounds, log, point, repository, signal } = options;
  const greatest = (of: readonly ListedSegment[]): bigint =>
    of.reduce((max, { last }) => (last > max ? last : max), 0n);
  const from = (after: bigint, chain: string, archived: bigint): Beginning => {
    const gap = archived > 0n && archived < after ? { first: archived + 1n, last: after } : undefined;
    return { after, chain, until: segments.find(({ first }) => first > after)?.first, last: undefined, gap };
  };
  const { continues } = log;
  const before = continues?.position ?? 0n;
  if (bounds.first <= before + 1n) {
    if (continues === undefined) return from(0n, hashToHex(newHash()), 0n);
    const earlier = await listSegments(repository, continues.incarnation, { signal });
    return from(before, continues.chain, greatest(earlier));
  }
  const known = point();
  if (known === undefined || known.position < bounds.first - 1n) {
    throw new StateStoreError(
      'unavailable',
      `the log ${log.incarnation} begins at ${bounds.first}: no replica here is as far yet`,
      { retryAfterMs: 1000 },
    );
  }
  return from(known.position, known.chain, greatest(segments));
}
