// Segments in a repository: stored so that they are there and whole whoever else stores the same, and read back.
import { limits, StateStoreError } from '@statestore/core';
import { archivedThrough } from './archive-coverage.ts';
import { type ArchiveSegment, decodeSegment, encodeSegment } from './archive-segment.ts';
import type { SegmentExpectation, SegmentPlace } from './archive-segment.ts';
import { listSegments } from './archived-log.ts';
import { createObject } from './block-object.ts';
import { damaged } from './damage.ts';
import { isDamage } from './markers.ts';
import { segmentName } from './names.ts';
import type { Repository } from './repository.ts';
import { equalBytes } from './sealed.ts';

/**
 * Resolves with its size when it is there and was read back. Where somebody else stored one of the same batches it is left as it is;
 * one that is damaged is replaced. Rejects with `data_corrupt` where there is one of another history, with what the
 * repository says, with the signal's reason.
 */
export async function storeSegment(
  repository: Repository,
  segment: ArchiveSegment,
  signal: AbortSignal,
): Promise<number> {
  const { incarnation, batches } = segment;
  const place = { incarnation, first: batches[0]!.position, last: batches.at(-1)!.position };
  const name = segmentName(incarnation, place.first, place.last);
  const bytes = await encodeSegment(segment);
  const attemptsMax = limits.checkpointUploadAttempts;
  const outcome = await createObject(repository, name, bytes, { attemptsMax, signal });
  if (outcome === 'exists' && (await isKept(repository, place, segment, signal))) return 0;
  if (outcome === 'exists') await repository.put(name, bytes, { signal });
  // Once it counts as archived the log goes: it is read back first.
  const there = await repository.get(name, { signal });
  if (there !== undefined && equalBytes(there, bytes)) return bytes.length;
  const found = there === undefined ? 'it is not there' : `${there.length} others are there`;
  throw new StateStoreError('unavailable', `${name}: ${bytes.length} bytes were stored, and ${found}`, {
    retryAfterMs: 1000,
  });
}

/** Whether what is there is as good. */
async function isKept(
  repository: Repository,
  place: SegmentPlace,
  segment: ArchiveSegment,
  signal: AbortSignal,
): Promise<boolean> {
  const there = await readSegment(repository, place, { signal });
  if (typeof there === 'string') return false;
  if (there.chain === segment.chain && there.chainBefore === segment.chainBefore) return true;
  throw damaged(segmentName(place.incarnation, place.first, place.last), 'it is of another history of this log');
}

export interface ReadSegmentOptions {
  readonly signal: AbortSignal;
  readonly expected?: SegmentExpectation;
}

/** The segment, or what is wrong with it, in words that name it. Rejects with what the repository says. */
export async function readSegment(
  repository: Repository,
  place: SegmentPlace,
  { signal, expected }: ReadSegmentOptions,
): Promise<ArchiveSegment | string> {
  const name = segmentName(place.incarnation, place.first, place.last);
  try {
    const bytes = await repository.get(name, { signal });
    if (bytes === undefined) return `${name}: it is missing`;
    return await decodeSegment(place, bytes, expected);
  } catch (error) {
    if (isDamage(error)) return error.message;
    throw error;
  }
}

/**
 * Up to where a log is archived (archivedThrough), and can be read: each segment is read back before the next one is
 * stored, and the last one here. Rejects with what the repository says.
 */
export async function readableThrough(
  repository: Repository,
  incarnation: string,
  logFirst: bigint,
  { signal }: ReadSegmentOptions,
): Promise<bigint> {
  let segments = await listSegments(repository, incarnation, { signal });
  for (;;) {
    const through = archivedThrough(segments, logFirst);
    const ending = segments.find(({ last }) => last === through);
    if (ending === undefined || typeof (await readSegment(repository, ending, { signal })) !== 'string') return through;
    segments = segments.filter((each) => each !== ending);
  }
}
