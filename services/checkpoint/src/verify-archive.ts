// Whether what is archived after a checkpoint is what it says: every segment is read, and every batch must continue the
// chain of those before it, from the checkpoint to the newest one. Goes on after what is wrong or missing, to tell all of
// it. Changes nothing.
import type { Hash128 } from '@statestore/core';
import { extendChain, hashToHex, limits } from '@statestore/core';
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { coverageOf, type PositionSpan } from './archive-coverage.ts';
import type { PathStep } from './archive-path.ts';
import { type ArchiveSegment, chainFromHex, chainToHex } from './archive-segment.ts';
import { wayFrom, type WayStart } from './archive-way.ts';
import { readArchive } from './archive.ts';
import type { ListedSegment } from './archived-log.ts';
import { inParallel } from './in-parallel.ts';
import { isDamage } from './markers.ts';
import { archivePrefix, segmentName } from './names.ts';
import type { Finding } from './presence.ts';
import type { Repository } from './repository.ts';
import { RepositoryHistory } from './read-history.ts';
import { readSegment } from './segment-objects.ts';

/** What is missing: no moment in it, nor after it, can be had from a checkpoint before it. */
export interface ArchiveGap extends PositionSpan {
  readonly partition: number;
  readonly incarnation: string;
  /** Time of the last batch before it, ns since 1970. */
  readonly afterNanos: bigint;
  /** Of the first one behind it; undefined: nothing is there. */
  readonly untilNanos: bigint | undefined;
}

export interface ArchivedPartition {
  readonly partition: number;
  /** Of the log that is written to now, and the newest batch of it that is archived; of the checkpoint where there is none. */
  readonly incarnation: string;
  readonly position: bigint;
  readonly nanos: bigint;
  readonly batches: number;
}

export interface ArchiveVerification {
  readonly partitions: readonly ArchivedPartition[];
  readonly gaps: readonly ArchiveGap[];
  /** The first of them; gaps count, too. */
  readonly findings: readonly Finding[];
  readonly findingsTotal: number;
  /** What was read and found good. */
  readonly segments: number;
  readonly storedBytes: number;
}

export interface VerifyArchiveOptions {
  readonly repository: Repository;
  readonly manifest: CheckpointManifest;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: { readonly partition: number; readonly position: bigint }) => void;
}

/** Rejects where the repository does not answer, or with the signal's reason. */
export async function verifyArchive(options: VerifyArchiveOptions): Promise<ArchiveVerification> {
  return new ArchiveVerifier(options).verify();
}

/** Of a checkpoint, or of a split. */
interface ArchiveStart extends WayStart {
  readonly clockNanos: bigint;
  readonly chain: string;
}

/** Where it is, and what came before. */
interface Walk {
  readonly partition: number;
  position: bigint;
  chain: Hash128;
  nanos: bigint;
  incarnation: string;
  batches: number;
}

class ArchiveVerifier {
  readonly #options: VerifyArchiveOptions;
  readonly #signal: AbortSignal;
  readonly #repository: Repository;
  readonly #findings: Finding[] = [];
  readonly #gaps: ArchiveGap[] = [];
  #findingsTotal = 0;
  /** Stored bytes of each segment that was read, */
  readonly #read = new Map<string, number>();
  /** and those that are not good. */
  readonly #damaged = new Set<string>();

  constructor(options: VerifyArchiveOptions) {
    this.#options = options;
    this.#signal = options.signal ?? new AbortController().signal;
    this.#repository = options.repository;
  }

