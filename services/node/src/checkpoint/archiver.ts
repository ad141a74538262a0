// The log of one partition into the archive, always, a few seconds behind: it reads the log beside the replica,
// cuts what comes into segments, and stores each before the next. What it has done it reads from the archive
// itself, so that it may die at any moment and be two at any moment. It holds nobody up but itself: while the repository
// is slow, the log waits for it to read on. Which node archives is decided elsewhere (archivers.ts).
import type { ArchivedLog, ArchiveSegment, ChainPoint, CheckpointPoints, Repository } from '@statestore/checkpoint';
import { chainFromHex, describeArchivedLog, listSegments, storeSegment } from '@statestore/checkpoint';
import type { BatchRecord, Hash128 } from '@statestore/core';
import { extendChain, hashToHex, limits, StateStoreError } from '@statestore/core';
import { Backoff, pause, unlessAborted } from '../cluster/pause.ts';
import type { Log, LogRecord } from '../log/log.ts';
import type { Time, Timer } from '../time.ts';
import { beginArchiving, type Beginning } from './archive-beginning.ts';

export interface ArchiverOptions {
  readonly repository: Repository;
  /** What log it is. */
  readonly log: ArchivedLog;
  /** Read by a subscription of its own; stays its caller's. */
  readonly source: Pick<Log, 'subscribe' | 'bounds' | 'incarnation'>;
  /** Where the replica on this node is: from there an archive can be begun that has no other beginning. */
  readonly point: () => ChainPoint | undefined;
  /** When the log was made, ns since 1970; undefined: nobody knows, and it counts from now. */
  readonly began?: (() => Promise<bigint | undefined>) | undefined;
  /** Of that replica: what it had applied at a position; undefined where it does not remember. */
  readonly chainAt?: (position: bigint) => string | undefined;
  /** Of the repository; of whoever has several archivers. */
  readonly checkpoints?: CheckpointPoints | undefined;
  readonly time: Time;
  readonly intervalMs?: number;
  readonly segmentBytes?: number;
  /** Told of what an operator of the service may want to know. */
  readonly onNotice?: (notice: string, details: Readonly<Record<string, unknown>>) => void;
}

export interface ArchiverStatus {
  /** Everything up to here that could be archived is; undefined: not known yet. */
  readonly position: bigint | undefined;
  /**
   * How long ago the oldest batch was stored that is not archived; 0 where there is none. Undefined: it has not looked yet.
   * While it cannot look, the least that it can be: for so long nothing has been archived.
   */
  readonly ageMs: number | undefined;
  /** Since it began: segments, their bytes as stored, and the batches in them. */
  readonly segments: number;
  readonly bytes: number;
  readonly batches: number;
  readonly failures: number;
  /** Positions after the oldest checkpoint that are not archived and cannot be any more, as it found when it began last. */
  readonly gapPositions: bigint;
  /** What went wrong last, while it does. */
  readonly failing: string | undefined;
}

interface Pending {
  readonly batches: BatchRecord[];
  readonly chainBefore: string;
  bytes: number;
}

export class Archiver {
  readonly #options: ArchiverOptions;
  readonly #closing = new AbortController();
  readonly #backoff = new Backoff(limits.archiveRetryMs, limits.archiveRetryMsMax);
  readonly #life: Promise<void>;
  #run: ArchiveRun | undefined;
  #position: bigint | undefined;
  /** Time of the batch after `position`, as a run that failed had read it. */
  #waitingNanos: bigint | undefined;
  /** Since when it has not been known whether there is one. */
  #unknownSinceMs: number | undefined;
  /** Since when there has been one that was not read yet, as far as anybody looked. */
  #behindSinceMs: number | undefined;
  readonly #counts = { segments: 0, bytes: 0, batches: 0, failures: 0, gapPositions: 0n };
  #failing: string | undefined;
  /** First positions of those that were told. */
  readonly #gapsTold = new Set<bigint>();

  constructor(options: ArchiverOptions) {
    this.#options = options;
    this.#unknownSinceMs = options.time.elapsedMs();
    this.#life = this.#live();
  }

