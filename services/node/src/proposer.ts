// The proposer: gathers commands into batches and appends them to the log; while one is under way, the
// next batch fills (group commit; when it is full enough is batch-rhythm.ts' business). A command is answered from what apply made of its batch,
// never from the append alone. Readers that must see everything acknowledged before them wait for a
// batch as well; where no command waits with them, they get one that does nothing.
import type { BinaryString, Batch, Command, CommandResult, ErrorCode } from '@statestore/core';
import { encodeBatch, limits, StateStoreError } from '@statestore/core';
import type { Proposed } from '@statestore/link';
import { Barrier } from './barrier.ts';
import { BatchRhythm } from './batch-rhythm.ts';
import { commandBytes } from './command-size.ts';
import type { AppendOutcome, Log } from './log/log.ts';
import type { Time, Timer } from './time.ts';

/** A batch appended, or perhaps appended, and not yet applied here. */
interface Published {
  readonly pending: readonly Pending[];
  readonly barrier: Barrier | undefined;
  readonly sizeBytes: number;
  /** When its append began: everything acknowledged before then is applied when it is. */
  readonly beganMs: number;
}

interface Pending {
  readonly command: Command;
  readonly sizeBytes: number;
  readonly deadlineMs: number;
  readonly resolve: (result: Proposed) => void;
  readonly reject: (error: StateStoreError) => void;
}

export interface ProposerOptions {
  readonly partition: number;
  readonly log: Log;
  readonly time: Time;
  /** 16 random bytes, others at each opening: what an earlier one left under way may still arrive. */
  readonly proposer: BinaryString;
  readonly timeoutMs?: number | undefined;
  /** Of the log; undefined: it has none. */
  readonly generation?: number | undefined;
}

const timeoutCheckMs = 250;
const barrierCommand: Command = { body: { kind: 'barrier' } };

export class Proposer {
  readonly #options: ProposerOptions;
  readonly #timeoutMs: number;
  #queue: Pending[] = [];
  #queueBytes = 0;
  /** Of those who came since the last append began: they go with the next batch. */
  #barrier: Barrier | undefined;
  readonly #rhythm: BatchRhythm;
  #deferred = false;
  #nextNumber = 1;
  /** By number. */
  readonly #published = new Map<number, Published>();
  #publishedBytes = 0;
  #freshMs = -Infinity;
  /** Why nothing new is taken. */
  #refusing: StateStoreError | undefined;
  /** Set by abort: nothing is appended any more. */
  #aborted = false;
  #timeoutCheck: Timer | undefined;
  #idle: (() => void) | undefined;

  constructor(options: ProposerOptions) {
    this.#options = options;
    this.#rhythm = new BatchRhythm(options.time, () => this.#appendWhatIsDue());
    this.#timeoutMs = options.timeoutMs ?? limits.proposeTimeoutMs;
  }

  get queuedCommands(): number {
    return this.#queue.length;
  }

  /** Everything that was acknowledged before this moment (of `Time.elapsedMs`) is applied here. */
  get freshMs(): number {
    return this.#freshMs;
  }

