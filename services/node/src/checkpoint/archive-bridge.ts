// What a log does not have any more after a checkpoint, out of the archive: so a replica comes back also from a checkpoint
// that is older than the first batch of its log, or of a log that this one carries on. Which checkpoint it is, is decided
// by restore-replica.ts; what comes of it is judged against the log like every restored state.
import type { ArchivedLog, ListedSegment, PathStep, Repository, RestoredPartition } from '@statestore/checkpoint';
import {
  archivedLogName,
  chainToHex,
  coverageOf,
  decodeArchivedLog,
  listSegments,
  pathTo,
  readArchive,
} from '@statestore/checkpoint';
import type { PartitionLog } from '@statestore/core';
import { hashToHex, StateStoreError } from '@statestore/core';
import type { PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { Engine } from '../engine/engine.ts';
import type { Time } from '../time.ts';
import { proveEngine, replay } from './replay.ts';

export interface BridgeOptions {
  readonly repository: Repository;
  readonly partition: number;
  /** That the replica is to follow. */
  readonly log: PartitionLog;
  /** What it has now. */
  readonly bounds: { readonly first: bigint; readonly last: bigint };
  readonly signal: AbortSignal;
}

export interface CrossOptions {
  readonly summary: PartitionSummary;
  /** Has the state of the summary. */
  readonly engine: Engine;
  readonly signal: AbortSignal;
  readonly time: Time;
  readonly onProgress?: ((position: bigint) => void) | undefined;
}

export interface Crossed extends Omit<RestoredPartition, 'records'> {
  /** UUID of the log that the state is of now. */
  readonly incarnation: string;
}

type Known = Pick<ArchivedLog, 'incarnation' | 'generation' | 'continues'>;

export class ArchiveBridge {
  readonly #options: BridgeOptions;
  /** The log, and those that it carries on. */
  readonly #logs: readonly Known[];
  readonly #segments: ReadonlyMap<string, readonly ListedSegment[]>;

  private constructor(
    options: BridgeOptions,
    logs: readonly Known[],
    segments: ReadonlyMap<string, readonly ListedSegment[]>,
  ) {
    this.#options = options;
    this.#logs = logs;
    this.#segments = segments;
  }

  /** Looks what is archived. Rejects with what the repository says. */
  static async open(options: BridgeOptions): Promise<ArchiveBridge> {
    const { repository, log, signal } = options;
    const logs: Known[] = [];
    const segments = new Map<string, readonly ListedSegment[]>();
    for (let next: Known | undefined = log; next !== undefined && !segments.has(next.incarnation);) {
      logs.push(next);
      segments.set(next.incarnation, await listSegments(repository, next.incarnation, { signal }));
      next = await before(repository, next, signal);
    }
    return new ArchiveBridge(options, logs, segments);
  }

  /** Why the archive does not lead from there to the log; undefined: it does, as far as names of segments say. */
  objection({ incarnation, position }: PartitionSummary): string | undefined {
    const { bounds } = this.#options;
    const of = `its state is of log ${incarnation} at ${position}`;
    if (position > bounds.last) return `${of}, and the log ends at ${bounds.last}`;
    const path = this.#pathFrom(incarnation, position);
    if (typeof path === 'string') return `${of}: ${path}`;
    let at = position;
    for (const step of path) {
      const end = step.through ?? at;
      const spans = coverageOf(this.#segments.get(step.incarnation) ?? []).spans;
      const span = spans.find(({ first, last }) => first <= at + 1n && at < last);
      if (end > at && (span === undefined || span.last < end)) {
        const missing = (span?.last ?? at) + 1n;
        const until = spans.find(({ first }) => first > missing)?.first ?? end + 1n;
        const to = until <= end ? until - 1n : end;
        return `${of}: batches ${missing} to ${to} of log ${step.incarnation} are missing: it has them no more, and they are not archived`;
      }
      if (end > at) at = end;
    }
    return undefined;
  }

  /**
   * Brings the engine to where the log has the next batch. Rejects with `data_corrupt` naming what of the archive is
   * damaged or missing.
   */
  async cross({ summary, engine, signal, time, onProgress }: CrossOptions): Promise<Crossed> {
    const { repository, partition } = this.#options;
    const { incarnation, position } = summary;
    const path = this.#pathFrom(incarnation, position);
    if (typeof path === 'string') throw new StateStoreError('data_corrupt', path);
    const after = { position, chain: chainToHex(summary.chain) };
    const expected = { partition };
    const replayed = await replay({
      engine,
      parts: readArchive({ repository, path, segments: this.#segments, after, expected, signal }),
      signal,
      time,
      onProgress: (progress) => onProgress?.(progress.position),
    });
    const { chain, stateHash, entries } = await proveEngine(engine, signal, time);
    return {
      position: replayed.position,
      chain: hashToHex(chain),
      stateHash: hashToHex(stateHash),
      entries,
      incarnation: path.at(-1)!.incarnation,
    };
  }

  /** To the batch before the first one that the log has. In words why there is no way. */
  #pathFrom(incarnation: string, position: bigint): readonly PathStep[] | string {
    const { log, bounds } = this.#options;
    const own = bounds.first - 1n;
    try {
      const known = this.#logs.map((each) => ({ ...each, firstNanos: undefined }));
      const whole = pathTo(known, { incarnation, position }, log.incarnation);
      const path = whole.map((step) => (step.incarnation === log.incarnation ? { ...step, through: own } : step));
      const forkAt = log.continues?.position ?? 0n;
      // It has everything since it began: the state stays one of the log before.
      return path.length > 1 && own <= forkAt ? path.slice(0, -1) : path;
    } catch (error) {
      if (error instanceof StateStoreError && error.code === 'invalid_parameter') return error.message;
      throw error;
    }
  }
}

/** The log that it carries on, as it is archived; undefined: there is none, or nobody knows of it. */
async function before(repository: Repository, log: Known, signal: AbortSignal): Promise<Known | undefined> {
  const { continues } = log;
  if (continues === undefined) return undefined;
  const { incarnation } = continues;
  const bytes = await repository.get(archivedLogName(incarnation), { signal });
  // Of what it carries on itself nothing is known then; it can be bridged all the same.
  if (bytes === undefined) return { incarnation, generation: 0 };
  try {
    return decodeArchivedLog(incarnation, bytes);
  } catch (error) {
    if (error instanceof StateStoreError && ['data_corrupt', 'data_format'].includes(error.code))
      return { incarnation, generation: 0 };
    throw error;
  }
}
