// The proposer: gathers commands into batches and appends them to the log, one append in flight; while
// it is, the next batch fills (group commit). A command is answered from what apply made of its batch,
// never from the append alone.
import type { BinaryString, Batch, Command, CommandResult } from '@statestore/core';
import { encodeBatch, limits, StateStoreError } from '@statestore/core';
import type { Proposed } from '@statestore/link';
import type { Log } from './log/log.ts';
import type { Time, Timer } from './time.ts';

/** A batch appended, or perhaps appended, and not yet applied here. */
interface Published {
  readonly pending: readonly Pending[];
  readonly sizeBytes: number;
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
  /** 16 random bytes of this process. */
  readonly proposer: BinaryString;
  readonly timeoutMs?: number | undefined;
}

/** Room for a command's own fields beside its keys and values. */
const commandOverheadBytes = 96;
const timeoutCheckMs = 250;
/** Of the clients last seen, how many must be back: waiting for the very last one costs more than it saves. */
const gatherShare = 0.75;

export class Proposer {
  readonly #options: ProposerOptions;
  readonly #timeoutMs: number;
  #queue: Pending[] = [];
  #queueBytes = 0;
  #appending = false;
  /** Commands that will probably be there soon: worth a moment's wait. */
  #expected = 0;
  #gathered: (() => void) | undefined;
  #deferred = false;
  #nextNumber = 1;
  /** By number. */
  readonly #published = new Map<number, Published>();
  #publishedBytes = 0;
  /** Called when there is room for another batch again. */
  #room: (() => void) | undefined;
  /** Why nothing new is taken. */
  #refusing: StateStoreError | undefined;
  /** Set by abort: nothing is appended any more. */
  #aborted = false;
  #timeoutCheck: Timer | undefined;
  #idle: (() => void) | undefined;

  constructor(options: ProposerOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? limits.proposeTimeoutMs;
  }

  get queuedCommands(): number {
    return this.#queue.length;
  }

