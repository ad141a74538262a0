// Group commit: one synced write at a time; every append that waits when a write starts goes into it.
// The write is the sync (O_DSYNC), so an append costs its share of one trip to the disk.
//
// A write that fails is final. What of it reached the disk is unknown, and so is what the kernel
// thinks of its pages: a sync repeated after a failed one may succeed without having written anything
// ("fsyncgate", 2018). So its appends are `unknown`, everything later is refused, and only opening the
// log again finds out. Failing to make room for a new segment is no such case: nothing was written.
import { write as writeFile } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { limits } from '@statestore/core';
import type { FrameKind } from './log-frame.ts';
import { encodeFrame, fileWindow, frameBytes, frameHeaderBytes, frameKinds } from './log-frame.ts';
import type { AppendOutcome, LogRecord } from './log.ts';
import type { Segment } from './segment-files.ts';
import { isDiskFull, noteWaypoint, prepareSpare, promoteSpare } from './segment-files.ts';

/** Writes bytes at a file offset, perhaps not all of them: `fs.write`, or what a test puts in its place. */
export type SyncedWrite = (
  fd: number,
  bytes: Uint8Array,
  offset: number,
  done: (error: Error | null, written: number) => void,
) => void;

export interface GroupWriterOptions {
  readonly directory: string;
  readonly partition: number;
  readonly incarnation: string;
  /** Size of the segments to be made. */
  readonly segmentBytes: number;
  readonly recordBytesMax: number;
  /** Shared with the log: the writer adds segments at the end. Not empty. */
  readonly segments: Segment[];
  /** The last segment, open for synced writes. */
  readonly file: FileHandle;
  /** Where the next frame goes. */
  readonly offset: number;
  /** Position of the last record. */
  readonly last: bigint;
  readonly now: () => bigint;
  readonly write?: SyncedWrite;
  /** Default: limits.logInFlightMax. */
  readonly inFlightMax?: number;
  /** Given each payload, in the order of their positions, when it is about to be written; may fill it in. */
  readonly stamp?: (payload: Uint8Array) => void;
  /** Whether anybody wants to be given the records of each write. */
  readonly wantsRecords: () => boolean;
  /** Called when a write is on disk, in the same turn as and before its appends resolve. */
  readonly onDurable: (records: readonly LogRecord[]) => void;
}

interface Pending {
  readonly bytes: Uint8Array;
  readonly resolve: (outcome: AppendOutcome) => void;
}

interface Failure {
  readonly reason: 'unavailable' | 'disk_full';
  readonly cause: unknown;
}

const writeSynced: SyncedWrite = (fd, bytes, offset, done) => writeFile(fd, bytes, 0, bytes.length, offset, done);
const marksBytes = 2 * frameBytes(0);
const noPayload = new Uint8Array(0);

function failureOf(error: unknown): Failure {
  return { reason: isDiskFull(error) ? 'disk_full' : 'unavailable', cause: error };
}

export class GroupWriter {
  private readonly options: GroupWriterOptions;
  private readonly write: SyncedWrite;
  private file: FileHandle;
  private segment: Segment;
  private offset: number;
  private durable: bigint;
  private queue: Pending[] = [];
  private inFlight = 0;
  private readonly inFlightMax: number;
  /** A write or the making of a segment is under way. */
  private busy = false;
  private scheduled = false;
  private closing = false;
  /** Set by the first failed write, for ever. */
  private failure: Failure | undefined;
  private readonly failing = Promise.withResolvers<unknown>();
  private spare: Promise<void> | undefined;
  private roomFailure: { readonly error: unknown; readonly retryAtMs: number } | undefined;
  private idleWaiters: (() => void)[] = [];
  /** Whether the newest record has no frame after it that proves it durable. */
  private unmarked = false;

  constructor(options: GroupWriterOptions) {
    this.options = options;
    this.write = options.write ?? writeSynced;
    this.file = options.file;
    this.segment = lastOf(options.segments);
    this.offset = options.offset;
    this.durable = options.last;
    this.inFlightMax = options.inFlightMax ?? limits.logInFlightMax;
  }

  /** Position of the newest durable record. */
  get last(): bigint {
    return this.durable;
  }

