// The log of one replica as its partition sees it, with gates in front: nothing is applied while the disk
// is nearly full, nothing new is acknowledged while it is not sure that the log still has what it had, and single
// records wait for what must be there before them. It also sees everything that passes, and so knows how far the log goes and what appending costs.
import { StateStoreError } from '@statestore/core';
import type { AppendOutcome, Log, LogBounds, LogRecord, Subscription, SubscriptionEnd } from '../log/log.ts';
import type { Time } from '../time.ts';
import { unlessAborted } from './pause.ts';

/** `disk`: no room to apply. `away`: nobody can be asked. `unsure`: the log may have lost its end, which is being found out. */
export type HoldReason = 'disk' | 'away' | 'unsure';

export interface GuardedLogOptions {
  readonly log: Log;
  readonly time: Time;
  readonly onAppended?: (outcome: AppendOutcome, bytes: number, durationMs: number) => void;
  /** The greatest position that another replica is known to have applied. */
  readonly heard?: () => bigint;
  /** A batch got a position that was taken before it was sent: the log lost its end. */
  readonly onRegressed?: (position: bigint, taken: bigint) => void;
  /** Records that are held back until they may be given to the partition, everything before them being applied. */
  readonly gate?: {
    readonly isFor: (record: LogRecord) => boolean;
    /** Resolves when it may be given. Never rejects. */
    readonly pass: (record: LogRecord, signal: AbortSignal) => Promise<void>;
  };
}

export class GuardedLog implements Log {
  readonly incarnation: string;
  readonly exclusive: boolean;
  readonly failed?: Promise<unknown>;
  readonly #options: GuardedLogOptions;
  readonly #holds = new Set<HoldReason>();
  /** While anything holds: resolves when nothing does, or something else does as well. */
  #gate: PromiseWithResolvers<void> | undefined;
  readonly #stopped = Promise.withResolvers<SubscriptionEnd>();
  readonly #stopping = new AbortController();
  readonly #letting = new AbortController();
  #closed = false;
  #delivered = 0n;
  #deliveredNanos: bigint | undefined;
  #end = 0n;

  constructor(options: GuardedLogOptions) {
    const { log } = options;
    this.#options = options;
    this.incarnation = log.incarnation;
    this.exclusive = log.exclusive;
    if (log.failed !== undefined) this.failed = log.failed;
  }

  /** The log itself, for whoever only reads it: neither held back nor counted. */
  get unguarded(): Pick<Log, 'subscribe' | 'bounds' | 'incarnation' | 'beganNanos'> {
    return this.#options.log;
  }

  get recordBytesMax(): number {
    return this.#options.log.recordBytesMax;
  }

  /** Last position that the partition was given. */
  get delivered(): bigint {
    return this.#delivered;
  }

  /** When the log stored it; undefined: none yet. */
  get deliveredNanos(): bigint | undefined {
    return this.#deliveredNanos;
  }

  /** Last position that is known to be in the log. */
  get end(): bigint {
    return this.#end;
  }

