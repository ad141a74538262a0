// What an archiver does between one beginning and the next: it reads the log from there on, and cuts what comes into
// segments that follow each other's chain. Where it begins, and what comes of a failure, is decided by archiver.ts.
import { type ArchiveSegment, chainFromHex } from '@statestore/checkpoint';
import type { BatchRecord, Hash128 } from '@statestore/core';
import { extendChain, hashToHex, limits, StateStoreError } from '@statestore/core';
import type { LogRecord } from '../log/log.ts';
import type { Timer } from '../time.ts';
import type { Beginning } from './archive-beginning.ts';
import type { ArchiverOptions } from './archiver.ts';

interface Pending {
  readonly batches: BatchRecord[];
  readonly chainBefore: string;
  bytes: number;
}

/** One subscription, from one position on, and the segments that come of it. */
export class ArchiveRun {
  /** Resolves or rejects when nothing of it is under way any more. */
  readonly ended: Promise<void>;
  readonly #options: ArchiverOptions;
  readonly #signal: AbortSignal;
  readonly #store: (segment: ArchiveSegment) => Promise<void>;
  readonly #until: bigint | undefined;
  readonly #chain: Hash128;
  readonly #over = Promise.withResolvers<void>();
  #expected: { readonly record: BatchRecord } | undefined;
  #next: bigint;
  #pending: Pending | undefined;
  /** What is being stored, or could not be. */
  #storing: Pending | undefined;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #isOver = false;

  /* oxlint-disable-next-line max-params -- what it archives, from where, until when, and how */
  constructor(
    options: ArchiverOptions,
    beginning: Beginning,
    signal: AbortSignal,
    store: (segment: ArchiveSegment) => Promise<void>,
  ) {
    this.#options = options;
    this.#signal = signal;
    this.#store = store;
    this.#until = beginning.until;
    this.#chain = chainFromHex(beginning.chain);
    this.#next = beginning.after + 1n;
    if (beginning.last !== undefined) this.#expected = { record: beginning.last };
    this.ended = this.#run(this.#expected === undefined ? this.#next : this.#next - 1n);
  }

  /** The first one that it has read and that is not stored. */
  get waiting(): BatchRecord | undefined {
    return (this.#storing ?? this.#pending)?.batches[0];
  }

  async #run(from: bigint): Promise<void> {
    const { source, log } = this.#options;
    const stop = (): void => this.#end();
    this.#signal.addEventListener('abort', stop, { once: true });
    const subscription = source.subscribe({
      from,
      incarnation: log.incarnation,
      onRecords: (records) => this.#take(records),
    });
    void subscription.ended.then((end) => {
      // Its owner closed the log, and will close this.
      if (end.kind === 'closed') return;
      const cause = end.kind === 'corrupt' ? end.cause : undefined;
      const failed = new StateStoreError('unavailable', `the log ${log.incarnation} ended: ${end.kind}`, { cause });
      // What was trimmed is found out by beginning anew.
      this.#end(end.kind === 'trimmed' ? undefined : failed);
    });
    if (this.#signal.aborted) this.#end();
    try {
      await this.#over.promise;
    } finally {
      this.#signal.removeEventListener('abort', stop);
      this.#timer?.cancel();
      await this.#writing?.catch(() => undefined);
      await subscription.close();
    }
  }

  /** Stores what it has taken. Never rejects. */
  async drain(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    if (this.#isOver || this.#pending === undefined) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#beginWriting();
    await this.#writing?.catch(() => undefined);
  }

  #end(error?: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (error === undefined) this.#over.resolve();
    else this.#over.reject(error);
  }

  /** What it returns is waited for before more comes. `at`: those before it are taken. */
  #take(records: readonly LogRecord[], at = 0): void | Promise<void> {
    for (let next = at; next < records.length; next++) {
      if (this.#isOver) return;
      const record = records[next]!;
      if (this.#expected !== undefined) {
        if (!this.#isSame(record)) return;
        continue;
      }
      if (record.position !== this.#next) {
        return this.#end(
          new StateStoreError('data_corrupt', `the log gave ${record.position} where ${this.#next} comes`),
        );
      }
      if (this.#until !== undefined && record.position >= this.#until) return this.#reachedUntil();
      this.#add(record);
      if (!this.#isFull()) continue;
      const written = this.#flush();
      // One segment is written while the next one fills.
      if (written !== undefined) return written.then(() => this.#take(records, next + 1));
    }
  }

  /** Whether the log still has what was archived of it last. */
  #isSame(record: LogRecord): boolean {
    const { record: archived } = this.#expected!;
    this.#expected = undefined;
    const same =
      archived.position === record.position &&
      archived.timestampNanos === record.timestampNanos &&
      Buffer.compare(archived.bytes, record.bytes) === 0;
    if (same) return true;
    const message = `the log ${this.#options.log.incarnation} has another batch at ${record.position} than the one that was archived`;
    this.#end(new StateStoreError('data_corrupt', message));
    return false;
  }

  #reachedUntil(): Promise<void> {
    return (async () => {
      await this.#writing;
      await this.#write();
      this.#end();
    })().catch((error: Error) => this.#end(error));
  }

  #add(record: LogRecord): void {
    const { time, intervalMs = limits.archiveIntervalMs } = this.#options;
    this.#pending ??= { batches: [], chainBefore: hashToHex(this.#chain), bytes: 0 };
    extendChain(this.#chain, record);
    const { position, timestampNanos, bytes } = record;
    // A copy: what was received is a part of a larger buffer, with what others received in it.
    this.#pending.batches.push({ position, timestampNanos, bytes: new Uint8Array(bytes) });
    this.#pending.bytes += record.bytes.length;
    this.#next = record.position + 1n;
    this.#timer ??= time.after(intervalMs, () => void this.#flush());
  }

  #isFull(): boolean {
    const { segmentBytes = limits.archiveSegmentBytes } = this.#options;
    const { bytes, batches } = this.#pending!;
    return bytes >= segmentBytes || batches.length >= limits.archiveSegmentBatchesMax;
  }

  /** Begins to write what is there. A promise where one has to wait for an earlier segment first. */
  #flush(): Promise<void> | undefined {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#writing === undefined) {
      this.#beginWriting();
      return undefined;
    }
    return this.#writing.then(() => {
      if (this.#writing === undefined && !this.#isOver) this.#beginWriting();
    });
  }

  #beginWriting(): void {
    this.#writing = this.#write()
      .catch((error: Error) => this.#end(error))
      .finally(() => (this.#writing = undefined));
  }

  async #write(): Promise<void> {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#pending = undefined;
    this.#storing = pending;
    const { log, chainAt } = this.#options;
    const { batches, chainBefore } = pending;
    const segment = { ...log, batches, chainBefore, chain: hashToHex(this.#chain) };
    const own = chainAt?.(batches.at(-1)!.position);
    if (own !== undefined && own !== segment.chain) {
      const message = `at ${batches.at(-1)!.position} the replica has the chain ${own}, what was read from the log has ${segment.chain}`;
      throw new StateStoreError('data_corrupt', message);
    }
    await this.#store(segment);
    this.#storing = undefined;
  }
}