  /** Resolves with the reason of the failure that is final. */
  get failed(): Promise<unknown> {
    return this.failing.promise;
  }

  append(bytes: Uint8Array): Promise<AppendOutcome> {
    if (this.closing) return Promise.resolve({ kind: 'refused', reason: 'closed' });
    if (this.failure !== undefined) return Promise.resolve({ kind: 'refused', ...this.failure });
    if (bytes.length > this.options.recordBytesMax) return Promise.resolve({ kind: 'refused', reason: 'too_large' });
    if (this.inFlight >= this.inFlightMax) return Promise.resolve({ kind: 'refused', reason: 'overloaded' });
    this.inFlight++;
    return new Promise((resolve) => {
      this.queue.push({ bytes, resolve });
      this.schedule();
    });
  }

  /** Writes a frame that proves everything before it. Only while nothing else is written. */
  async mark(kind: FrameKind = frameKinds.mark): Promise<void> {
    const bytes = new Uint8Array(frameBytes(0));
    encodeFrame(fileWindow(bytes, this.offset, this.segment.salt), 0, {
      kind,
      position: this.durable + 1n,
      timestampNanos: this.options.now(),
      durableBefore: this.offset,
      payload: noPayload,
    });
    await new Promise<void>((resolve, reject) => {
      this.writeAll(bytes, this.offset, (error) => (error === null ? resolve() : reject(error)));
    });
    this.offset += bytes.length;
    this.unmarked = false;
  }

  /** Lets what was appended end, then frees the file. */
  async close(): Promise<void> {
    this.closing = true;
    if (this.busy || this.queue.length > 0) await new Promise<void>((resolve) => this.idleWaiters.push(resolve));
    try {
      if (this.failure === undefined && this.unmarked) await this.mark();
    } catch {
      // Without the mark the log is as after a crash, which the next start copes with.
    }
    await this.spare?.catch(() => undefined);
    await this.file.close();
  }

