// The log of one partition on local disk: for one process with nothing else installed. The same port
// and the same contract suite as the log over JetStream; docs/formats.md describes its files.
//
// What each crash loses: nothing that was acknowledged. A process killed at any instant, or a machine
// without power, loses at most what was in flight, whose callers have no answer. It leaves to others:
// keeping a second process out of the folder, and deciding when to trim.
import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { limits } from '@statestore/core';
import { GroupWriter } from './group-writer.ts';
import type { SyncedWrite } from './group-writer.ts';
import { segmentHeaderBytes } from './log-frame.ts';
import type { FoundLog, Recovered } from './log-recovery.ts';
import { recordBytesMaxOf, recoverLog } from './log-recovery.ts';
import { LogSubscription } from './log-subscription.ts';
import type { OnRecords } from './log-subscription.ts';
import type { AppendOutcome, Log, LogBounds, Subscription } from './log.ts';
import type { Segment } from './segment-files.ts';
import { openDirectory, openFailure, prepareSpare, promoteSpare, removeSegments } from './segment-files.ts';

export interface EmbeddedLogOptions {
  /** Of this partition's log alone; made where it is not there. */
  readonly directory: string;
  readonly partition: number;
  /** ns since 1970. */
  readonly now: () => bigint;
  /** Size of the files made from now on; `limits.logSegmentBytes`. Small ones lower `recordBytesMax`. */
  readonly segmentBytes?: number;
  /** In place of `fs.write` for appends: for tests of failing disks. */
  readonly write?: SyncedWrite;
  /** Appends in flight at most; `limits.logInFlightMax`. */
  readonly inFlightMax?: number;
  /** See GroupWriterOptions. */
  readonly stamp?: (payload: Uint8Array) => void;
}

export interface EmbeddedLog extends Log {
  /** What opening cut off. */
  readonly recovered: Recovered;
  readonly failed: Promise<unknown>;
  /** Position of the newest durable record. */
  readonly last: bigint;
  /** Whether `trim` would remove anything. */
  canTrim(below: bigint): boolean;
}

/**
 * Opens the log in a directory, or begins one. Throws StateStoreError: `data_corrupt` where a record that
 * was durable is damaged or a file is missing, `data_format` where a newer version wrote it,
 * `invalid_settings` where the directory cannot be used, `disk_full`, `unavailable`.
 */
export async function openEmbeddedLog(options: EmbeddedLogOptions): Promise<EmbeddedLog> {
  const { directory, partition } = options;
  const segmentBytes = options.segmentBytes ?? limits.logSegmentBytes;
  try {
    const firsts = await openDirectory(directory, segmentBytes);
    const found =
      firsts.length === 0
        ? await begin(directory, partition, segmentBytes)
        : await recoverLog(directory, partition, firsts);
    const log = new DiskLog(options, segmentBytes, found);
    if (found.unproven) await log.prove(found.file);
    return log;
  } catch (error) {
    throw openFailure(directory, error);
  }
}

async function begin(directory: string, partition: number, segmentBytes: number): Promise<FoundLog> {
  const capacityBytes = Math.min(segmentBytes, limits.logFirstSegmentBytes);
  const incarnation = randomUUID();
  await prepareSpare(directory, capacityBytes);
  const { segment, file } = await promoteSpare(directory, {
    partition,
    incarnation,
    first: 1n,
    previous: 0n,
    capacityBytes,
  });
  const recovered = { cutBytes: 0, cutFile: '', cutOffset: 0 };
  return { incarnation, segments: [segment], last: 0n, file, offset: segmentHeaderBytes, unproven: false, recovered };
}

class DiskLog implements EmbeddedLog {
  readonly incarnation: string;
  readonly exclusive = true;
  readonly recordBytesMax: number;
  readonly recovered: Recovered;
  private readonly directory: string;
  private readonly segments: Segment[];
  private readonly writer: GroupWriter;
  private readonly subscriptions = new Set<LogSubscription>();
  private trimming: Promise<void> = Promise.resolve();
  /** Out of service, oldest first; their files may still be there. */
  private readonly removing: Segment[] = [];
  private closed: Promise<void> | undefined;

  constructor(options: EmbeddedLogOptions, segmentBytes: number, found: FoundLog) {
    const { directory, partition, now, write, inFlightMax, stamp } = options;
    const { incarnation, segments, file, offset, last } = found;
    this.directory = directory;
    this.incarnation = incarnation;
    this.segments = segments;
    this.recovered = found.recovered;
    this.recordBytesMax = Math.min(limits.logMessageBytesMax, recordBytesMaxOf(segmentBytes));
    this.writer = new GroupWriter({
      directory,
      partition,
      incarnation,
      segmentBytes,
      recordBytesMax: this.recordBytesMax,
      segments,
      file,
      offset,
      last,
      now,
      ...(write === undefined ? {} : { write }),
      ...(inFlightMax === undefined ? {} : { inFlightMax }),
      ...(stamp === undefined ? {} : { stamp }),
      wantsRecords: () => this.subscriptions.values().some((subscription) => subscription.isLive),
      onDurable: (records) => {
        for (const subscription of this.subscriptions) subscription.offer(records);
      },
    });
  }

  /** Protects the records that opening found: damage to them will not be taken for a torn tail. */
  async prove(file: FileHandle): Promise<void> {
    try {
      await this.writer.mark();
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  append(bytes: Uint8Array): Promise<AppendOutcome> {
    return this.writer.append(bytes);
  }

  subscribe(options: {
    readonly from: bigint;
    readonly incarnation?: string;
    readonly onRecords: OnRecords;
  }): Subscription {
    const view = {
      incarnation: this.incarnation,
      segments: this.segments,
      bounds: () => this.boundsNow(),
      onEnded: (subscription: LogSubscription) => this.subscriptions.delete(subscription),
    };
    const subscription = new LogSubscription(view, options.from, options.incarnation, options.onRecords);
    if (this.closed !== undefined) void subscription.close();
    else if (!subscription.isOver) this.subscriptions.add(subscription);
    return subscription;
  }

  get failed(): Promise<unknown> {
    return this.writer.failed;
  }

  get last(): bigint {
    return this.writer.last;
  }

  bounds(): Promise<LogBounds> {
    return Promise.resolve(this.boundsNow());
  }

  canTrim(below: bigint): boolean {
    const following = this.segments[1];
    return following !== undefined && following.first <= below;
  }

  trim(below: bigint): Promise<void> {
    if (this.closed !== undefined) return Promise.resolve();
    for (
      let following = this.segments[1];
      following !== undefined && following.first <= below;
      following = this.segments[1]
    ) {
      this.removing.push(...this.segments.splice(0, 1));
    }
    // One after the other: files go in ascending order, whoever asked, and one that could not be removed goes
    // before the next, or the next start would find a hole.
    const trimmed = this.trimming.then(() => removeSegments(this.directory, this.removing));
    this.trimming = trimmed.catch(() => undefined);
    return trimmed;
  }

  /** Of the files on disk: what they have preallocated counts. */
  sizeBytes(): Promise<number> {
    return Promise.resolve(this.segments.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0));
  }

  close(): Promise<void> {
    this.closed ??= this.closeOnce();
    return this.closed;
  }

  private async closeOnce(): Promise<void> {
    await this.writer.close();
    await this.trimming;
    await Promise.all([...this.subscriptions].map((subscription) => subscription.abandon()));
  }

  private boundsNow(): LogBounds {
    return { first: this.segments[0]?.first ?? 1n, last: this.writer.last };
  }
}
