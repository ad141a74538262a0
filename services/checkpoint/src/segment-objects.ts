// Segments in a repository: stored so that they are there and whole whoever else stores the same, and read back.
import { limits, StateStoreError } from '@statestore/core';
import { type ArchiveSegment, decodeSegment, encodeSegment } from './archive-segment.ts';
import type { SegmentExpectation, SegmentPlace } from './archive-segment.ts';
import { createObject } from './block-object.ts';
import { damaged } from './damage.ts';
import { isDamage } from './markers.ts';
import { segmentName } from './names.ts';
import type { Repository } from './repository.ts';

/**
 * Resolves with its size when it is there. Where somebody else stored one of the same batches it is left as it is;
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
  const info = await repository.head(name, { signal });
  if (info?.sizeBytes === bytes.length) return bytes.length;
  const found = info === undefined ? 'it is not there' : `it has ${info.sizeBytes} bytes`;
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
