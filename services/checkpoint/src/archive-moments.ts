// Which moments can be restored, as far as names and a few segments say: from each checkpoint on, as far as the archive
// leads from it without a gap. Whether what is there is good as well, verify-archive.ts finds out by reading it.
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { coverageOf } from './archive-coverage.ts';
import type { PathStep } from './archive-path.ts';
import { wayFrom, type WayStart } from './archive-way.ts';
import type { CatalogOptions } from './catalog.ts';
import type { History } from './history.ts';
import { RepositoryHistory } from './read-history.ts';
import type { Repository } from './repository.ts';
import { readSegment } from './segment-objects.ts';

/** Each moment from one to the other can be restored, both included: ns since 1970. */
export interface MomentRange {
  readonly cluster: string;
  readonly fromNanos: bigint;
  readonly throughNanos: bigint;
}

/**
 * By cluster, ascending; none touches another. Of one cluster, or one checkpoint, where that is named. Rejects where the
 * repository does not answer.
 */
export async function restorableMoments(
  options: CatalogOptions & { readonly checkpoint?: string },
): Promise<MomentRange[]> {
  const { repository, cluster, checkpoint, signal = new AbortController().signal } = options;
  const known = await RepositoryHistory.read({ repository, signal });
  const reach = new Reach(repository, known, signal);
  const ranges: MomentRange[] = [];
  for (const { manifest } of known.checkpoints) {
    if (manifest === undefined || (cluster !== undefined && manifest.cluster !== cluster)) continue;
    if (checkpoint === undefined || manifest.id === checkpoint) ranges.push(await reach.from(manifest));
  }
  return joined(ranges);
}

interface WayEnd {
  /** Time of the last batch that it leads to. */
  readonly nanos: bigint;
  /** Whether nothing of a later one is known. */
  readonly ends: boolean;
}

class Reach {
  readonly #repository: Repository;
  readonly #known: RepositoryHistory;
  readonly #signal: AbortSignal;
  /** Checkpoints of one log lead to the same ends. */
  readonly #times = new Map<string, bigint | undefined>();

  constructor(repository: Repository, known: RepositoryHistory, signal: AbortSignal) {
    this.#repository = repository;
    this.#known = known;
    this.#signal = signal;
  }

  async from({ cluster, partitions }: CheckpointManifest): Promise<MomentRange> {
    const greatest = (some: readonly bigint[]): bigint => some.reduce((a, b) => (a > b ? a : b), 0n);
    const fromNanos = greatest(partitions.map(({ clockNanos }) => clockNanos));
    const history = this.#known.of(cluster);
    const ends = (await Promise.all(partitions.map((summary) => this.#of(summary, history)))).flat();
    let throughNanos = greatest([fromNanos, ...ends.map(({ nanos }) => nanos)]);
    // Of a time after the last batch before a gap nobody knows whether it lies in it.
    for (const { nanos, ends: isWhole } of ends) if (!isWhole && nanos <= throughNanos) throughNanos = nanos - 1n;
    return { cluster, fromNanos, throughNanos: throughNanos < fromNanos ? fromNanos : throughNanos };
  }

  /** Of a partition, and of those that were split off it. */
  async #of(start: WayStart & { readonly clockNanos: bigint }, history: History): Promise<WayEnd[]> {
    const way = wayFrom(history, start);
    const splits = await Promise.all(
      history.splitsOn(way, start.position).map(async (split) => {
        const source = way.find(({ through }) => through === undefined || through >= split.position)!;
        const clockNanos = (await this.#timeAt(source.incarnation, split.position)) ?? start.clockNanos;
        return this.#of({ ...split, clockNanos }, history);
      }),
    );
    return [await this.#along(way, start), ...splits.flat()];
  }

  async #along(
    way: readonly PathStep[],
    { position: from, clockNanos }: { readonly position: bigint; readonly clockNanos: bigint },
  ): Promise<WayEnd> {
    let position = from;
    let nanos = clockNanos;
    for (const { incarnation, through } of way) {
      const segments = this.#known.segments.get(incarnation) ?? [];
      const { spans } = coverageOf(segments);
      const span = spans.find(({ first, last }) => first <= position + 1n && last > position);
      const greatest = through ?? spans.at(-1)?.last ?? position;
      const reached = span === undefined ? position : span.last < greatest ? span.last : greatest;
      if (reached > position) {
        position = reached;
        const at = await this.#timeAt(incarnation, reached);
        // What cannot be read ends it, too.
        if (at === undefined) return { nanos, ends: false };
        if (at > nanos) nanos = at;
      }
      if (position < greatest) return { nanos, ends: false };
    }
    return { nanos, ends: true };
  }

  async #timeAt(incarnation: string, position: bigint): Promise<bigint | undefined> {
    const key = `${incarnation}/${position}`;
    if (this.#times.has(key)) return this.#times.get(key);
    let nanos: bigint | undefined;
    const segments = this.#known.segments.get(incarnation) ?? [];
    for (const segment of segments.filter(({ first, last }) => first <= position && last >= position)) {
      const read = await readSegment(this.#repository, segment, { signal: this.#signal });
      if (typeof read === 'string') continue;
      // Times of a log may run backwards a little.
      for (const batch of read.batches) {
        if (batch.position > position) break;
        if (nanos === undefined || batch.timestampNanos > nanos) nanos = batch.timestampNanos;
      }
      break;
    }
    this.#times.set(key, nanos);
    return nanos;
  }
}

function joined(ranges: readonly MomentRange[]): MomentRange[] {
  const sorted = ranges.toSorted((a, b) =>
    a.cluster === b.cluster ? Number(a.fromNanos - b.fromNanos) : a.cluster < b.cluster ? -1 : 1,
  );
  const out: MomentRange[] = [];
  for (const range of sorted) {
    const before = out.at(-1);
    if (before?.cluster !== range.cluster || range.fromNanos > before.throughNanos) out.push(range);
    else if (range.throughNanos > before.throughNanos)
      out[out.length - 1] = { ...before, throughNanos: range.throughNanos };
  }
  return out;
}