  /** Somebody has seen the log go this far. */
  reaches(position: bigint): void {
    if (position > this.#end) this.#end = position;
  }

  get held(): boolean {
    return this.#gate !== undefined;
  }

  hold(reason: HoldReason): void {
    if (this.#closed || this.#holds.has(reason)) return;
    this.#holds.add(reason);
    const before = this.#gate;
    this.#gate = Promise.withResolvers();
    // Whoever waits looks again: it may be refused now.
    before?.resolve();
  }

  release(reason: HoldReason): void {
    this.#holds.delete(reason);
    if (this.#holds.size === 0) this.#openGate();
  }

  #openGate(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  append(bytes: Uint8Array): Promise<AppendOutcome> {
    return this.#gate === undefined ? this.#append(bytes) : this.#appendLater(bytes);
  }

  async #appendLater(bytes: Uint8Array): Promise<AppendOutcome> {
    while (this.#gate !== undefined) {
      if (this.#holds.has('disk')) return { kind: 'refused', reason: 'disk_full' };
      if (this.#holds.has('away')) return { kind: 'refused', reason: 'unavailable' };
      await this.#gate.promise;
    }
    return this.#closed ? { kind: 'refused', reason: 'closed' } : this.#append(bytes);
  }

  async #append(bytes: Uint8Array): Promise<AppendOutcome> {
    const { log, time, onAppended, heard, onRegressed } = this.#options;
    const beganMs = time.elapsedMs();
    const other = heard?.() ?? 0n;
    const taken = this.#delivered > other ? this.#delivered : other;
    const outcome = await log.append(bytes);
    if (outcome.kind === 'appended') {
      if (outcome.position <= taken) onRegressed?.(outcome.position, taken);
      this.reaches(outcome.position);
    }
    onAppended?.(outcome, bytes.length, time.elapsedMs() - beganMs);
    return outcome;
  }

  subscribe({ onRecords, ...options }: Parameters<Log['subscribe']>[0]): Subscription {
    const give = (records: readonly LogRecord[]): void | Promise<void> => {
      const last = records.at(-1);
      if (last !== undefined) {
        this.reaches(last.position);
        this.#delivered = last.position;
        this.#deliveredNanos = last.timestampNanos;
      }
      return onRecords(records);
    };
    const { gate } = this.#options;
    const { signal } = this.#letting;
    const deliver = (records: readonly LogRecord[]): void | Promise<void> => {
      if (gate === undefined) return give(records);
      for (let at = 0; at < records.length; at++) {
        if (gate.isFor(records[at]!)) return held(records, at);
      }
      return give(records);
    };
    /** Those before it first: whether it may pass is judged by the state right before it. */
    const held = async (records: readonly LogRecord[], at: number): Promise<void> => {
      if (at > 0) await give(records.slice(0, at));
      await gate!.pass(records[at]!, signal);
      while (this.#gate !== undefined) await this.#gate.promise;
      if (this.#closed) return;
      await give([records[at]!]);
      if (at + 1 < records.length && !this.#closed) await deliver(records.slice(at + 1));
    };
    const later = async (records: readonly LogRecord[]): Promise<void> => {
      while (this.#gate !== undefined) await this.#gate.promise;
      // Closed meanwhile: nobody may be given anything any more.
      if (!this.#closed) await deliver(records);
    };
    const subscription = this.#options.log.subscribe({
      ...options,
      onRecords: (records) => (this.#gate === undefined ? deliver(records) : later(records)),
    });
    return {
      ended: Promise.race([subscription.ended, this.#stopped.promise]),
      close: () => {
        this.#letGo();
        return subscription.close();
      },
    };
  }

  /** Whoever waits for this log is told that it ended, at once: also one that waits for its first answer. */
  stop(): void {
    const cause = new StateStoreError('shutting_down', 'the replica is not wanted any more', { retryAfterMs: 1000 });
    this.#letGo();
    this.#stopped.resolve({ kind: 'corrupt', cause });
    this.#stopping.abort(cause);
  }

  #letGo(): void {
    this.#closed = true;
    this.#holds.clear();
    this.#openGate();
    this.#letting.abort();
  }

  async bounds(): Promise<LogBounds> {
    const bounds = await unlessAborted(this.#options.log.bounds(), this.#stopping.signal);
    this.reaches(bounds.last);
    return bounds;
  }

  timestampOf(position: bigint): Promise<bigint | undefined> {
    return Promise.resolve(this.#options.log.timestampOf?.(position));
  }

  trim(below: bigint): Promise<void> {
    return this.#options.log.trim(below);
  }

  sizeBytes(): Promise<number> {
    return this.#options.log.sizeBytes();
  }

  close(): Promise<void> {
    this.#letGo();
    return this.#options.log.close();
  }
}
