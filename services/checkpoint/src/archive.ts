// The batches of a partition out of the archive, in order, from one position on: across segments, of which some may
// overlap or be damaged, and across logs that carry each other on. What is read follows the chain of what came before, or
// it is not given out. What is done with the batches is the caller's business.
import type { BatchRecord, Hash128, StateStoreError } from '@statestore/core';
import { extendChain, hashToHex, limits } from '@statestore/core';
import type { PathStep } from './archive-path.ts';
import type { ArchiveSegment, SegmentExpectation } from './archive-segment.ts';
import { chainFromHex, decodeSegment } from './archive-segment.ts';
import type { ListedSegment } from './archived-log.ts';
import { damaged } from './damage.ts';
import { isDamage } from './markers.ts';
import { archivePrefix, segmentName } from './names.ts';
import type { Repository } from './repository.ts';

/** A moment of a partition's history, proved by its chain. */
export interface ChainPoint {
  readonly position: bigint;
  /** 32 hexadecimal digits. */
  readonly chain: string;
}

export interface ReadArchiveOptions {
  readonly repository: Pick<Repository, 'get'>;
  /** Of pathTo. */
  readonly path: readonly PathStep[];
  /** Of the logs of the path, by incarnation, in order of their first positions. */
  readonly segments: ReadonlyMap<string, readonly ListedSegment[]>;
  /** What is there already: the next batch is the first one that is given. */
  readonly after: ChainPoint;
  /** The last position that is wanted; undefined: whatever there is. */
  readonly through?: bigint | undefined;
  readonly expected?: SegmentExpectation;
  readonly signal: AbortSignal;
  /** A segment is damaged or of another history; perhaps others have what it should have. */
  readonly onDamaged?: (segment: ListedSegment, error: StateStoreError) => void;
}

export interface ArchivedPart {
  readonly incarnation: string;
  /** Consecutive, and following those of the part before. */
  readonly batches: readonly BatchRecord[];
}

/**
 * Part by part, each of one segment. Ends where the archive ends, or at `through`. Rejects with `data_corrupt`
 * naming what is missing or damaged: what was given before is good. Rejects with what the repository says, and with
 * the signal's reason.
 */
export async function* readArchive(options: ReadArchiveOptions): AsyncGenerator<ArchivedPart, void> {
  const { path, segments, through } = options;
  let { position } = options.after;
  const chain = chainFromHex(options.after.chain);
  for (const step of path) {
    const end = least(step.through, through);
    const source = new SegmentSource(options, segments.get(step.incarnation) ?? [], step.incarnation);
    const isWanted = (): boolean => end === undefined || position < end;
    while (isWanted()) {
      const found = await source.from(position + 1n, chain, end);
      if (found === undefined) break;
      position = found.at(-1)!.position;
      yield { incarnation: step.incarnation, batches: found };
    }
    if (end !== undefined && position < end) {
      const name = `${archivePrefix}${step.incarnation}`;
      throw damaged(name, `its batches after ${position} are not archived; they are wanted up to ${end}`);
    }
    if (through !== undefined && position >= through) return;
    // A log that nothing was written to yet carries on something, too.
    if (step.chain !== undefined && position === step.through && hashToHex(chain) !== step.chain) {
      const name = `${archivePrefix}${step.incarnation}`;
      throw damaged(name, `at ${position} it has another history than the log says that carries it on`);
    }
  }
}

/** The segments of one log, taken one after the other. */
class SegmentSource {
  readonly #options: ReadArchiveOptions;
  readonly #segments: readonly ListedSegment[];
  readonly #incarnation: string;
  #next = 0;
  /** Those that have begun before the wanted position, and do not end before it. */
  #pool: ListedSegment[] = [];
  /** As they are stored: what they decompress to is held of one alone. */
  readonly #ahead = new Map<ListedSegment, Promise<Uint8Array | undefined>>();

  constructor(options: ReadArchiveOptions, segments: readonly ListedSegment[], incarnation: string) {
    this.#options = options;
    this.#segments = segments;
    this.#incarnation = incarnation;
  }