  /**
   * Resolves with what apply made of it. Rejects with `overloaded`, `unavailable`, `disk_full` or
   * `shutting_down` where it certainly changed nothing, with `outcome_unknown` where it perhaps did.
   */
  propose(command: Command): Promise<Proposed> {
    const sizeBytes = sizeOf(command);
    const refusal = this.#refusing ?? this.#refusalOf(sizeBytes);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const deadlineMs = this.#options.time.elapsedMs() + this.#timeoutMs;
      this.#queue.push({ command, sizeBytes, deadlineMs, resolve, reject });
      this.#queueBytes += sizeBytes;
      if (this.#gathered !== undefined && this.#queue.length >= this.#expected) this.#gathered();
      else this.#wake();
    });
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
      const { partition } = this.#options;
      return new StateStoreError('overloaded', `partition ${partition} has ${this.#queue.length} commands waiting`, {
        retryAfterMs: 1000,
      });
    }
    return undefined;
  }

  #wake(): void {
    this.#timeoutCheck ??= this.#options.time.after(timeoutCheckMs, () => this.#checkTimeouts());
    if (this.#appending || this.#deferred) return;
    this.#deferred = true;
    this.#options.time.defer(() => {
      this.#deferred = false;
      if (!this.#appending) void this.#appendAll();
    });
  }

  async #appendAll(): Promise<void> {
    this.#appending = true;
    while (this.#queue.length > 0 && !this.#aborted) {
      // The engine is behind: what comes waits here, is refused when the queue is full, and does not pile up unanswered.
      if (this.#publishedBytes >= limits.proposerUnappliedBytesMax) {
        await new Promise<void>((resolve) => (this.#room = resolve));
        continue;
      }
      if (this.#queue.length < this.#expected) await this.#gather();
      // Their time may have come meanwhile.
      if (this.#queue.length > 0 && !this.#aborted) await this.#appendOne();
    }
    this.#appending = false;
    this.#settleIdle();
  }

  /** Waits for those that the last answer released, a moment at most: a full batch costs what a small one does. */
  #gather(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.time.after(limits.gatherMsMax, () => {
        this.#gathered = undefined;
        resolve();
      });
      this.#gathered = () => {
        timer.cancel();
        this.#gathered = undefined;
        resolve();
      };
    });
  }

  async #appendOne(): Promise<void> {
    const { log, partition, proposer } = this.#options;
    const { pending, sizeBytes } = this.#takeBatch();
    const number = this.#nextNumber;
    this.#nextNumber = number >= 0xffff_fffe ? 1 : number + 1;
    const batch: Batch = { partition, proposer, number, commands: pending.map(({ command }) => command) };
    let bytes: Uint8Array;
    try {
      bytes = encodeBatch(batch);
    } catch (cause) {
      // A command that no gateway should have let pass: nothing of its batch was done.
      const error = new StateStoreError('internal', `partition ${partition}: a batch cannot be written`, { cause });
      for (const { reject } of pending) reject(error);
      return;
    }
    this.#published.set(number, { pending, sizeBytes });
    this.#publishedBytes += sizeBytes;
    const outcome = await log.append(bytes);
    this.#expected = Math.floor((pending.length + this.#queue.length) * gatherShare);
    if (outcome.kind !== 'refused') return;
    this.#forget(number);
    const { code, retryAfterMs } = refusals[outcome.reason];
    const error = new StateStoreError(code, `the log of partition ${partition} refused the write: ${outcome.reason}`, {
      ...(retryAfterMs === 0 ? {} : { retryAfterMs }),
      cause: outcome.cause,
    });
    for (const { reject } of pending) reject(error);
  }

  /** The longest run from the front of the queue that fits one batch; at least one command. */
  #takeBatch(): Published {
    let bytes = 0;
    let count = 0;
    const { recordBytesMax } = this.#options.log;
    const targetBytes = Math.min(limits.batchBytesTarget, recordBytesMax);
    for (const { sizeBytes } of this.#queue) {
      if (count > 0 && (bytes + sizeBytes > targetBytes || count >= limits.batchCommandsMax)) break;
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
  #forget(number: number): readonly Pending[] | undefined {
    const published = this.#published.get(number);
    if (published === undefined) return undefined;
    this.#published.delete(number);
    this.#publishedBytes -= published.sizeBytes;
    this.#room?.();
    return published.pending;
  }

  /** To be called with every batch applied here, in order. */
  applied(batch: Batch, results: readonly CommandResult[], position: bigint): void {
    if (batch.proposer !== this.#options.proposer) return;
    const pending = this.#forget(batch.number);
    if (pending === undefined) return;
    for (let i = 0; i < pending.length; i++) pending[i]!.resolve(appliedAt(results[i]!, position));
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
    for (const [number, { pending }] of this.#published) {
      if (pending[0]!.deadlineMs > nowMs) continue;
      this.#forget(number);
      for (const { reject } of pending) reject(this.#error('outcome_unknown', 'the log did not answer in time'));
    }
    if (this.#queue.length > 0 || this.#published.size > 0) {
      this.#timeoutCheck = this.#options.time.after(timeoutCheckMs, () => this.#checkTimeouts());
    }
    this.#settleIdle();
  }

  #error(code: 'unavailable' | 'outcome_unknown', why: string): StateStoreError {
    return new StateStoreError(code, `partition ${this.#options.partition}: ${why}`, { retryAfterMs: 1000 });
  }

  #settleIdle(): void {
    if (this.#queue.length > 0 || this.#appending || this.#published.size > 0) return;
    this.#timeoutCheck?.cancel();
    this.#timeoutCheck = undefined;
    this.#idle?.();
  }

  /** Refuses new commands and resolves when those that wait are answered. */
  async drain(): Promise<void> {
    const open = this.#queue.length > 0 || this.#appending || this.#published.size > 0;
    const idle = open ? new Promise<void>((resolve) => (this.#idle = resolve)) : undefined;
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
    for (const [number, { pending }] of this.#published) {
      this.#forget(number);
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
function appliedAt(result: CommandResult, position: bigint): Proposed {
  const { code, operations, count, more, removed, entries, bytes, failedIndex } = result;
  return { code, operations, count, more, removed, entries, bytes, failedIndex, position };
}

const refusals = {
  overloaded: { code: 'overloaded', retryAfterMs: 500 },
  unavailable: { code: 'unavailable', retryAfterMs: 1000 },
  disk_full: { code: 'disk_full', retryAfterMs: 5000 },
  too_large: { code: 'body_too_large', retryAfterMs: 0 },
  closed: { code: 'shutting_down', retryAfterMs: 1000 },
} as const;

/** These write a whole value anew, of up to 1 MiB, however small they are: a batch must not hold many of them. */
const rewriting: ReadonlySet<string> = new Set(['append', 'mergePatch', 'touch']);
const rewriteBytes = 2048;

function sizeOf(command: Command): number {
  let bytes = commandOverheadBytes;
  const { body } = command;
  if (body.kind !== 'mutate') return bytes;
  for (const { key } of body.checks) bytes += key.length + 16;
  for (const operation of body.operations) {
    bytes += operation.key.length + 48;
    if ('value' in operation) bytes += operation.value.length;
    if (rewriting.has(operation.kind)) bytes += rewriteBytes;
    if ('contentType' in operation) bytes += operation.contentType.length;
  }
  return bytes;
}
