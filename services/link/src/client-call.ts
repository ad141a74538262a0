// One request with one answer, and when it may be sent again. A read always may. A write may only where
// its command carries an exactly-once identity; else, once the node may have seen it, a broken connection
// leaves its outcome unknown, and the caller is told so.
import { type Command, type CommandResult, limits, StateStoreError } from '@statestore/core';
import { decodeError } from './codec/error.ts';
import type { Exchange, ExchangeHost, TickerMs } from './exchange.ts';
import { frameKind } from './frame.ts';
import type { Method } from './methods.ts';
import { PartJoiner } from './parts.ts';

/** What breaks do to a method. */
export type Repetition =
  /** May be run any number of times. */
  | 'repeatable'
  /** A write that takes effect once however often it arrives. */
  | 'exactly_once'
  /** A write that must not arrive twice. */
  | 'never';

export function repetitionOf(command: Command): Repetition {
  return command.stamp === undefined && command.idempotency === undefined ? 'never' : 'exactly_once';
}

export interface Effort {
  readonly repetition: Repetition;
  /** Over all attempts. */
  readonly timeoutMs: number;
}

export interface Settle<Answer> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: StateStoreError) => void;
}

export class Call<Answer> implements Exchange {
  readonly kind: number;
  readonly bulk: boolean;
  readonly payload: Uint8Array;
  readonly deadline: TickerMs;
  readonly #host: ExchangeHost;
  readonly #method: Method<never, Answer>;
  readonly #repetition: Repetition;
  readonly #settle: Settle<Answer>;
  /** An earlier attempt may have reached the node. */
  #mayHaveRun = false;
  #parts: PartJoiner | undefined;

  constructor(
    host: ExchangeHost,
    method: Method<never, Answer>,
    payload: Uint8Array,
    effort: Effort,
    settle: Settle<Answer>,
  ) {
    this.#host = host;
    this.#method = method;
    this.kind = method.kind;
    this.bulk = method.bulk;
    this.payload = payload;
    this.deadline = host.now + effort.timeoutMs;
    this.#repetition = effort.repetition;
    this.#settle = settle;
  }

  sent(): void {
    this.#parts = undefined;
  }

  receive(kind: number, payload: Uint8Array): boolean {
    if (kind === frameKind.part) return this.#part(payload);
    if (kind === frameKind.answer) this.#answer(this.#parts === undefined ? payload : this.#parts.join(payload));
    else if (kind === frameKind.failure) this.#failure(decodeError(payload));
    else this.#reject(new StateStoreError('internal', `the node answered with a frame of kind ${kind}`));
    return true;
  }

  #part(payload: Uint8Array): boolean {
    this.#parts ??= new PartJoiner();
    if (this.#parts.add(payload)) return false;
    this.#reject(
      new StateStoreError('internal', `the node's answer is larger than ${limits.linkAnswerBytesMax} bytes`),
    );
    return true;
  }

  #answer(payload: Uint8Array): void {
    let answer: Answer;
    try {
      answer = this.#method.decodeAnswer(payload);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      return this.#reject(
        new StateStoreError('internal', `the node's answer cannot be read: ${reason}`, { cause }),
        true,
      );
    }
    if (this.#mayHaveRun && this.kind === frameKind.propose && leavesOpen(answer as CommandResult)) {
      const { code } = answer as CommandResult;
      return this.#reject(
        unknownOutcome(new StateStoreError('unavailable', `sent again, the write was answered '${code}'`)),
      );
    }
    this.#settle.resolve(answer);
  }

  /**
   * The node refused this attempt. Where an earlier attempt may have run, that says nothing of the
   * write: it is tried again as long as it makes sense.
   */
  #failure(error: StateStoreError): void {
    if (!this.#mayHaveRun || this.#repetition === 'repeatable') this.#settle.reject(error);
    else if (error.retryable && error.code !== 'outcome_unknown') this.#host.resubmit(this, this.deadline);
    else this.#settle.reject(unknownOutcome(error));
  }

  lost(handedOver: boolean, reason: StateStoreError): void {
    if (handedOver) this.#mayHaveRun = true;
    if (!this.#host.resends) this.#reject(reason);
    else if (!this.#mayHaveRun)
      this.#host.resubmit(this, Math.min(this.deadline, this.#host.now + this.#host.connectWaitMs));
    else if (this.#repetition === 'never') this.#settle.reject(unknownOutcome(reason));
    else this.#host.resubmit(this, this.deadline);
  }

  expired(handedOver: boolean, reason: StateStoreError): void {
    this.#reject(reason, handedOver);
  }

  #reject(error: StateStoreError, handedOver = false): void {
    const unknown =
      this.#repetition !== 'repeatable' && (handedOver || this.#mayHaveRun) && error.code !== 'outcome_unknown';
    this.#settle.reject(unknown ? unknownOutcome(error) : error);
  }
}

function unknownOutcome(cause: StateStoreError): StateStoreError {
  if (cause.code === 'outcome_unknown') return cause;
  return new StateStoreError('outcome_unknown', `whether the write took effect is not known: ${cause.message}`, {
    cause,
  });
}

/** Results that say "not this time" and leave open whether the attempt before took effect. */
function leavesOpen({ code }: CommandResult): boolean {
  return code === 'session_expired' || code === 'already_answered' || code === 'overloaded';
}