  /** Batches from a position on, at least one, and `chain` is brought to the last of them. Undefined: the archive ends. */
  async from(position: bigint, chain: Hash128, end: bigint | undefined): Promise<readonly BatchRecord[] | undefined> {
    const problems: StateStoreError[] = [];
    for (const segment of this.#candidates(position)) {
      this.#options.signal.throwIfAborted();
      try {
        const read = await this.#read(segment);
        this.#readAhead(segment.last + 1n, end);
        return following(read, segment, position, chain, end);
      } catch (error) {
        if (!isDamage(error)) throw error;
        // Another one may have the same batches.
        this.#options.onDamaged?.(segment, error);
        problems.push(error);
        this.#pool = this.#pool.filter((each) => each !== segment);
      }
    }
    if (problems[0] !== undefined) throw problems[0];
    const later = this.#segments[this.#next];
    if (later === undefined) return undefined;
    const name = `${archivePrefix}${this.#incarnation}`;
    throw damaged(name, `its batches ${position} to ${later.first - 1n} are not archived`);
  }

  #candidates(position: bigint): ListedSegment[] {
    for (; this.#next < this.#segments.length && this.#segments[this.#next]!.first <= position; this.#next++)
      this.#pool.push(this.#segments[this.#next]!);
    this.#pool = this.#pool.filter(({ last }) => last >= position);
    return this.#pool.toSorted((a, b) => (a.last > b.last ? -1 : a.last < b.last ? 1 : 0));
  }

  async #read(segment: ListedSegment): Promise<ArchiveSegment> {
    const bytes = await (this.#ahead.get(segment) ?? this.#fetch(segment));
    this.#ahead.delete(segment);
    if (bytes === undefined) {
      throw damaged(segmentName(segment.incarnation, segment.first, segment.last), 'it is gone since it was listed');
    }
    return decodeSegment(segment, bytes, this.#options.expected);
  }

  /** Those that come next, if nothing is wrong: a day of a busy log is tens of thousands, and each is a round trip. */
  #readAhead(position: bigint, end: bigint | undefined): void {
    const wanted = this.#following(position, end);
    for (const segment of this.#ahead.keys()) if (!wanted.has(segment)) this.#ahead.delete(segment);
    for (const segment of wanted) {
      if (this.#ahead.has(segment)) continue;
      const reading = this.#fetch(segment);
      reading.catch(() => undefined);
      this.#ahead.set(segment, reading);
    }
  }

  /** As `#candidates` would find them one after the other; as many as may be held. */
  #following(position: bigint, end: bigint | undefined): Set<ListedSegment> {
    const found = new Set<ListedSegment>();
    let pool = this.#pool;
    let at = position;
    let bytes = 0;
    for (let next = this.#next; found.size < limits.archiveReadAheadMax;) {
      if (end !== undefined && at > end) break;
      const from = next;
      while (next < this.#segments.length && this.#segments[next]!.first <= at) next++;
      pool = [...pool, ...this.#segments.slice(from, next)].filter(({ last }) => last >= at);
      const best = pool.reduce<ListedSegment | undefined>(
        (a, b) => (a === undefined || b.last > a.last ? b : a),
        undefined,
      );
      if (best === undefined) break;
      bytes += best.sizeBytes;
      if (found.size > 0 && bytes > limits.archiveReadAheadBytes) break;
      found.add(best);
      at = best.last + 1n;
    }
    return found;
  }

  #fetch({ incarnation, first, last }: ListedSegment): Promise<Uint8Array | undefined> {
    const { repository, signal } = this.#options;
    return repository.get(segmentName(incarnation, first, last), { signal });
  }
}

/* oxlint-disable-next-line max-params -- a segment, and what of it is wanted */
function following(
  { batches, chain: chainAtEnd }: ArchiveSegment,
  segment: ListedSegment,
  position: bigint,
  chain: Hash128,
  end: bigint | undefined,
): readonly BatchRecord[] {
  const from = Number(position - segment.first);
  const after = chain.slice();
  const whole = batches.slice(from);
  const wanted = end === undefined || end >= segment.last ? whole : whole.slice(0, Number(end - position) + 1);
  for (const batch of wanted) extendChain(after, batch);
  const checked = after.slice();
  for (const batch of whole.slice(wanted.length)) extendChain(checked, batch);
  if (hashToHex(checked) !== chainAtEnd) {
    const name = segmentName(segment.incarnation, segment.first, segment.last);
    throw damaged(name, `it is of another history: its batches from ${position} on do not follow those before`);
  }
  chain.set(after);
  return wanted;
}

function least(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}