  /**
   * Starts a write once everything that runs in this turn has run: the callers that the last write
   * released append again in microtasks, and all of them belong into one group.
   */
  private schedule(): void {
    if (this.busy || this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      process.nextTick(() => {
        this.scheduled = false;
        if (!this.busy) this.startNext();
      });
    });
  }

  private startNext(): void {
    this.busy = this.queue.length > 0;
    if (!this.busy) return this.idle();
    const count = this.countFitting();
    if (count === 0) void this.roll();
    else this.writeGroup(this.queue.splice(0, count));
  }

  private idle(): void {
    for (const resolve of this.idleWaiters.splice(0)) resolve();
  }

  /** How many of those that wait fit into one write and into the segment. */
  private countFitting(): number {
    const room = this.segment.capacityBytes - this.offset - marksBytes;
    let total = 0;
    let count = 0;
    for (const { bytes } of this.queue) {
      total += frameBytes(bytes.length);
      if (total > room || (count > 0 && total > limits.logGroupBytesMax)) break;
      count++;
    }
    return count;
  }

  private writeGroup(group: readonly Pending[]): void {
    const length = group.reduce((sum, { bytes }) => sum + frameBytes(bytes.length), 0);
    // Not a reused buffer: subscribers are given views of it. Allocating costs 2 of the write's 120 µs.
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    const window = fileWindow(bytes, this.offset, this.segment.salt);
    const timestampNanos = this.options.now();
    let position = this.durable;
    let at = 0;
    for (const { bytes: payload } of group) {
      position++;
      this.options.stamp?.(payload);
      const frame = { kind: frameKinds.record, position, timestampNanos, durableBefore: this.offset, payload };
      encodeFrame(window, at, frame);
      at += frameBytes(payload.length);
    }
    this.writeAll(bytes, this.offset, (error) => {
      if (error === null) this.complete(group, bytes, timestampNanos);
      else this.fail(error, group);
    });
  }

  /** One write, which the kernel may do in pieces. */
  private writeAll(bytes: Uint8Array, offset: number, done: (error: Error | null) => void): void {
    this.write(this.file.fd, bytes, offset, (error, written) => {
      if (error !== null) done(error);
      else if (written === bytes.length) done(null);
      else if (written === 0) done(new Error(`wrote 0 of ${bytes.length} bytes of ${this.segment.path}`));
      else this.writeAll(bytes.subarray(written), offset + written, done);
    });
  }

  private complete(group: readonly Pending[], bytes: Uint8Array, timestampNanos: bigint): void {
    noteWaypoint(this.segment, this.durable + 1n, this.offset);
    let position = this.durable;
    this.durable += BigInt(group.length);
    this.offset += bytes.length;
    this.inFlight -= group.length;
    this.unmarked = true;
    // The disk first: it works on the next group while this one is applied.
    this.startNext();
    // Judged only now: a subscriber may have caught up during the write.
    if (this.options.wantsRecords()) this.options.onDurable(recordsOf(group, bytes, position, timestampNanos));
    for (const { resolve } of group) resolve({ kind: 'appended', position: ++position });
    if (this.offset > this.segment.capacityBytes / 2) this.prepareAhead();
  }

  private fail(error: Error, group: readonly Pending[]): void {
    this.failure = failureOf(error);
    this.failing.resolve(error);
    this.inFlight -= group.length;
    for (const { resolve } of group) resolve({ kind: 'unknown', cause: error });
    this.refuseWaiting(this.failure);
  }

  /** Those that wait were not written, and will not be. */
  private refuseWaiting(failure: Failure): void {
    const waiting = this.queue.splice(0);
    this.inFlight -= waiting.length;
    this.busy = false;
    for (const { resolve } of waiting) resolve({ kind: 'refused', ...failure });
    this.idle();
  }

  /** Goes on in a new segment. */
  private async roll(): Promise<void> {
    try {
      await this.room();
    } catch (error) {
      return this.refuseWaiting(failureOf(error));
    }
    try {
      await this.changeSegment();
    } catch (error) {
      this.failure = failureOf(error);
      this.failing.resolve(error);
      return this.refuseWaiting(this.failure);
    }
    this.startNext();
  }

  private async changeSegment(): Promise<void> {
    const { directory, partition, incarnation, segments, segmentBytes } = this.options;
    const first = this.durable + 1n;
    const empty = this.segment.first === first;
    const previous = empty ? this.segment.previous : this.segment.first;
    const header = { partition, incarnation, first, previous, capacityBytes: segmentBytes };
    const next = await promoteSpare(directory, header);
    this.spare = undefined;
    try {
      // So that the loss of the new file would be noticed.
      if (!empty) await this.mark(frameKinds.continued);
    } catch (error) {
      await next.file.close();
      throw error;
    }
    await this.file.close();
    segments.splice(empty ? segments.length - 1 : segments.length, 1, next.segment);
    this.segment = next.segment;
    this.file = next.file;
    this.offset = next.segment.waypoints[0]?.offset ?? 0;
  }

  private prepareAhead(): void {
    if (this.closing || this.spare !== undefined) return;
    this.room().catch(() => undefined);
  }

  /** Resolves when there is a file for the next segment. */
  private room(): Promise<void> {
    const { directory, segmentBytes } = this.options;
    const failed = this.roomFailure;
    if (failed !== undefined && performance.now() < failed.retryAtMs) return Promise.reject(failed.error);
    this.roomFailure = undefined;
    this.spare ??= prepareSpare(directory, segmentBytes).catch((error: unknown) => {
      this.spare = undefined;
      this.roomFailure = { error, retryAtMs: performance.now() + limits.logRoomRetryMs };
      throw error;
    });
    return this.spare;
  }
}

/** The records of a write, as views of the bytes written. `before`: position of the record before the first. */
function recordsOf(group: readonly Pending[], bytes: Uint8Array, before: bigint, timestampNanos: bigint): LogRecord[] {
  let position = before;
  let at = 0;
  return group.map(({ bytes: { length } }) => {
    const start = at + frameHeaderBytes;
    at += frameBytes(length);
    return { position: ++position, timestampNanos, bytes: bytes.subarray(start, start + length) };
  });
}

function lastOf(segments: readonly Segment[]): Segment {
  const last = segments.at(-1);
  if (last === undefined) throw new RangeError('a log has at least one segment');
  return last;
}