  get status(): ArchiverStatus {
    return { ...this.#counts, position: this.#position, ageMs: this.#ageMs(), failing: this.#failing };
  }

  /**
   * What it has not stored yet, the next archiver reads from the log. Resolves when nothing is under way. Idempotent.
   * `drainMs`: it stores what it has, for so long at most.
   */
  async close(drainMs = 0): Promise<void> {
    const { signal } = this.#closing;
    if (drainMs > 0 && !signal.aborted) {
      const given = this.#run?.drain() ?? Promise.resolve();
      await Promise.race([given, pause(this.#options.time, drainMs, signal).catch(() => undefined)]);
    }
    this.#closing.abort(new StateStoreError('shutting_down', 'the archiver is closed', { retryAfterMs: 1000 }));
    await this.#life;
  }

  #ageMs(): number | undefined {
    const { point, time } = this.#options;
    const waitingNanos = this.#run?.waiting?.timestampNanos ?? this.#waitingNanos;
    if (waitingNanos !== undefined) return Math.max(0, time.nowMs() - Number(waitingNanos / 1_000_000n));
    if (this.#unknownSinceMs !== undefined)
      return this.#failing === undefined ? undefined : time.elapsedMs() - this.#unknownSinceMs;
    const applied = point()?.position;
    const isBehind = applied !== undefined && (this.#position === undefined || applied > this.#position);
    if (!isBehind) this.#behindSinceMs = undefined;
    else this.#behindSinceMs ??= time.elapsedMs();
    return this.#behindSinceMs === undefined ? 0 : time.elapsedMs() - this.#behindSinceMs;
  }

  async #live(): Promise<void> {
    const { time } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.#follow();
      } catch (error) {
        if (signal.aborted) return;
        this.#failed(error);
        await pause(time, this.#backoff.nextMs(), signal).catch(() => undefined);
      }
    }
  }

  #failed(error: unknown): void {
    const { onNotice, log } = this.#options;
    const message = error instanceof Error ? error.message : String(error);
    this.#counts.failures++;
    if (this.#failing !== message)
      onNotice?.('the log of a partition cannot be archived', { partition: log.partition, error: message });
    this.#failing = message;
  }

  /** Until the log ends, something fails, or what follows is archived already. */
  async #follow(): Promise<void> {
    const { repository, log, source } = this.#options;
    const call = { signal: this.#closing.signal };
    await describeArchivedLog(repository, { ...log, beganNanos: await this.#began(call.signal) }, call);
    const segments = await listSegments(repository, log.incarnation, call);
    const bounds = await unlessAborted(source.bounds(), call.signal);
    const beginning = await beginArchiving({ ...this.#options, segments, bounds, signal: call.signal });
    this.#tellGaps(beginning);
    if (beginning.after !== this.#position) this.#waitingNanos = undefined;
    this.#position = beginning.after;
    if (bounds.last <= beginning.after) this.#unknownSinceMs = undefined;
    const run = new ArchiveRun(this.#options, beginning, call.signal, (segment, bytes) => this.#stored(segment, bytes));
    this.#run = run;
    try {
      await run.ended;
    } finally {
      this.#waitingNanos ??= run.waiting?.timestampNanos;
      this.#unknownSinceMs ??= this.#options.time.elapsedMs();
      this.#run = undefined;
    }
  }

  /** By the log's own clock where it can be: the moments of the log before end there. */
  async #began(signal: AbortSignal): Promise<bigint> {
    const { began, time } = this.#options;
    const nanos = await unlessAborted(began?.() ?? Promise.resolve(undefined), signal);
    return nanos ?? BigInt(Math.floor(time.nowMs())) * 1_000_000n;
  }

  #tellGaps({ gaps }: Beginning): void {
    const { onNotice, log } = this.#options;
    this.#counts.gapPositions = gaps.reduce((sum, { first, last }) => sum + last - first + 1n, 0n);
    for (const { first, last } of gaps) {
      // Begun anew after a failure, it is the same one, and may have grown.
      if (this.#gapsTold.has(first)) continue;
      this.#gapsTold.add(first);
      const details = { partition: log.partition, first: first.toString(), last: last.toString() };
      onNotice?.('a part of the log is not archived, and cannot be any more', details);
    }
  }

  #stored({ batches }: ArchiveSegment, bytes: number): void {
    this.#position = batches.at(-1)!.position;
    this.#waitingNanos = undefined;
    this.#unknownSinceMs = undefined;
    this.#counts.segments++;
    this.#counts.bytes += bytes;
    this.#counts.batches += batches.length;
    this.#failing = undefined;
    this.#backoff.reset();
    this.#behindSinceMs = undefined;
  }
}

type OnStored = (segment: ArchiveSegment, storedBytes: number) => void;

/** One subscription, from one position on, and the segments that come of it. */
class ArchiveRun {
  /** Resolves or rejects when nothing of it is under way any more. */
  readonly ended: Promise<void>;
  readonly #options: ArchiverOptions;
  readonly #signal: AbortSignal;
  readonly #onStored: OnStored;
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

  /* oxlint-disable-next-line max-params -- what it archives, from where, until when, and whom it tells */
  constructor(options: ArchiverOptions, beginning: Beginning, signal: AbortSignal, onStored: OnStored) {
    this.#options = options;
    this.#signal = signal;
    this.#onStored = onStored;
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
    const { repository, log, chainAt } = this.#options;
    const { batches, chainBefore } = pending;
    const segment = { ...log, batches, chainBefore, chain: hashToHex(this.#chain) };
    const own = chainAt?.(batches.at(-1)!.position);
    if (own !== undefined && own !== segment.chain) {
      const message = `at ${batches.at(-1)!.position} the replica has the chain ${own}, what was read from the log has ${segment.chain}`;
      throw new StateStoreError('data_corrupt', message);
    }
    const bytes = await storeSegment(repository, segment, this.#signal);
    this.#storing = undefined;
    this.#onStored(segment, bytes);
  }
}
