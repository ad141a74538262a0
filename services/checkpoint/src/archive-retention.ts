// Segments of the archive that no checkpoint leads to any more are removed: with the oldest checkpoint that is there, the
// range of moments that can be restored ends. Which those are is a function of what was listed; nothing goes while anything
// of it cannot be read.
import { limits } from '@statestore/core';
import { listArchive, type ListedLog, type ListedSegment } from './archived-log.ts';
import { inParallel } from './in-parallel.ts';
import { decodeCheckpointManifest } from './manifest-codec.ts';
import { isAbandoned, isDamage } from './markers.ts';
import { checkpointsPrefix, manifestName, segmentName } from './names.ts';
import { parseName } from './parse-names.ts';
import type { Repository, RepositoryCall } from './repository.ts';

/** Where a checkpoint has a partition. */
export interface RetainingPoint {
  readonly incarnation: string;
  readonly position: bigint;
}

/**
 * Segments that end at or before the oldest checkpoint of their log. Those of a log that has none go only where a
 * checkpoint is of a log that carries it on: else they may be what leads on from an older one, or to the first one.
 */
export function retiredSegments(logs: readonly ListedLog[], points: readonly RetainingPoint[]): ListedSegment[] {
  const oldest = new Map<string, bigint>();
  for (const { incarnation, position } of points) {
    const known = oldest.get(incarnation);
    if (known === undefined || position < known) oldest.set(incarnation, position);
  }
  const continued = new Map(logs.map(({ log }) => [log.incarnation, log.continues?.incarnation]));
  const isReached = (incarnation: string): boolean => {
    const seen = new Set<string>();
    for (let at: string | undefined = incarnation; at !== undefined && !seen.has(at); at = continued.get(at)) {
      if (oldest.has(at)) return true;
      seen.add(at);
    }
    return false;
  };
  const left = new Set<string>();
  for (const incarnation of oldest.keys()) {
    for (let at = continued.get(incarnation); at !== undefined && !left.has(at); at = continued.get(at)) left.add(at);
  }
  return logs.flatMap(({ log: { incarnation }, segments }) => {
    const from = oldest.get(incarnation);
    if (from !== undefined) return segments.filter(({ last }) => last <= from);
    return left.has(incarnation) && !isReached(incarnation) ? segments : [];
  });
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
      return decodeCheckpointManifest(id, bytes).partitions.map(({ incarnation, position }) => ({
        incarnation,
        position,
      }));
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
