// Segments of the archive that no checkpoint leads to any more are removed: with the oldest checkpoint that is there, the
// range of moments that can be restored ends. Which those are is a function of what was listed; nothing goes while anything
// of it cannot be read.
import { limits } from '@statestore/core';
import { listArchive, type ListedLog, type ListedSegment } from './archived-log.ts';
import { inParallel } from './in-parallel.ts';
import { type OriginPoint, originsOf } from './log-origin.ts';
import { decodeCheckpointManifest } from './manifest-codec.ts';
import { isAbandoned, isDamage } from './markers.ts';
import { checkpointsPrefix, manifestName, segmentName } from './names.ts';
import { parseName } from './parse-names.ts';
import type { Repository, RepositoryCall } from './repository.ts';

/** Where a checkpoint has a partition. */
export interface RetainingPoint {
  /** Empty: nothing was ever written to it, and what leads on is a log that begins at the beginning. */
  readonly incarnation: string;
  readonly position: bigint;
  readonly cluster?: string | undefined;
  readonly partition?: number | undefined;
  /** Of the checkpoint: which cluster of the name, and when it was begun. */
  readonly lineage?: string | undefined;
  readonly startedAtMs?: number | undefined;
}

/**
 * Segments that no checkpoint leads through any more. A checkpoint leads from its position on to the end of its log, and
 * from where other logs carry that one on, or were split off it, to their ends, and so on. Of a log that nothing leads to,
 * segments go only where a checkpoint is of a log that carries it on, or is of the same cluster and was begun later: it has
 * not got the partition any more. Else they may be what leads on from an older one, or to the first one. Of other logs the
 * newest one stays: it says how far the log is archived, and where and when it was.
 */
export function retiredSegments(logs: readonly ListedLog[], points: readonly RetainingPoint[]): ListedSegment[] {
  const needed = new NeededPositions(logs, points);
  const left = new Set<string>();
  for (const { incarnation } of points) {
    for (let at = needed.before(incarnation); at !== undefined && !left.has(at); at = needed.before(at)) left.add(at);
  }
  return logs.flatMap(({ log, segments }) => {
    const { incarnation } = log;
    const from = needed.after(incarnation);
    if (from === undefined) return left.has(incarnation) || needed.isOver(log) ? segments : [];
    const newest = segments.reduce((greatest, { last }) => (last > greatest ? last : greatest), 0n);
    return segments.filter(({ last }) => last <= from && last < newest);
  });
}

/** After which position of each log what is archived of it is needed. */
class NeededPositions {
  readonly #logs: ReadonlyMap<string, ListedLog>;
  readonly #origins: ReadonlyMap<string, OriginPoint>;
  readonly #known = new Map<string, bigint | undefined>();
  /** When the last checkpoint of each cluster was begun, ns since 1970. */
  readonly #lastNanos = new Map<string, bigint>();

  constructor(logs: readonly ListedLog[], points: readonly RetainingPoint[]) {
    this.#origins = originsOf(logs.map(({ log }) => log));
    for (const { lineage = '', startedAtMs = 0 } of points) {
      const nanos = BigInt(Math.floor(startedAtMs)) * 1_000_000n;
      if (nanos > (this.#lastNanos.get(lineage) ?? 0n)) this.#lastNanos.set(lineage, nanos);
    }
    this.#logs = new Map(logs.map((listed) => [listed.log.incarnation, listed]));
    for (const point of points) {
      if (point.incarnation !== '') this.#own(point.incarnation, point.position);
      else for (const { log } of logs) if (isFirst(log, point)) this.#own(log.incarnation, 0n);
    }
    // A log is looked at when the one before it was: of each, what leads into it counts as a point of its own.
    const seen = new Set<string>();
    for (const incarnation of this.#logs.keys()) this.#lead(incarnation, seen);
  }

  /** Undefined: of none. */
  after(incarnation: string): bigint | undefined {
    return this.#known.get(incarnation);
  }

  /** Of a log that nothing leads to: whether its partition was gone, or had another one, at a checkpoint of its cluster. */
  isOver({ incarnation, lineage = '', beganNanos, origin }: ListedLog['log']): boolean {
    if (lineage === '' || beganNanos === undefined) return false;
    // Of whom nobody knows what it was split off, that may be led to.
    if (origin !== undefined && !this.#origins.has(incarnation)) return false;
    const last = this.#lastNanos.get(lineage);
    return last !== undefined && last > beganNanos + BigInt(limits.historyClocksDifferMs) * 1_000_000n;
  }

  before(incarnation: string): string | undefined {
    return this.#logs.get(incarnation)?.log.continues?.incarnation;
  }

  #own(incarnation: string, position: bigint): void {
    const known = this.#known.get(incarnation);
    if (known === undefined || position < known) this.#known.set(incarnation, position);
  }

  #lead(incarnation: string, seen: Set<string>): void {
    if (seen.has(incarnation)) return;
    seen.add(incarnation);
    for (const before of [this.#logs.get(incarnation)?.log.continues, this.#origins.get(incarnation)]) {
      if (before === undefined) continue;
      this.#lead(before.incarnation, seen);
      const from = this.#known.get(before.incarnation);
      if (from !== undefined && from <= before.position) this.#own(incarnation, before.position);
    }
  }
}

function isFirst({ continues, cluster, partition }: ListedLog['log'], point: RetainingPoint): boolean {
  return continues === undefined && cluster === point.cluster && partition === point.partition;
}

export type ArchiveCollection =
  | { readonly outcome: 'collected'; readonly segments: number; readonly bytes: number }
  /** Something cannot be read: nothing was removed. Names it. */
  | { readonly outcome: 'blocked'; readonly why: string };

/** Also checkpoints that were deleted count until their manifests are gone: somebody may be restoring them. */
export async function collectArchive(repository: Repository, call: RepositoryCall = {}): Promise<ArchiveCollection> {
  const { logs, damaged } = await listArchive({ repository, ...call });
  if (damaged[0] !== undefined) return { outcome: 'blocked', why: damaged[0] };
  const ids: string[] = [];
  for await (const { name } of repository.list(checkpointsPrefix, call)) {
    const parsed = parseName(name);
    if (parsed?.kind === 'manifest') ids.push(parsed.id);
  }
  let points: RetainingPoint[][];
  try {
    points = await inParallel(ids, limits.checkpointReadsMax, async (id) => {
      const bytes = await repository.get(manifestName(id), call);
      if (bytes === undefined || isAbandoned(bytes)) return [];
      const { cluster, partitions, lineage, startedAtMs } = decodeCheckpointManifest(id, bytes);
      const made = { cluster, lineage, startedAtMs: Number(startedAtMs) };
      return partitions.map(({ incarnation, position, partition }) => ({ incarnation, position, partition, ...made }));
    });
  } catch (error) {
    if (isDamage(error)) return { outcome: 'blocked', why: error.message };
    throw error;
  }
  const retired = retiredSegments(logs, points.flat());
  const atOnce = limits.checkpointRemovedAtOnce;
  for (let from = 0; from < retired.length; from += atOnce) {
    const names = retired
      .slice(from, from + atOnce)
      .map(({ incarnation, first, last }) => segmentName(incarnation, first, last));
    await repository.remove(names, call);
  }
  return {
    outcome: 'collected',
    segments: retired.length,
    bytes: retired.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}
