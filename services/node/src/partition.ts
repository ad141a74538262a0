// One replica of one partition: log → apply → write buffer → engine, and the reads in front of it. It
// owns its log and its engine and is the only one that writes to them.
import type { Applied, BinaryString, Command, PartitionState, StateReader } from '@statestore/core';
import {
  applyBatch,
  binaryFromBytes,
  headKey,
  headOf,
  incarnationKey,
  limits,
  loadState,
  mayExpire,
  ownsKey,
  readOwnEntry,
  restoreHead,
  StateStoreError,
} from '@statestore/core';
import type {
  ChangeBatch,
  Entry,
  HaltCause,
  PartitionStatus,
  Proposed,
  ReadOptions,
  Scan,
  ScanPage,
  StoreInfo,
  WatchOptions,
} from '@statestore/link';
import { notedChain } from './chain-notes.ts';
import { watchChanges } from './changes.ts';
import { ClockAsker } from './clock-asker.ts';
import type { CopySource } from './copy/serve-copy.ts';
import type { EngineSnapshot, EngineWrites } from './engine/engine.ts';
import { WriteBuffer } from './engine/write-buffer.ts';
import { Flusher } from './flusher.ts';
import { checkForeign } from './foreign-writes.ts';
import { type Halt, haltOf, haltOfEnd, haltOfFailure } from './halt.ts';
import { LogClock } from './log-clock.ts';
import type { LogRecord, Subscription, SubscriptionEnd } from './log/log.ts';
import { OwnNotes } from './own-notes.ts';
import type { PartitionOptions } from './partition-options.ts';
import { describePartition } from './partition-status.ts';
import { PositionWaiters } from './position-waiters.ts';
import { Proposer } from './proposer.ts';
import { moved, Readiness } from './readiness.ts';
import { scanPage } from './scan-page.ts';
import { storeInfo } from './store-info.ts';
import { Sweeper } from './sweeper.ts';

export class Partition implements CopySource {
  readonly number: number;
  /** Of its log; undefined: it has none. */
  readonly generation: number | undefined;
  readonly #options: PartitionOptions;
  readonly #buffer: WriteBuffer;
  readonly #state: PartitionState;
  #wholeHead: Uint8Array;
  readonly #proposer: Proposer;
  readonly #readiness: Readiness;
  readonly #flusher: Flusher;
  readonly #clock: LogClock;
  readonly #clockAsker: ClockAsker;
  readonly #sweeper: Sweeper;
  #subscription: Subscription | undefined;
  #phase: PartitionStatus['state'] = 'starting';
  #halt: Halt | undefined;
  readonly #waiters = new PositionWaiters();
  #caughtUp = false;
  readonly #notes: OwnNotes;
  #closing: Promise<void> | undefined;

