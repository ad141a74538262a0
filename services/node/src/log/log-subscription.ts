// One subscriber of the embedded log. It reads the files until it has caught up, then is given each
// group from memory as the group becomes durable, in the same turn and before its appends resolve.
// A subscriber that keeps the log waiting has a bounded queue; past it, it reads the files again.
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { limits } from '@statestore/core';
import { frameBytes, frameKinds } from './log-frame.ts';
import { damaged } from './log-recovery.ts';
import type { LogBounds, LogRecord, Subscription, SubscriptionEnd } from './log.ts';
import type { Segment } from './segment-files.ts';
import { waypointBefore } from './segment-files.ts';
import { SegmentReader } from './segment-reader.ts';

export type OnRecords = (records: readonly LogRecord[]) => void | Promise<void>;

/** What a subscription sees of its log. */
export interface LogView {
  readonly incarnation: string;
  /** Ascending, not empty. */
  readonly segments: readonly Segment[];
  readonly bounds: () => LogBounds;
  /** Told when the subscription has ended. */
  readonly onEnded: (subscription: LogSubscription) => void;
}

export class LogSubscription implements Subscription {
  readonly ended: Promise<SubscriptionEnd>;
  private readonly log: LogView;
  private readonly onRecords: OnRecords;
  private resolveEnded: (end: SubscriptionEnd) => void = () => undefined;
  private over = false;
  /** Position of the next record to deliver. */
  private next: bigint;
  /** True: all durable records are delivered or waiting; groups are given as they come. */
  private live = false;
  /** The delivery under way, where the subscriber takes its time. */
  private delivery: Promise<void> | undefined;
  private catchingUp: Promise<void> | undefined;
  private waiting: LogRecord[] = [];
  private waitingBytes = 0;
  private file: FileHandle | undefined;
  private reader: SegmentReader | undefined;
  private readerPath = '';

  constructor(log: LogView, from: bigint, incarnation: string | undefined, onRecords: OnRecords) {
    this.log = log;
    this.next = from;
    this.onRecords = onRecords;
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
    const { last } = log.bounds();
    if ((incarnation !== undefined && incarnation !== log.incarnation) || from > last + 1n) {
      this.end({ kind: 'regressed', last, incarnation: log.incarnation });
      return;
    }
    // In a microtask, so that the caller holds the subscription before anything is delivered.
    queueMicrotask(() => this.catchUp());
  }

  get isLive(): boolean {
    return this.live;
  }

  get isOver(): boolean {
    return this.over;
  }

  async close(): Promise<void> {
    this.end({ kind: 'closed' });
    // While a delivery is under way nothing reads the file; and it may be one that never ends.
    if (this.delivery !== undefined) await this.closeFile();
    await this.delivery;
    await this.catchingUp;
  }

  /** As `close`, without waiting for the subscriber: only for what this class itself has under way. */
  async abandon(): Promise<void> {
    this.end({ kind: 'closed' });
    await (this.delivery === undefined ? this.catchingUp : this.closeFile());
  }

  /** A group that has just become durable. */
  offer(records: readonly LogRecord[]): void {
    if (this.over || !this.live) return;
    if (this.delivery === undefined) {
      this.deliver(records);
      return;
    }
    for (const record of records) {
      this.waiting.push(record);
      this.waitingBytes += frameBytes(record.bytes.length);
    }
    if (this.waitingBytes <= limits.logSubscriberBufferBytesMax) return;
    this.forgetWaiting();
    this.live = false;
  }

  private end(end: SubscriptionEnd): void {
    if (this.over) return;
    this.over = true;
    this.live = false;
    this.forgetWaiting();
    this.resolveEnded(end);
    this.log.onEnded(this);
  }

  private forgetWaiting(): void {
    this.waiting = [];
    this.waitingBytes = 0;
  }

  private deliver(records: readonly LogRecord[]): void {
    const last = records.at(-1);
    if (last === undefined) return;
    this.next = last.position + 1n;
    try {
      const delivery = this.onRecords(records);
      if (delivery === undefined) return;
      this.delivery = this.settle(delivery);
    } catch (cause) {
      this.end({ kind: 'corrupt', cause });
    }
  }

  private async settle(delivery: Promise<void>): Promise<void> {
    try {
      await delivery;
    } catch (cause) {
      this.end({ kind: 'corrupt', cause });
    }
    this.delivery = undefined;
    if (this.over) return;
    if (!this.live) return this.catchUp();
    const records = this.waiting;
    this.forgetWaiting();
    this.deliver(records);
  }

  private catchUp(): void {
    if (this.over || this.catchingUp !== undefined) return;
    if (this.isCaughtUp()) return;
    this.catchingUp = this.readOn().finally(() => {
      this.catchingUp = undefined;
      // It went live, and fell behind again while the file was being closed.
      if (!this.live && this.delivery === undefined) this.catchUp();
    });
  }

  /** Goes live where nothing is left to read. In one turn with the look at the end: no record slips by. */
  private isCaughtUp(): boolean {
    const { first, last } = this.log.bounds();
    if (this.next < first) this.end({ kind: 'trimmed', first });
    else if (this.next > last) this.live = true;
    return this.over || this.live;
  }

  private async readOn(): Promise<void> {
    try {
      while (!this.over && !this.isCaughtUp()) {
        const records = await this.read();
        if (this.over) break;
        this.deliver(records);
        await this.delivery;
      }
    } catch (cause) {
      // The file may be gone because it was trimmed meanwhile.
      if (!this.over && this.next < this.log.bounds().first) this.isCaughtUp();
      else this.end({ kind: 'corrupt', cause });
    } finally {
      await this.closeFile();
    }
  }

  /** The next records from disk, durable ones only. May be none at a border. */
  private async read(): Promise<LogRecord[]> {
    const segment = this.log.segments.findLast(({ first }) => first <= this.next);
    if (segment === undefined) throw new RangeError(`no segment holds position ${this.next}`);
    const reader = await this.readerOf(segment);
    const { frames, end } = await reader.read(this.log.bounds().last);
    // Good records before a bad one are delivered first; the next read finds the bad one again.
    if (frames.length === 0 && end !== undefined) throw damaged(segment.path, end.offset, end.position, end.found);
    const records: LogRecord[] = [];
    for (const { kind, position, timestampNanos, payload } of frames) {
      if (kind === frameKinds.record && position >= this.next)
        records.push({ position, timestampNanos, bytes: payload });
    }
    return records;
  }

  private async readerOf(segment: Segment): Promise<SegmentReader> {
    if (this.reader !== undefined && this.readerPath === segment.path) return this.reader;
    await this.closeFile();
    this.file = await open(segment.path, 'r');
    this.readerPath = segment.path;
    this.reader = new SegmentReader(this.file, segment, waypointBefore(segment, this.next));
    return this.reader;
  }

  private async closeFile(): Promise<void> {
    const { file } = this;
    this.file = undefined;
    this.reader = undefined;
    this.readerPath = '';
    await file?.close();
  }
}
