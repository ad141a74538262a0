// Where an archiver goes on, from what is archived, from checkpoints, and from what the log still has. It never begins
// without the chain of what came before: a segment that cannot be proved is of no use.
import type { ArchivedLog, ChainPoint, ListedSegment, PositionSpan, Repository } from '@statestore/checkpoint';
import { type ArchivePoints, CheckpointPoints, coverageOf, listSegments, readSegment } from '@statestore/checkpoint';
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
  /** Of the same repository; of whoever begins several. */
  readonly checkpoints?: CheckpointPoints | undefined;
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
  /** What of the way there is not archived, and cannot be any more: moments that checkpoints do not lead to. */
  readonly gaps: readonly PositionSpan[];
}

/**
 * Rejects with `unavailable` where nothing is known yet that it could begin from, with `data_corrupt` where the log
 * lost what was archived.
 */
export async function beginArchiving(options: BeginningOptions): Promise<Beginning> {
  const { repository, log, signal, checkpoints = new CheckpointPoints(repository) } = options;
  return new Beginnings(options, await checkpoints.of(log, signal)).choose(options.segments);
}

class Beginnings {
  readonly #options: BeginningOptions;
  readonly #points: ArchivePoints;
  /** The log has what comes after this. */
  readonly #before: bigint;

  constructor(options: BeginningOptions, points: ArchivePoints) {
    this.#options = options;
    this.#points = points;
    this.#before = options.bounds.first - 1n;
  }

  /** The earliest place after which something is needed that is not archived and in the log. */
  async choose(segments: readonly ListedSegment[]): Promise<Beginning> {
    const { log, bounds } = this.#options;
    const { spans } = coverageOf(segments);
    const from = this.#from(spans);
    if (from > bounds.last && !spans.some(({ last }) => last > bounds.last)) {
      const message = `the log ${log.incarnation} ends at ${bounds.last}, and a checkpoint has its position ${from}`;
      throw new StateStoreError('unavailable', message, { retryAfterMs: 1000 });
    }
    const covering = spans.find(({ first, last }) => first <= from + 1n && last >= from);
    const known = covering === undefined ? this.#earliest(from) : undefined;
    const span = covering ?? spans.find(({ last }) => last >= from);
    if (span !== undefined && (known === undefined || known.position >= span.first - 1n))
      return this.#afterSpan(span, segments);
    const { position, chain } = known ?? this.#ofReplica(from);
    return { ...this.#at(position, spans), chain, last: undefined, gaps: await this.#gaps(spans, position) };
  }

  #from(spans: readonly PositionSpan[]): bigint {
    const { neededAfter } = this.#points;
    if (neededAfter !== undefined) return neededAfter > this.#before ? neededAfter : this.#before;
    // Nothing leads to what was before what is archived.
    const span = spans.find(({ last }) => last >= this.#before);
    return span !== undefined && span.first > this.#before ? span.first - 1n : this.#before;
  }

  /** The first state in the repository that the log leads on from. */
  #earliest(from: bigint): ChainPoint | undefined {
    const { log, bounds } = this.#options;
    const beginning = log.continues ?? { position: 0n, chain: hashToHex(newHash()) };
    return [beginning, ...this.#points.own].find(({ position }) => position >= from && position <= bounds.last);
  }

  #ofReplica(from: bigint): ChainPoint {
    const { log, bounds, point } = this.#options;
    const known = point();
    if (known !== undefined && known.position >= from) return known;
    throw new StateStoreError(
      'unavailable',
      `the log ${log.incarnation} begins at ${bounds.first}: no replica here is as far yet`,
      { retryAfterMs: 1000 },
    );
  }

  async #afterSpan({ last: after }: PositionSpan, segments: readonly ListedSegment[]): Promise<Beginning> {
    const { repository, log, bounds, signal } = this.#options;
    if (after > bounds.last) {
      throw new StateStoreError(
        'data_corrupt',
        `the log ${log.incarnation} ends at ${bounds.last}, and was archived up to ${after}`,
      );
    }
    const ending = segments.find(({ last }) => last === after)!;
    const read = await readSegment(repository, ending, { signal, expected: log });
    // What cannot be read does not count as archived.
    if (typeof read === 'string') return this.choose(segments.filter((each) => each !== ending));
    const last = after > this.#before ? read.batches.at(-1) : undefined;
    const { spans } = coverageOf(segments);
    return { ...this.#at(after, spans), chain: read.chain, last, gaps: await this.#gaps(spans, after) };
  }

  #at(after: bigint, spans: readonly PositionSpan[]): Pick<Beginning, 'after' | 'until'> {
    return { after, until: spans.find(({ first }) => first > after)?.first };
  }

  async #gaps(spans: readonly PositionSpan[], after: bigint): Promise<PositionSpan[]> {
    const gaps: PositionSpan[] = [];
    const { log, repository, signal } = this.#options;
    if (after === log.continues?.position) {
      // What the one before had is lost with it.
      const earlier = await listSegments(repository, log.continues.incarnation, { signal });
      const archived = earlier.reduce((max, { last }) => (last > max ? last : max), 0n);
      if (archived > 0n && archived < after) gaps.push({ first: archived + 1n, last: after });
    }
    let at = this.#points.neededAfter ?? (spans[0] === undefined ? after : spans[0].first - 1n);
    for (const { first, last } of [...spans, { first: after + 1n, last: after + 1n }]) {
      if (at >= after) break;
      const until = first > after ? after + 1n : first;
      if (until > at + 1n) gaps.push({ first: at + 1n, last: until - 1n });
      if (last > at) at = last;
    }
    return gaps;
  }
}