  async verify(): Promise<ArchiveVerification> {
    const { manifest } = this.#options;
    const known = await RepositoryHistory.read({ repository: this.#repository, signal: this.#signal });
    for (const what of known.damaged) this.#note({ object: archivePrefix, what });
    const history = known.of(manifest.cluster);
    const partitions: ArchivedPartition[] = [];
    const left = manifest.partitions.map(({ partition, incarnation, position, clockNanos, chain }): ArchiveStart => ({
      partition,
      incarnation,
      position,
      clockNanos,
      chain: chainToHex(chain),
    }));
    for (let start = left.shift(); start !== undefined; start = left.shift()) {
      const way = wayFrom(history, start);
      partitions.push(await this.#partition(start, way, known.segments));
      // What was split off it goes on in a log of its own. That this begins with what the split made, a restore proves.
      const { clockNanos } = start;
      left.push(...history.splitsOn(way, start.position).map((split) => ({ ...split, clockNanos })));
    }
    const good = [...this.#read].filter(([name]) => !this.#damaged.has(name));
    return {
      partitions,
      gaps: this.#gaps,
      findings: this.#findings,
      findingsTotal: this.#findingsTotal,
      segments: good.length,
      storedBytes: good.reduce((sum, [, sizeBytes]) => sum + sizeBytes, 0),
    };
  }

  #note(finding: Finding): void {
    this.#findingsTotal++;
    if (this.#findings.length < limits.checkpointFindingsMax) this.#findings.push(finding);
  }

  readonly #bad = (segment: ListedSegment, what: string): void => {
    const object = nameOf(segment);
    if (!this.#damaged.has(object)) this.#note({ object, what });
    this.#damaged.add(object);
  };

  async #partition(
    start: ArchiveStart,
    way: readonly PathStep[],
    segments: ReadonlyMap<string, readonly ListedSegment[]>,
  ): Promise<ArchivedPartition> {
    const { partition, position, incarnation, clockNanos: nanos } = start;
    const chain = chainFromHex(start.chain);
    const walk: Walk = { partition, position, chain, nanos, incarnation, batches: 0 };
    for (const step of way) {
      const listed = (segments.get(step.incarnation) ?? []).filter(({ last }) => last > walk.position);
      await this.#log(walk, step, listed);
    }
    const { batches } = walk;
    return { partition, incarnation: walk.incarnation, position: walk.position, nanos: walk.nanos, batches };
  }

  /** To the end of a log, or to where the next one carries it on. */
  async #log(walk: Walk, step: PathStep, listed: readonly ListedSegment[]): Promise<void> {
    const end = step.through ?? coverageOf(listed).spans.at(-1)?.last ?? walk.position;
    const ends = new Set(listed.map(({ last }) => last));
    const chains = new Map<bigint, string>();
    const tried = new Set<ListedSegment>();
    while (walk.position < end) {
      if (await this.#walk(walk, step.incarnation, { listed, end, ends, chains })) break;
      const next = await this.#nextGood(walk.position, listed, tried);
      const last = next === undefined ? end : next.batches[0]!.position - 1n;
      this.#gap(walk, step.incarnation, { last: last < end ? last : end, until: next?.batches[0]!.timestampNanos });
      walk.position = last < end ? last : end;
      if (next === undefined) break;
      walk.chain = chainFromHex(next.chainBefore);
      walk.nanos = next.batches[0]!.timestampNanos;
    }
    await this.#others(listed, chains);
  }

  #gap(
    { partition, position, nanos }: Walk,
    incarnation: string,
    { last, until }: { readonly last: bigint; readonly until: bigint | undefined },
  ): void {
    if (last <= position) return;
    const gap = { partition, incarnation, first: position + 1n, last, afterNanos: nanos, untilNanos: until };
    this.#gaps.push(gap);
    const what = `batches ${gap.first} to ${last} of partition ${partition} are missing`;
    this.#note({ object: `${archivePrefix}${incarnation}`, what });
  }

  /** As far as it goes without anything missing: whether that is to the end. */
  async #walk(
    walk: Walk,
    incarnation: string,
    {
      listed,
      end: through,
      ends,
      chains,
    }: {
      readonly listed: readonly ListedSegment[];
      readonly end: bigint;
      readonly ends: ReadonlySet<bigint>;
      readonly chains: Map<bigint, string>;
    },
  ): Promise<boolean> {
    const { partition } = walk;
    try {
      for await (const { batches } of readArchive({
        repository: this.#counting(listed),
        path: [{ incarnation, through }],
        segments: new Map([[incarnation, listed]]),
        after: { position: walk.position, chain: hashToHex(walk.chain) },
        expected: { partition },
        signal: this.#signal,
        onDamaged: (segment, error) => this.#bad(segment, error.message),
      })) {
        for (const batch of batches) {
          extendChain(walk.chain, batch);
          if (batch.timestampNanos > walk.nanos) walk.nanos = batch.timestampNanos;
          if (ends.has(batch.position)) chains.set(batch.position, hashToHex(walk.chain));
        }
        walk.position = batches.at(-1)!.position;
        walk.incarnation = incarnation;
        walk.batches += batches.length;
        this.#options.onProgress?.({ partition, position: walk.position });
      }
      return true;
    } catch (error) {
      if (isDamage(error)) return false;
      throw error;
    }
  }

  /** Notes which segments are read. */
  #counting(listed: readonly ListedSegment[]): Pick<Repository, 'get'> {
    const sizes = new Map(listed.map((each) => [nameOf(each), each.sizeBytes]));
    return {
      get: async (name, call) => {
        const bytes = await this.#repository.get(name, call);
        this.#read.set(name, sizes.get(name) ?? 0);
        return bytes;
      },
    };
  }

  /** Those that were not needed on the way, since others have the same batches. */
  async #others(listed: readonly ListedSegment[], chains: ReadonlyMap<bigint, string>): Promise<void> {
    const left = listed.filter((each) => !this.#read.has(nameOf(each)));
    await inParallel(left, limits.archiveReadsMax, async (each) => {
      const read = await readSegment(this.#repository, each, { signal: this.#signal });
      const known = chains.get(each.last);
      this.#read.set(nameOf(each), each.sizeBytes);
      if (typeof read === 'string') this.#bad(each, read);
      else if (known !== undefined && known !== read.chain)
        this.#bad(each, 'it is of another history than the segments around it');
    });
  }

  /** The next one that can be read; those that cannot be are noted. */
  async #nextGood(
    position: bigint,
    listed: readonly ListedSegment[],
    tried: Set<ListedSegment>,
  ): Promise<ArchiveSegment | undefined> {
    for (const each of listed) {
      if (tried.has(each) || each.first <= position) continue;
      tried.add(each);
      const read = await readSegment(this.#repository, each, { signal: this.#signal });
      if (typeof read !== 'string') return read;
    }
    return undefined;
  }
}

function nameOf({ incarnation, first, last }: ListedSegment): string {
  return segmentName(incarnation, first, last);
}
