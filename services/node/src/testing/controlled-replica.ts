// A log, an engine and a time for tests of a partition: all in memory, failing and waiting as they are told.
import type { EngineStatistics, EngineWrites } from '../engine/engine.ts';
import { MemoryEngine } from '../engine/memory-engine.ts';
import type { AppendOutcome, Log, LogBounds, LogRecord, Subscription, SubscriptionEnd } from '../log/log.ts';
import type { Time, Timer } from '../time.ts';

const incarnation = '00000000-0000-4000-8000-000000000001';

/** Everything in memory; ends and delivers as it is told. */
export class TestLog implements Log {
  incarnation = incarnation;
  exclusive = true;
  readonly #failing = Promise.withResolvers<unknown>();
  readonly failed = this.#failing.promise;
  readonly fail = this.#failing.resolve;
  readonly recordBytesMax = 8 * 1024 * 1024;
  readonly records: LogRecord[] = [];
  /** Undefined: records are delivered as they are appended. */
  held: LogRecord[] | undefined;
  delivery: void | Promise<void> = undefined;
  #onRecords: ((records: readonly LogRecord[]) => void | Promise<void>) | undefined;
  #end: (end: SubscriptionEnd) => void = () => {};

  async append(bytes: Uint8Array): Promise<AppendOutcome> {
    const position = BigInt(this.records.length + 1);
    const record = { position, timestampNanos: position * 1_000_000n, bytes };
    this.records.push(record);
    if (this.held !== undefined) this.held.push(record);
    else this.deliver([record]);
    return { kind: 'appended', position };
  }

  /** As the port says of an exception: it ends the subscription. */
  deliver(records: readonly LogRecord[]): void {
    try {
      this.delivery = this.#onRecords?.(records);
    } catch (cause) {
      this.end({ kind: 'corrupt', cause });
    }
  }

  end(end: SubscriptionEnd): void {
    this.#onRecords = undefined;
    this.#end(end);
  }

  subscribe({ from, ...options }: Parameters<Log['subscribe']>[0]): Subscription {
    const ended = Promise.withResolvers<SubscriptionEnd>();
    this.#end = ended.resolve;
    this.#onRecords = options.onRecords;
    const last = BigInt(this.records.length);
    const other = options.incarnation !== undefined && options.incarnation !== this.incarnation;
    if (other || from > last + 1n) this.end({ kind: 'regressed', last, incarnation: this.incarnation });
    else if (from <= last) queueMicrotask(() => this.deliver(this.records.slice(Number(from - 1n))));
    return { ended: ended.promise, close: async () => this.end({ kind: 'closed' }) };
  }

  async bounds(): Promise<LogBounds> {
    return { first: 1n, last: BigInt(this.records.length) };
  }
  async trim(): Promise<void> {}
  async sizeBytes(): Promise<number> {
    return 42;
  }
  async close(): Promise<void> {}
}

export class TestEngine extends MemoryEngine {
  failure: Error | undefined;
  /** Commits wait for it. */
  gate: Promise<void> | undefined;
  commits = 0;

  override async commit(writes: EngineWrites, position: bigint): Promise<void> {
    this.commits++;
    await this.gate;
    this.#check();
    await super.commit(writes, position);
  }
  override statistics(): EngineStatistics {
    this.#check();
    return super.statistics();
  }
  override keys(range: Parameters<MemoryEngine['keys']>[0]): IterableIterator<string> {
    this.#check();
    return super.keys(range);
  }
  #check(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}

/** The system's, and what timers are set. */
export class WatchedTime implements Time {
  readonly timers = new Set<NodeJS.Timeout>();

  nowMs(): number {
    return Date.now();
  }
  elapsedMs(): number {
    return performance.now();
  }
  after(ms: number, run: () => void): Timer {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      run();
    }, ms);
    this.timers.add(timer);
    return {
      cancel: () => {
        this.timers.delete(timer);
        clearTimeout(timer);
      },
    };
  }
  defer(run: () => void): void {
    setImmediate(run);
  }
}