  private constructor(options: PartitionOptions) {
    this.#options = options;
    this.number = options.partition;
    this.generation = options.generation;
    this.#buffer = new WriteBuffer(options.engine);
    this.#state = loadState(this.#buffer);
    this.#wholeHead = headOf(this.#state);
    if (this.#state.position !== options.engine.position) {
      throw new StateStoreError(
        'data_corrupt',
        `partition ${this.number}: the engine says position ${options.engine.position}, its head ${this.#state.position}`,
      );
    }
    this.#notes = new OwnNotes(options.log, this.#buffer);
    const { log, time, proposer } = options;
    this.#clock = new LogClock(time, log.exclusive, this.#state.clockNanos);
    this.#proposer = new Proposer({ ...options, timeoutMs: options.proposeTimeoutMs });
    this.#readiness = new Readiness({
      partition: this.number,
      state: this.#state,
      waiters: this.#waiters,
      proposer: this.#proposer,
      log,
      time,
    });
    this.#flusher = new Flusher({
      buffer: this.#buffer,
      time,
      intervalMs: options.flushIntervalMs ?? limits.flushIntervalMs,
      onStored: (position) => options.onStored?.(position),
      onFailed: (error) => this.#failed('engine', error),
    });
    this.#clockAsker = new ClockAsker({
      time,
      clock: this.#clock,
      mayExpire: () => mayExpire(this.#buffer),
      isFirst: () => options.asksTime?.() ?? true,
      share: proposer.charCodeAt(0) / 256,
      barrier: () => this.#proposer.barrier(),
    });
    this.#sweeper = new Sweeper({
      time,
      clock: this.#clock,
      state: this.#state,
      reader: this.#buffer,
      intervalMs: options.sweepIntervalMs ?? limits.sweepIntervalMs,
      isMine: () => options.sweeps?.() ?? true,
      isRunning: () => this.#phase === 'running',
      propose: (command) => this.propose(command),
      barrier: () => this.#proposer.barrier(),
      onFailed: (error) => this.#failed('engine', error),
    });
  }

  /**
   * Loads the state and replays the log up to its present end. Throws `data_format`, `data_corrupt` or
   * `partition_halted` where that cannot be done; log and engine stay the caller's to close then.
   */
  static async open(options: PartitionOptions): Promise<Partition> {
    const partition = new Partition(options);
    try {
      await partition.#catchUp();
      await partition.#learnTime();
    } catch (error) {
      partition.#clockAsker.close();
      partition.#phase = 'stopped';
      await partition.#flusher.flush();
      partition.#flusher.close();
      await partition.#subscription?.close();
      throw error;
    }
    partition.#phase = 'running';
    partition.#sweeper.start();
    return partition;
  }

  async #catchUp(): Promise<void> {
    const { log } = this.#options;
    const { last } = await log.bounds();
    const kept = this.#buffer.get(incarnationKey);
    this.#subscription = log.subscribe({
      from: this.#state.position + 1n,
      ...(kept === undefined ? {} : { incarnation: binaryFromBytes(kept) }),
      onRecords: (records) => this.#apply(records),
    });
    void this.#subscription.ended.then((end) => this.#ended(end));
    void log.failed?.then((cause) => this.#failed('log', cause));
    await this.appliedAfter(last - 1n);
    // Also where there was nothing to wait for, since the log ends before this replica does.
    if (this.#halt !== undefined) throw this.#halt.reason;
  }

  async #learnTime(): Promise<void> {
    this.#caughtUp = true;
    await this.#clockAsker.ask();
    if (this.#halt !== undefined) throw this.#halt.reason;
  }

  /** `from`: those before it are applied. The buffer's bound holds between any two records. */
  #apply(records: readonly LogRecord[], from = 0): void | Promise<void> {
    let full: void | Promise<void> = undefined;
    let next = from;
    while (full === undefined && next < records.length) {
      if (this.#halt !== undefined) return;
      const record = records[next++]!;
      const { batch, results, writes } = this.#applyOne(record);
      this.#buffer.put(writes, record.position);
      this.#notes.note(record, this.#state);
      this.#clock.saw(this.#state.clockNanos, this.#caughtUp);
      this.#options.onApplied?.(this.#state);
      this.#proposer.applied(batch, results, record.position);
      full = this.#flusher.written();
    }
    this.#waiters.wake(this.#state.position);
    return full?.then(() => this.#apply(records, next));
  }

  #applyOne(record: LogRecord): Applied {
    try {
      const applied = applyBatch(this.#state, this.#buffer, record);
      this.#wholeHead = applied.writes.get(headKey)!;
      return applied;
    } catch (cause) {
      // It may have stopped in the middle. Nothing of it is in the buffer: what is stored and told is the position before.
      restoreHead(this.#state, this.#wholeHead);
      this.#stop(haltOfEnd(this.number, this.#state.position, { kind: 'corrupt', cause }));
      throw cause;
    }
  }

  #ended(end: SubscriptionEnd): void {
    if (end.kind !== 'closed') this.#stop(haltOfEnd(this.number, this.#state.position, end));
  }

  #failed(what: 'engine' | 'log', error: unknown): void {
    this.#stop(haltOfFailure(this.number, what, error));
  }

  /** For whoever finds from outside that this replica cannot be trusted. */
  halt(cause: HaltCause, why: string): void {
    this.#stop(haltOf(this.number, cause, why));
  }

  /** The state cannot be trusted, or cannot go on: nothing is served any more. */
  #stop(halt: Halt): void {
    if (this.#halt !== undefined) return;
    this.#halt = halt;
    this.#phase = 'halted';
    this.#proposer.abort(halt.reason);
    this.#waiters.end(halt.reason);
    this.#clockAsker.close();
    this.#sweeper.stop();
    this.#options.onHalted?.(halt.reason, halt.cause);
  }

  /** Throws where this replica serves nothing any more. */
  serving(): void {
    if (this.#halt !== undefined) throw this.#halt.reason;
    if (this.#phase === 'stopped')
      throw new StateStoreError('shutting_down', `partition ${this.number} has shut down`, { retryAfterMs: 1000 });
  }

  // Writes.

  propose(command: Command): Promise<Proposed> {
    return this.#proposer.propose(this.#sweeper.completed(command));
  }

  // Reads.

  /** Undefined where the read may go ahead at once. Throws, or rejects with, `moved` where the reader knows other slots. */
  ready(options: ReadOptions): Promise<void> | undefined {
    this.serving();
    return this.#readiness.ready(options);
  }

  /** Applied: what reads see. */
  get position(): bigint {
    return this.#state.position;
  }

  /** Own chain at a position passed not long ago; also of one that halted. */
  chainAt(position: bigint): string | undefined {
    return notedChain(this.#buffer, position);
  }

  /** Throws `moved` where the key's slot is not the partition's. */
  get(store: string, key: BinaryString): Entry | undefined {
    this.serving();
    if (!ownsKey(this.#state, store, key)) throw moved(`partition ${this.number} does not have the slot of the key`);
    return readOwnEntry(this.#state, this.#buffer, store, key, this.#clock.nowMs());
  }

  /** Throws `moved` where the partition has other slots now than as of `slotsEpoch`: the page would have others than are asked for. */
  scan(scan: Scan, slotsEpoch?: bigint): ScanPage {
    this.serving();
    this.#readiness.checkSlots(slotsEpoch);
    return { ...scanPage(this.#state, this.#buffer, scan, this.#clock.nowMs()), generation: this.generation };
  }

  store(name: string): StoreInfo | undefined {
    this.serving();
    return storeInfo(this.#state, name);
  }

  stores(): readonly StoreInfo[] {
    this.serving();
    return [...this.#state.stores.keys()].map((name) => this.store(name)!);
  }

  watch(options: WatchOptions): AsyncIterable<ChangeBatch> {
    this.serving();
    return watchChanges(
      {
        partition: this.number,
        generation: this.generation,
        state: this.#state,
        reader: this.#buffer,
        appliedAfter: (position, signal) => this.appliedAfter(position, signal),
      },
      options,
    );
  }

  /** Resolves when a position greater than this one is applied. Rejects when the partition stops. */
  appliedAfter(position: bigint, signal?: AbortSignal): Promise<void> {
    if (this.#state.position > position || signal?.aborted === true) return Promise.resolve();
    return this.#waiters.after(position, signal);
  }

  // Splits and merges.

  /** As it is applied now: changes with each batch. */
  get state(): Readonly<PartitionState> {
    return this.#state;
  }

  /** The records, as they are applied now: to be read without awaiting. */
  get reader(): StateReader {
    return this.#buffer;
  }

  /**
   * Writes foreign records into the engine; a promise where the write buffer is full: to be waited for. `sync` makes them
   * durable. Throws `precondition_failed` where one of them is the state's own.
   */
  stage(writes: EngineWrites): void | Promise<void> {
    this.serving();
    checkForeign(this.number, this.#state, this.#buffer, writes.keys());
    this.#buffer.put(writes, this.#state.position);
    return this.#flusher.written();
  }

  // Upkeep.

  /** Resolves when everything applied so far is in the engine, on disk where it is durable. */
  async sync(): Promise<void> {
    this.serving();
    await this.#flusher.flush();
    if (this.#halt !== undefined) throw this.#halt.reason;
    await this.#options.engine.sync();
  }

  /** What is applied now, for a copy. A held one keeps space in the engine: close it soon. */
  async snapshot(): Promise<EngineSnapshot> {
    await this.sync();
    return this.#options.engine.snapshot();
  }

  async compact(): Promise<{ readonly beforeBytes: number; readonly afterBytes: number }> {
    await this.sync();
    return this.#options.engine.compact();
  }

  get queuedCommands(): number {
    return this.#proposer.queuedCommands;
  }

  get writeBufferBytes(): number {
    return this.#buffer.bytes;
  }

  async status(): Promise<PartitionStatus> {
    const { engine, log } = this.#options;
    return describePartition({
      partition: this.number,
      phase: this.#phase,
      halt: this.#halt,
      state: this.#state,
      engine,
      log,
      storedPosition: this.#buffer.storedPosition,
      queuedCommands: this.queuedCommands,
      writeBufferBytes: this.writeBufferBytes,
    });
  }

  /** Answers what waits, stores everything, frees everything. Every call resolves when that is done. */
  close(): Promise<void> {
    this.#closing ??= this.#closeOnce();
    return this.#closing;
  }

  async #closeOnce(): Promise<void> {
    this.#clockAsker.close();
    this.#sweeper.stop();
    if (this.#halt === undefined) await this.#proposer.drain();
    this.#phase = 'stopped';
    await this.#sweeper.close();
    await this.#subscription?.close();
    // Also where it halted: what was applied is whole, and perhaps nobody else has it.
    await this.#flusher.flush();
    this.#flusher.close();
    this.#waiters.end(
      new StateStoreError('shutting_down', `partition ${this.number} has shut down`, { retryAfterMs: 1000 }),
    );
    try {
      await this.#options.log.close();
    } finally {
      await this.#options.engine.close();
    }
  }
}
