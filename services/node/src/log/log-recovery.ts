// What a log finds on disk when it opens: checks that the segments belong together, finds the end,
// and tells a torn tail from damage.
//
// The rule. Writes to a segment follow one another: a frame names the offset before which all was
// durable when it was written (`durableBefore`). At the first place that is not a good frame, look
// for a later frame that proves the place durable. There is one: a record that may have been
// acknowledged is damaged, and the start is refused. There is none: it is what a crash left of the
// last write, which was never acknowledged, and it is cut.
//
// What cannot be told apart: damage to the last write of the log, with no later one to prove it. A
// mark after every opening and closing narrows it to the last write before a crash.
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { limits, StateStoreError } from '@statestore/core';
import type { Frame, SegmentHeader } from './log-frame.ts';
import {
  decodeSegmentHeader,
  fileWindow,
  formatVersion,
  frameAlignmentBytes,
  frameBytes,
  frameEvidence,
  frameHeaderBytes,
  frameKinds,
  frameMagic,
  isFrameHeader,
  segmentHeaderBytes,
} from './log-frame.ts';
import type { Segment } from './segment-files.ts';
import {
  fillWithZeros,
  firstWaypoint,
  noteWaypoint,
  segmentPath,
  syncDirectory,
  syncedWriteFlags,
} from './segment-files.ts';
import type { FramesEnd } from './segment-reader.ts';
import { SegmentReader } from './segment-reader.ts';

/** What a crash left of the last write, and was cut. All zero where there was nothing to cut. */
export interface Recovered {
  readonly cutBytes: number;
  /** File and offset of the cut; empty and 0 where there was none. */
  readonly cutFile: string;
  readonly cutOffset: number;
}

export interface FoundLog {
  readonly incarnation: string;
  readonly segments: Segment[];
  readonly last: bigint;
  /** Of the last segment: open for synced writes. */
  readonly file: FileHandle;
  /** Where the next frame goes. */
  readonly offset: number;
  /** Whether the last records are not proven by a later frame. */
  readonly unproven: boolean;
  readonly recovered: Recovered;
}

const recoveryHint =
  'The log will not start over damaged data. Restore this partition from a checkpoint or a copy of its folder; ' +
  'moving the folder away starts an empty log with a new incarnation.';
/** Above every position. */
const noPosition = 1n << 63n;

export function damaged(path: string, offset: number, position: bigint, found: string): StateStoreError {
  return new StateStoreError('data_corrupt', `${path} is damaged at offset ${offset}, position ${position}: ${found}`, {
    hint: recoveryHint,
    extra: { file: path, offset, position: position.toString(), found },
  });
}

/** Reads what is there. `firsts`: the segments' first positions, ascending, at least one. */
export async function recoverLog(directory: string, partition: number, firsts: readonly bigint[]): Promise<FoundLog> {
  const found: { segment: Segment; header: SegmentHeader }[] = [];
  for (const first of firsts) found.push(await readHeader(directory, first, partition));
  for (const [i, { segment, header }] of found.entries()) {
    const before = found[i - 1];
    if (before === undefined) continue;
    if (header.incarnation !== before.header.incarnation) {
      const what = `incarnation ${header.incarnation} after a segment of incarnation ${before.header.incarnation}`;
      throw damaged(segment.path, 0, segment.first, `it is of another log: ${what}`);
    }
    if (header.previous !== before.segment.first)
      throw missing(segmentPath(directory, header.previous), header.previous, segment.path);
  }
  const segments = found.map(({ segment }) => segment);
  await verifyFull(segments);
  const last = segments.at(-1);
  const incarnation = found[0]?.header.incarnation;
  if (last === undefined || incarnation === undefined)
    throw new RangeError('a log to recover has at least one segment');
  return { incarnation, segments, ...(await recoverLast(directory, last)) };
}

function missing(path: string, position: bigint, namedBy: string): StateStoreError {
  return damaged(path, 0, position, `the file is missing, ${namedBy} names it`);
}

async function readHeader(
  directory: string,
  first: bigint,
  partition: number,
): Promise<{ segment: Segment; header: SegmentHeader }> {
  const path = segmentPath(directory, first);
  const file = await open(path, 'r');
  try {
    const bytes = Buffer.alloc(segmentHeaderBytes);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    const read = decodeSegmentHeader(bytes.subarray(0, bytesRead));
    if (read.kind === 'bad') throw damaged(path, 0, first, read.found);
    if (read.kind === 'version') {
      const message = `${path} is of log format ${read.version}; this version reads ${formatVersion}`;
      throw new StateStoreError('data_format', message, {
        hint: 'Start the version of StateStore that wrote it, or a newer one.',
      });
    }
    const { header, salt } = read;
    if (header.partition !== partition) {
      throw damaged(path, 0, first, `it belongs to partition ${header.partition}, this is partition ${partition}`);
    }
    if (header.first !== first)
      throw damaged(path, 0, first, `its header says that it begins at position ${header.first}`);
    const { capacityBytes, previous } = header;
    return { header, segment: { path, first, previous, capacityBytes, salt, waypoints: [firstWaypoint(first)] } };
  } finally {
    await file.close();
  }
}

/** Checks the segments before the last one: they are full, and everything in them was durable. */
async function verifyFull(segments: readonly Segment[]): Promise<void> {
  let remainingBytes = limits.logVerifyAtOpenBytes;
  for (let i = segments.length - 2; i >= 0; i--) {
    const segment = segments[i];
    const next = segments[i + 1];
    if (segment === undefined || next === undefined) continue;
    const file = await open(segment.path, 'r');
    try {
      const { size } = await file.stat();
      if (size !== segment.capacityBytes) {
        throw damaged(segment.path, size, segment.first, `the file has ${size} bytes, not ${segment.capacityBytes}`);
      }
      remainingBytes -= size;
      if (remainingBytes < 0) continue;
      const { end } = await readFrames(file, segment, next.first - 1n);
      if (end.kind !== 'through')
        throw damaged(segment.path, end.offset, end.position, `${end.found} before position ${next.first}`);
    } finally {
      await file.close();
    }
  }
}

