// Logs of a cluster in memory: streams that several nodes of one process share, and what can go wrong with
// them. As a log it passes the contract suite that every log does.
import { randomUUID } from 'node:crypto';
import type { LogDescription, LogStreams, NewLog, StartedLog } from '@statestore/cluster';
import { limits, type PartitionLog, StateStoreError } from '@statestore/core';
import type { AppendOutcome, Log, LogBounds, LogRecord, Subscription, SubscriptionEnd } from '../log/log.ts';

class Stream {
  readonly log: PartitionLog;
  first: bigint;
  records: LogRecord[] = [];
  /** Told when there is more, or when something happened to it. */
  readonly listeners = new Set<() => void>();
  removed = false;
  sealed = false;
  #lastNanos = 0n;

  constructor(log: PartitionLog, first: bigint) {
    this.log = log;
    this.first = first;
  }

  get last(): bigint {
    return this.first + BigInt(this.records.length) - 1n;
  }

  append(bytes: Uint8Array): bigint {
    const position = this.last + 1n;
    // No two are stored in the same nanosecond, also where one takes the place of another.
    const nowNanos = BigInt(Date.now()) * 1_000_000n;
    this.#lastNanos = nowNanos > this.#lastNanos ? nowNanos : this.#lastNanos + 1n;
    this.records.push({ position, timestampNanos: this.#lastNanos, bytes: bytes.slice() });
    return position;
  }

  tell(): void {
    for (const listener of this.listeners) listener();
  }
}

export class MemoryLogs implements LogStreams {
  readonly #recordBytesMax: number;
  readonly #streams = new Map<string, Stream>();
  /** Nobody can be asked, nothing is taken. */
  down = false;

  constructor(recordBytesMax = 1024 * 1024) {
    this.#recordBytesMax = recordBytesMax;
  }

  create({ partition, generation, first = 1n, continues, incarnation }: NewLog): Promise<PartitionLog> {
    if (this.down) return Promise.reject(unavailable());
    const key = `${partition} ${generation}`;
    const there = this.#streams.get(key);
    if (there !== undefined && there.log.incarnation === incarnation) return Promise.resolve(there.log);
    if (there !== undefined) return Promise.reject(new StateStoreError('data_format', `there is a stream ${key}`));
    const log = {
      generation,
      incarnation: incarnation ?? randomUUID(),
      ...(continues === undefined ? {} : { continues }),
    };
    this.#streams.set(key, new Stream(log, first));
    return Promise.resolve(log);
  }

  startAt({ partition, generation, incarnation }: StartedLog, first: bigint): Promise<void> {
    const stream = this.#streams.get(`${partition} ${generation}`);
    if (this.down || stream === undefined) return Promise.reject(unavailable());
    const isIt = stream.log.incarnation === incarnation;
    if (isIt && stream.first === first) return Promise.resolve();
    if (!isIt || stream.last >= first) {
      const is = `of ${stream.log.incarnation} and ends at ${stream.last}`;
      return Promise.reject(new StateStoreError('data_format', `the log cannot begin at ${first}: it is ${is}`));
    }
    stream.records = [];
    stream.first = first;
    return Promise.resolve();
  }

  describe(partition: number, generation: number): Promise<LogDescription | undefined> {
    if (this.down) return Promise.reject(unavailable());
    const stream = this.#streams.get(`${partition} ${generation}`);
    if (stream === undefined) return Promise.resolve(undefined);
    const { log, first, last, sealed } = stream;
    return Promise.resolve({ log, first, last, sizeBytes: sizeOf(stream), ...(sealed ? { sealed } : {}) });
  }

  seal(partition: number, generation: number, incarnation: string): Promise<void> {
    if (this.down) return Promise.reject(unavailable());
    const stream = this.#streams.get(`${partition} ${generation}`);
    if (stream?.log.incarnation === incarnation) {
      stream.sealed = true;
      stream.tell();
    }
    return Promise.resolve();
  }

  remove(partition: number, generation: number, incarnation?: string): Promise<void> {
    const stream = this.#streams.get(`${partition} ${generation}`);
    if (incarnation !== undefined && stream?.log.incarnation !== incarnation) return Promise.resolve();
    this.#streams.delete(`${partition} ${generation}`);
    if (stream !== undefined) {
      stream.removed = true;
      stream.tell();
    }
    return Promise.resolve();
  }

  /** Rejects with `unavailable` where there is no such stream, as there may be one later. */
  open(partition: number, { generation }: PartitionLog): Promise<Log> {
    const stream = this.#streams.get(`${partition} ${generation}`);
    if (this.down || stream === undefined) return Promise.reject(unavailable());
    return Promise.resolve(new MemoryLog(stream, () => this.down, this.#recordBytesMax));
  }

  /** The log loses what is after this position, takes these batches, and tells nobody. */
  /* oxlint-disable-next-line max-params -- which log, and what it has then */
  cut(partition: number, generation: number, last: bigint, grown: readonly Uint8Array[] = []): void {
    const stream = this.#streams.get(`${partition} ${generation}`)!;
    stream.records = stream.records.filter(({ position }) => position <= last);
    for (const bytes of grown) stream.append(bytes);
  }
}

function unavailable(): StateStoreError {
  return new StateStoreError('unavailable', 'the logs are away', { retryAfterMs: 100 });
}

function sizeOf({ records }: Stream): number {
  return records.reduce((sum, { bytes }) => sum + bytes.length + 40, 0);
}

class MemoryLog implements Log {
  readonly exclusive = false;
  readonly recordBytesMax: number;
  readonly #stream: Stream;
  readonly #down: () => boolean;
  readonly #subscriptions = new Set<(end: SubscriptionEnd) => void>();
  #inFlight = 0;
  #idle: PromiseWithResolvers<void> | undefined;
  #closed = false;

  constructor(stream: Stream, down: () => boolean, recordBytesMax: number) {
    this.recordBytesMax = recordBytesMax;
    this.#stream = stream;
    this.#down = down;
  }

  get incarnation(): string {
    return this.#stream.log.incarnation;
  }

  async append(bytes: Uint8Array): Promise<AppendOutcome> {
    if (this.#closed) return { kind: 'refused', reason: 'closed' };
    if (bytes.length > this.recordBytesMax) return { kind: 'refused', reason: 'too_large' };
    if (this.#inFlight >= limits.logInFlightMax) return { kind: 'refused', reason: 'overloaded' };
    this.#inFlight++;
    await new Promise((resolve) => setImmediate(resolve));
    if (--this.#inFlight === 0) this.#idle?.resolve();
    const stream = this.#stream;
    if (this.#down() || stream.removed || stream.sealed) return { kind: 'refused', reason: 'unavailable' };
    const position = stream.append(bytes);
    stream.tell();
    return { kind: 'appended', position };
  }

  subscribe({ from, incarnation, onRecords }: Parameters<Log['subscribe']>[0]): Subscription {
    const stream = this.#stream;
    const ended = Promise.withResolvers<SubscriptionEnd>();
    let next = from;
    const over = new AbortController();
    let delivering: Promise<void> | undefined;
    const end = (why: SubscriptionEnd): void => {
      over.abort();
      stream.listeners.delete(wake);
      this.#subscriptions.delete(end);
      ended.resolve(why);
    };
    const deliver = async (): Promise<void> => {
      await Promise.resolve();
      while (!over.signal.aborted) {
        const why = this.#endOf(next);
        if (why !== undefined) return end(why);
        const at = Number(next - stream.first);
        const records = withinBytes(stream.records.slice(at, at + 100));
        if (records.length === 0) return;
        next = records.at(-1)!.position + 1n;
        try {
          await onRecords(records);
        } catch (cause) {
          return end({ kind: 'corrupt', cause });
        }
      }
    };
    const wake = (): void => {
      delivering ??= deliver().finally(() => {
        delivering = undefined;
        if (!over.signal.aborted && next <= stream.last) wake();
      });
    };
    this.#subscriptions.add(end);
    if (this.#closed) end({ kind: 'closed' });
    else if (incarnation !== undefined && incarnation !== this.incarnation) end(this.#regressed());
    else {
      stream.listeners.add(wake);
      wake();
    }
    return {
      ended: ended.promise,
      close: async () => {
        end({ kind: 'closed' });
        await delivering;
      },
    };
  }

  #endOf(next: bigint): SubscriptionEnd | undefined {
    const { first, last, removed, sealed } = this.#stream;
    if (removed || next > last + 1n) return this.#regressed();
    if (sealed && next > last) return { ...this.#regressed(), sealed };
    return next < first ? { kind: 'trimmed', first } : undefined;
  }

  #regressed(): Extract<SubscriptionEnd, { kind: 'regressed' }> {
    const { last, removed } = this.#stream;
    return { kind: 'regressed', last: removed ? 0n : last, incarnation: this.incarnation };
  }

  bounds(): Promise<LogBounds> {
    if (this.#down()) return Promise.reject(unavailable());
    const { first, last } = this.#stream;
    return Promise.resolve({ first, last });
  }

  timestampOf(position: bigint): Promise<bigint | undefined> {
    if (this.#down()) return Promise.reject(unavailable());
    return Promise.resolve(this.#stream.records.find((record) => record.position === position)?.timestampNanos);
  }

  trim(below: bigint): Promise<void> {
    const stream = this.#stream;
    const first = below > stream.last + 1n ? stream.last + 1n : below;
    if (first > stream.first) {
      stream.records = stream.records.slice(Number(first - stream.first));
      stream.first = first;
    }
    return Promise.resolve();
  }

  sizeBytes(): Promise<number> {
    return Promise.resolve(sizeOf(this.#stream));
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const end of this.#subscriptions) end({ kind: 'closed' });
    if (this.#inFlight === 0) return;
    this.#idle ??= Promise.withResolvers();
    await this.#idle.promise;
  }
}

/** What one delivery may hold. */
function withinBytes(records: readonly LogRecord[]): readonly LogRecord[] {
  let bytes = 0;
  const count = records.findIndex((record) => (bytes += record.bytes.length) > limits.logSubscriberBufferBytesMax);
  return count === -1 ? records : records.slice(0, Math.max(1, count));
}