  /**
   * Resolves with what apply made of it. Rejects with `overloaded`, `unavailable`, `disk_full` or
   * `shutting_down` where it certainly changed nothing, with `outcome_unknown` where it perhaps did.
   */
  propose(command: Command): Promise<Proposed> {
    const sizeBytes = commandBytes(command);
    const refusal = this.#refusing ?? this.#refusalOf(sizeBytes);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const deadlineMs = this.#options.time.elapsedMs() + this.#timeoutMs;
      this.#queue.push({ command, sizeBytes, deadlineMs, resolve, reject });
      this.#queueBytes += sizeBytes;
      this.#arrived();
    });
  }

  /**
   * Resolves when everything acknowledged before the call is applied here. All that wait at a time share
   * one batch. Rejects with `overloaded`, `unavailable` or `shutting_down`.
   */
  barrier(): Promise<void> {
    if (this.#refusing !== undefined) return Promise.reject(this.#refusing);
    this.#barrier ??= new Barrier(this.#options.time.elapsedMs() + this.#timeoutMs);
    if (this.#barrier.readers >= limits.barrierReadersMax) {
      return Promise.reject(this.#error('overloaded', `${limits.barrierReadersMax} reads wait for a barrier`));
    }
    const passed = this.#barrier.join();
    this.#arrived();
    return passed;
  }

  get #waiting(): number {
    return this.#queue.length + (this.#barrier?.readers ?? 0);
  }

  #refusalOf(sizeBytes: number): StateStoreError | undefined {
    if (sizeBytes > this.#options.log.recordBytesMax) {
      return new StateStoreError(
        'body_too_large',
        `the command takes ${sizeBytes} bytes; the log takes ${this.#options.log.recordBytesMax}`,
      );
    }
    if (
      this.#queue.length >= limits.proposerQueueCommandsMax ||
      this.#queueBytes + sizeBytes > limits.proposerQueueBytesMax
    ) {
      return this.#error('overloaded', `${this.#queue.length} commands are waiting`);
    }
    return undefined;
  }

  #arrived(): void {
    this.#timeoutCheck ??= this.#options.time.after(timeoutCheckMs, () => this.#checkTimeouts());
    if (this.#deferred) return;
    // What comes in the same turn goes in the same batch.
    this.#deferred = true;
    this.#options.time.defer(() => {
      this.#deferred = false;
      this.#appendWhatIsDue();
    });
  }

  #appendWhatIsDue(): void {
    while (!this.#aborted && this.#hasRoom && this.#rhythm.isDue(this.#waiting)) this.#appendOne();
    this.#settleIdle();
  }

  /** False: the engine is behind. What comes waits here, is refused when the queue is full, and does not pile up unanswered. */
  get #hasRoom(): boolean {
    return this.#publishedBytes < limits.proposerUnappliedBytesMax;
  }

  #appendOne(): void {
    const { partition, proposer, time } = this.#options;
    const { pending, sizeBytes } = this.#takeBatch();
    // Whoever comes from here on waits for the next batch.
    const barrier = this.#barrier;
    this.#barrier = undefined;
    const number = this.#nextNumber;
    this.#nextNumber = number >= 0xffff_fffe ? 1 : number + 1;
    const commands = pending.length === 0 ? [barrierCommand] : pending.map(({ command }) => command);
    const batch: Batch = { partition, proposer, number, commands };
    let bytes: Uint8Array;
    try {
      bytes = encodeBatch(batch);
    } catch (cause) {
      // A command that no gateway should have let pass: nothing of its batch was done.
      const error = new StateStoreError('internal', `partition ${partition}: a batch cannot be written`, { cause });
      for (const { reject } of pending) reject(error);
      this.#waitOn(barrier);
      return;
    }
    const published = { pending, barrier, sizeBytes, beganMs: time.elapsedMs() };
    this.#published.set(number, published);
    this.#publishedBytes += sizeBytes;
    void this.#append(number, bytes, published);
  }

  async #append(number: number, bytes: Uint8Array, { pending, barrier }: Published): Promise<void> {
    const size = pending.length + (barrier?.readers ?? 0);
    this.#rhythm.began();
    const outcome = await this.#options.log.append(bytes);
    this.#rhythm.ended(size, this.#waiting);
    if (outcome.kind === 'refused') this.#refused(number, outcome);
    // It may come yet. Readers need not wait for that: they have changed nothing, and may ask elsewhere.
    if (outcome.kind === 'unknown') barrier?.fail(this.#error('unavailable', 'the log did not answer'));
    this.#appendWhatIsDue();
  }

  #refused(number: number, { reason, cause }: Extract<AppendOutcome, { kind: 'refused' }>): void {
    const published = this.#forget(number);
    if (published === undefined) return;
    const { pending, barrier } = published;
    // Each of several would have fitted alone: none of them is too large.
    const { code, ofReads, retryAfterMs } =
      reason === 'too_large' && pending.length > 1 ? refusals.unavailable : refusals[reason];
    const refusal = (as: ErrorCode): StateStoreError =>
      new StateStoreError(as, `the log of partition ${this.#options.partition} refused a batch: ${reason}`, {
        ...(retryAfterMs === 0 ? {} : { retryAfterMs }),
        cause,
      });
    for (const { reject } of pending) reject(refusal(code));
    // Not the fault of the readers: alone, they fit.
    if (reason === 'too_large' && pending.length > 0) this.#waitOn(barrier);
    else barrier?.fail(refusal(ofReads));
  }

  /** Readers whose batch came to nothing wait for another one. */
  #waitOn(barrier: Barrier | undefined): void {
    if (this.#barrier === undefined) this.#barrier = barrier;
    else barrier?.joinTo(this.#barrier);
  }

  /** The longest run from the front of the queue that fits one batch; at least one command, if there is any. */
  #takeBatch(): Pick<Published, 'pending' | 'sizeBytes'> {
    let bytes = 0;
    let count = 0;
    const { recordBytesMax } = this.#options.log;
    const targetBytes = Math.min(limits.batchBytesTarget, recordBytesMax);
    const largeBytes = Math.min(limits.batchLargeBytes, recordBytesMax);
    for (const { sizeBytes } of this.#queue) {
      const boundBytes = count < limits.batchLargeCommands ? largeBytes : targetBytes;
      if (count > 0 && (bytes + sizeBytes > boundBytes || count >= limits.batchCommandsMax)) break;
      bytes += sizeBytes;
      count++;
    }
    this.#queueBytes -= bytes;
    if (count === this.#queue.length) {
      const all = this.#queue;
      this.#queue = [];
      return { pending: all, sizeBytes: bytes };
    }
    return { pending: this.#queue.splice(0, count), sizeBytes: bytes };
  }

  /** Takes a batch from those published; undefined where its time was up before. */
  #forget(number: number): Published | undefined {
    const published = this.#published.get(number);
    if (published === undefined) return undefined;
    this.#published.delete(number);
    this.#publishedBytes -= published.sizeBytes;
    if (this.#waiting > 0) this.#arrived();
    return published;
  }

  /** To be called with every batch applied here, in order. */
  applied(batch: Batch, results: readonly CommandResult[], position: bigint): void {
    if (batch.proposer !== this.#options.proposer) return;
    const published = this.#forget(batch.number);
    if (published === undefined) return;
    const { pending, barrier, beganMs } = published;
    if (beganMs > this.#freshMs) this.#freshMs = beganMs;
    const { generation } = this.#options;
    for (let i = 0; i < pending.length; i++) pending[i]!.resolve(appliedAt(results[i]!, position, generation));
    barrier?.pass();
    this.#settleIdle();
  }

  #checkTimeouts(): void {
    this.#timeoutCheck = undefined;
    const nowMs = this.#options.time.elapsedMs();
    const late = this.#queue.filter(({ deadlineMs }) => deadlineMs <= nowMs);
    if (late.length > 0) {
      this.#queue = this.#queue.filter(({ deadlineMs }) => deadlineMs > nowMs);
      for (const { sizeBytes, reject } of late) {
        this.#queueBytes -= sizeBytes;
        reject(this.#error('unavailable', 'the write was not yet in the log when its time was up'));
      }
    }
    if (this.#barrier !== undefined && this.#barrier.deadlineMs <= nowMs) {
      this.#barrier.fail(this.#error('unavailable', 'the barrier of the read was not yet in the log in time'));
      this.#barrier = undefined;
    }
    for (const [number, { pending, barrier }] of this.#published) {
      if ((pending[0] ?? barrier)!.deadlineMs > nowMs) continue;
      this.#forget(number);
      for (const { reject } of pending) reject(this.#error('outcome_unknown', 'the log did not answer in time'));
      barrier?.fail(this.#error('unavailable', 'the log did not answer in time'));
    }
    if (this.#waiting > 0 || this.#published.size > 0) {
      this.#timeoutCheck = this.#options.time.after(timeoutCheckMs, () => this.#checkTimeouts());
    }
    this.#settleIdle();
  }

  #error(code: 'overloaded' | 'unavailable' | 'outcome_unknown', why: string): StateStoreError {
    return new StateStoreError(code, `partition ${this.#options.partition}: ${why}`, { retryAfterMs: 1000 });
  }

  get #open(): boolean {
    return this.#waiting > 0 || this.#rhythm.underWay || this.#published.size > 0;
  }

  #settleIdle(): void {
    if (this.#open) return;
    this.#timeoutCheck?.cancel();
    this.#timeoutCheck = undefined;
    this.#idle?.();
  }

  /** Refuses new commands and readers, and resolves when those that wait are answered. */
  async drain(): Promise<void> {
    const idle = this.#open ? new Promise<void>((resolve) => (this.#idle = resolve)) : undefined;
    this.#refusing ??= new StateStoreError('shutting_down', `partition ${this.#options.partition} is shutting down`, {
      retryAfterMs: 1000,
    });
    await idle;
  }

  /** Gives up at once: what is published is unknown, what waits was not done. */
  abort(why: StateStoreError): void {
    this.#refusing = why;
    this.#aborted = true;
    for (const { reject } of this.#queue) reject(why);
    this.#queue = [];
    this.#queueBytes = 0;
    this.#barrier?.fail(why);
    this.#barrier = undefined;
    for (const [number, { pending, barrier }] of this.#published) {
      this.#forget(number);
      barrier?.fail(why);
      for (const { reject } of pending) {
        reject(
          new StateStoreError(
            'outcome_unknown',
            `partition ${this.#options.partition} stopped before the write was applied`,
            { cause: why },
          ),
        );
      }
    }
    this.#settleIdle();
  }
}

/** Spelled out: a spread would cost more than the rest of the answer. */
function appliedAt(result: CommandResult, position: bigint, generation: number | undefined): Proposed {
  const { code, operations, count, more, removed, entries, bytes, failedIndex } = result;
  return { code, operations, count, more, removed, entries, bytes, failedIndex, position, generation };
}

/** What they are called to writers, and to readers, of whom nothing was to be kept. */
const refusals = {
  overloaded: { code: 'overloaded', ofReads: 'overloaded', retryAfterMs: 500 },
  unavailable: { code: 'unavailable', ofReads: 'unavailable', retryAfterMs: 1000 },
  disk_full: { code: 'disk_full', ofReads: 'unavailable', retryAfterMs: 5000 },
  too_large: { code: 'body_too_large', ofReads: 'unavailable', retryAfterMs: 0 },
  closed: { code: 'shutting_down', ofReads: 'shutting_down', retryAfterMs: 1000 },
} as const;
