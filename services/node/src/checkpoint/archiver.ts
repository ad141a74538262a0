// The log of one partition into the archive, always, a few seconds behind: it reads the log beside the replica,
// cuts what comes into segments, and stores each before the next. What it has done it reads from the archive
// itself, so that it may die at any moment and be two at any moment. It holds nobody up but itself: while the repository
// is slow, the log waits for it to read on. Which node archives is decided elsewhere (archivers.ts).
import type { ArchivedLog, ArchiveSegment, ChainPoint, CheckpointPoints, Repository } from '@statestore/checkpoint';
import { describeArchivedLog, listSegments, storeSegment } from '@statestore/checkpoint';
import { limits, StateStoreError } from '@statestore/core';
import { Backoff, pause, unlessAborted } from '../cluster/pause.ts';
import type { Log } from '../log/log.ts';
import type { Time } from '../time.ts';
import { beginArchiving, type Beginning } from './archive-beginning.ts';
import { ArchiveRun } from './archive-run.ts';

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

export class Archiver {
  readonly #options: ArchiverOptions;
  readonly #closing = new AbortController();
  readonly #backoff = new Backoff(limits.archiveRetryMs, limits.archiveRetryMsMax);
  readonly #life: Promise<void>;
  #run: ArchiveRun | undefined;
  #position: bigint | undefined;
  /** Time of the batch after `position`, as a run that failed had read it; of the one before, where it was not read yet. */
  #waitingNanos: bigint | undefined;
  /** Of the log, when it looked last. */
  #logLast = 0n;
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
    const { time } = this.#options;
    const waitingNanos = this.#run?.waiting?.timestampNanos ?? this.#waitingNanos;
    if (waitingNanos !== undefined) return Math.max(0, time.nowMs() - Number(waitingNanos / 1_000_000n));
    if (this.#unknownSinceMs !== undefined)
      return this.#failing === undefined ? undefined : time.elapsedMs() - this.#unknownSinceMs;
    if (!this.#isBehind()) this.#behindSinceMs = undefined;
    else this.#behindSinceMs ??= time.elapsedMs();
    return this.#behindSinceMs === undefined ? 0 : time.elapsedMs() - this.#behindSinceMs;
  }

  /** Whether the log has something that is not archived, as far as anybody here knows. */
  #isBehind(): boolean {
    const applied = this.#options.point()?.position ?? 0n;
    const last = applied > this.#logLast ? applied : this.#logLast;
    return this.#position === undefined || last > this.#position;
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
    const described = { ...log, beganNanos: await this.#began(call.signal) };
    // What waits is read all the same, where it can be: for how long it has waited is then known.
    const refused = await describeArchivedLog(repository, described, call).catch((error: Error) => error);
    const segments = await listSegments(repository, log.incarnation, call);
    const bounds = await unlessAborted(source.bounds(), call.signal);
    const beginning = await beginArchiving({ ...this.#options, segments, bounds, signal: call.signal });
    this.#tellGaps(beginning);
    if (beginning.after !== this.#position) this.#waitingNanos = undefined;
    this.#position = beginning.after;
    this.#logLast = bounds.last;
    if (!this.#isBehind()) {
      this.#waitingNanos = undefined;
      this.#unknownSinceMs = undefined;
    }
    if (refused instanceof Error && !this.#isBehind()) throw refused;
    const store = async (segment: ArchiveSegment): Promise<void> => {
      if (refused instanceof Error) throw refused;
      this.#stored(segment, await storeSegment(repository, segment, call.signal));
    };
    const run = new ArchiveRun(this.#options, beginning, call.signal, store);
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
    const { position, timestampNanos } = batches.at(-1)!;
    this.#position = position;
    this.#waitingNanos = this.#isBehind() ? timestampNanos : undefined;
    this.#unknownSinceMs = undefined;
    this.#counts.segments++;
    this.#counts.bytes += bytes;
    this.#counts.batches += batches.length;
    this.#failing = undefined;
    this.#backoff.reset();
    this.#behindSinceMs = undefined;
  }
}