/** Reads all frames of a segment, noting places to start at; returns the last one and why they ended. */
async function readFrames(
  file: FileHandle,
  segment: Segment,
  through: bigint,
): Promise<{ readonly last: Frame | undefined; readonly end: FramesEnd }> {
  const reader = new SegmentReader(file, segment, firstWaypoint(segment.first));
  let last: Frame | undefined;
  for (;;) {
    const chunk = await reader.read(through);
    const first = chunk.frames[0];
    if (first !== undefined) noteWaypoint(segment, first.position, first.offset);
    last = chunk.frames.at(-1) ?? last;
    if (chunk.end !== undefined) return { last, end: chunk.end };
  }
}

async function recoverLast(directory: string, segment: Segment): Promise<Omit<FoundLog, 'incarnation' | 'segments'>> {
  const file = await open(segment.path, syncedWriteFlags);
  try {
    const { size } = await file.stat();
    if (size > segment.capacityBytes) {
      throw damaged(
        segment.path,
        segment.capacityBytes,
        segment.first,
        `the file has ${size} bytes, not ${segment.capacityBytes}`,
      );
    }
    const { last, end } = await readFrames(file, segment, noPosition);
    const rest = await inspectRest(file, segment, end);
    if (last?.kind === frameKinds.continued)
      throw missing(segmentPath(directory, last.position), last.position, segment.path);
    await cut(file, segment, end.offset, rest.nonZeroEnd, size);
    const cutBytes = Math.max(0, rest.nonZeroEnd - end.offset);
    if (last !== undefined) await rewrite(file, last.durableBefore, end.offset);
    await syncDirectory(directory);
    return {
      last: end.position - 1n,
      file,
      offset: end.offset,
      unproven: last?.kind === frameKinds.record,
      recovered:
        cutBytes === 0
          ? { cutBytes, cutFile: '', cutOffset: 0 }
          : { cutBytes, cutFile: segment.path, cutOffset: end.offset },
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Looks through what follows the last good frame: for proof that it was durable, and for its end. */
async function inspectRest(
  file: FileHandle,
  segment: Segment,
  end: FramesEnd,
): Promise<{ readonly nonZeroEnd: number }> {
  const bytes = Buffer.allocUnsafeSlow(limits.logReadChunkBytes);
  const zeros = Buffer.alloc(bytes.length);
  let nonZeroEnd = end.offset;
  // Consecutive reads overlap by a header, which may lie across their border.
  const stepBytes = bytes.length - frameHeaderBytes;
  for (let offset = end.offset; ; offset += stepBytes) {
    const { bytesRead } = await file.read(bytes, 0, bytes.length, offset);
    if (bytesRead === 0) return { nonZeroEnd };
    const chunk = bytes.subarray(0, bytesRead);
    if (!chunk.equals(zeros.subarray(0, bytesRead))) {
      nonZeroEnd = offset + chunk.findLastIndex((byte) => byte !== 0) + 1;
      const proof = findProof(chunk, offset, segment.salt, end.offset);
      if (proof !== undefined) {
        const what = `${end.found}; the frame at offset ${proof.offset}, position ${proof.position}, proves that this was durable`;
        throw damaged(segment.path, end.offset, end.position, what);
      }
    }
    if (bytesRead < bytes.length) return { nonZeroEnd };
  }
}

/** The first frame header in a chunk that says that `badOffset` was durable when it was written. */
function findProof(
  chunk: Buffer,
  offset: number,
  salt: number,
  badOffset: number,
): { offset: number; position: bigint } | undefined {
  const window = fileWindow(chunk, offset, salt);
  for (let at = chunk.indexOf(frameMagic); at >= 0; at = chunk.indexOf(frameMagic, at + 1)) {
    if ((offset + at) % frameAlignmentBytes !== 0 || !isFrameHeader(window, at)) continue;
    const { durableBefore, position } = frameEvidence(window, at);
    if (durableBefore > badOffset) return { offset: offset + at, position };
  }
  return undefined;
}

/** Leaves zeros from `offset` to the segment's end, on disk. */
async function cut(
  file: FileHandle,
  segment: Segment,
  offset: number,
  nonZeroEnd: number,
  size: number,
): Promise<void> {
  await fillWithZeros(file, offset, nonZeroEnd);
  if (size < segment.capacityBytes) await fillWithZeros(file, Math.max(offset, size), segment.capacityBytes);
  await file.sync();
}

/**
 * Writes the last write again. It was read back, which does not show that it is on disk: a crash of the
 * process may have come before its sync, and after a failed sync Linux calls pages clean that are not.
 */
async function rewrite(file: FileHandle, from: number, to: number): Promise<void> {
  const bytes = Buffer.allocUnsafeSlow(limits.logReadChunkBytes);
  for (let offset = from; offset < to;) {
    const { bytesRead } = await file.read(bytes, 0, Math.min(bytes.length, to - offset), offset);
    const { bytesWritten } = await file.write(bytes, 0, bytesRead, offset);
    if (bytesWritten === 0) throw new Error(`wrote 0 of ${bytesRead} bytes at offset ${offset}`);
    offset += bytesWritten;
  }
}

/** Largest record that a segment of this size can hold, with room for the two marks that may follow it. */
export function recordBytesMaxOf(capacityBytes: number): number {
  return capacityBytes - segmentHeaderBytes - 2 * frameBytes(0) - frameHeaderBytes - frameAlignmentBytes;
}
