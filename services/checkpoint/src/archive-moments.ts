// Which moments can be restored, as far as names and a few segments say: from each checkpoint on, as far as the archive
// leads from it without a gap. Whether what is there is good as well, verify-archive.ts finds out by reading it.
import { limits } from '@statestore/core';
import type { CheckpointManifest, PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { type Branch, branchesOf, wayFrom } from './archive-branches.ts';
import { coverageOf } from './archive-coverage.ts';
import { listArchive } from './archived-log.ts';
import { type CatalogOptions, callOf, listIds, readManifest } from './catalog.ts';
import { inParallel } from './in-parallel.ts';
import type { Repository } from './repository.ts';
import { readSegment } from './segment-objects.ts';

/** Each moment from one to the other can be restored, both included: ns since 1970. */
export interface MomentRange {
  readonly cluster: string;
  readonly fromNanos: bigint;
  readonly throughNanos: bigint;
}

/** By cluster, ascending; none touches another. Rejects where the repository does not answer. */
export async function restorableMoments(options: CatalogOptions): Promise<MomentRange[]> {
  const { repository } = options;
  const { listed } = await listIds(repository, callOf(options));
  const found = await inParallel(listed, limits.checkpointReadsMax, (info) => readManifest(options, info));
  const manifests = found.flatMap((each) => (each.state === 'complete' ? [each.manifest] : []));
  return momentsOf(options, manifests);
}

/** That these checkpoints lead to. */
export async function momentsOf(
  { repository, signal = new AbortController().signal }: CatalogOptions,
  manifests: readonly CheckpointManifest[],
): Promise<MomentRange[]> {
  const { logs } = await listArchive({ repository, signal });
  const reach = new Reach(repository, await branchesOf(repository, logs, signal), signal);
  const ranges: MomentRange[] = [];
  for (const manifest of manifests) ranges.push(await reach.from(manifest));
  return joined(ranges);
}

class Reach {
  readonly #repository: Repository;
  readonly #branches: readonly Branch[];
  readonly #signal: AbortSignal;
  /** Checkpoints of one log lead to the same ends. */
  readonly #times = new Map<string, bigint | undefined>();

  constructor(repository: Repository, branches: readonly Branch[], signal: AbortSignal) {
    this.#repository = repository;
    this.#branches = branches;
    this.#signal = signal;
  }

  async from({ cluster, partitions }: CheckpointManifest): Promise<MomentRange> {
    const greatest = (some: readonly bigint[]): bigint => some.reduce((a, b) => (a > b ? a : b), 0n);
    const fromNanos = greatest(partitions.map(({ clockNanos }) => clockNanos));
    const ends = await Promise.all(partitions.map((summary) => this.#of(summary, cluster)));
    let throughNanos = greatest([fromNanos, ...ends.map(({ nanos }) => nanos)]);
    // Of a time after the last batch before a gap nobody knows whether it lies in it.
    for (const { nanos, ends: isWhole } of ends) if (!isWhole && nanos <= throughNanos) throughNanos = nanos - 1n;
    return { cluster, fromNanos, throughNanos: throughNanos < fromNanos ? fromNanos : throughNanos };
  }

  /** Time of the last batch that it leads to, and whether nothing of a later one is known. */
  async #of(summary: PartitionSummary, cluster: string): Promise<{ readonly nanos: bigint; readonly ends: boolean }> {
    let { position } = summary;
    let nanos = summary.clockNanos;
    for (const { incarnation, through } of wayFrom(this.#branches, summary, cluster)) {
      const segments = this.#branches.find(({ log }) => log.incarnation === incarnation)?.segments ?? [];
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
    const segments = this.#branches.find(({ log }) => log.incarnation === incarnation)?.segments ?? [];
    for (const segment of segments.filter(({ first, last }) => first <= position && last >= position)) {
      const read = await readSegment(this.#repository, segment, { signal: this.#signal });
      if (typeof read === 'string') continue;
      nanos = read.batches[Number(position - segment.first)]!.timestampNanos;
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
