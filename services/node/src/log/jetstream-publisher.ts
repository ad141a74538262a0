// Appends to a log in JetStream. A message is published on core NATS with an inbox for its answer, and
// not with nats.js' publish of JetStream, which would try a refused one again behind others that were
// accepted. What is not answered is published again, the same message with the same Nats-Msg-Id, which the
// stream knows for longer than it is tried; so is all that was open when the connection came back or when
// the stream has a new leader. What was refused for the moment waits, and what comes after it waits behind.
//
// A copy that a server held, frozen, for longer than `duplicate_window` becomes a second record; what applies
// records knows their commands, and does them once.
//
// Honest outcomes: `refused` only where every attempt was answered, and each with a refusal; `unknown` where
// one was not. Positions follow the order of the calls, but for appends in flight together of which one had
// to be published again and another not.
import { randomBytes } from 'node:crypto';
import type { Msg, NatsConnection } from '@statestore/cluster';
import { createInbox, headersToSend, isConnected } from '@statestore/cluster';
import { limits } from '@statestore/core';
import type { Time, Timer } from '../time.ts';
import { publishAnswer } from './jetstream-answer.ts';
import type { PublishAnswer } from './jetstream-answer.ts';
import type { AppendOutcome } from './log.ts';

export interface PublisherOptions {
  readonly connection: NatsConnection;
  readonly time: Time;
  readonly stream: string;
  readonly subject: string;
  readonly recordBytesMax: number;
  /** The stream says that an append, whose record nobody here was given yet, is at this position. */
  readonly onAcknowledged: (position: bigint) => void;
  /** An append was refused in the end. */
  readonly onRefused: () => void;
}

type Refused = Extract<AppendOutcome, { kind: 'refused' }>;

interface Pending {
  readonly token: string;
  readonly bytes: Uint8Array;
  readonly beganMs: number;
  /** Of the last attempt. */
  sentMs: number;
  /** Attempts that are not answered. */
  open: number;
  /** An answer said that it may be in the log. */
  unclear: boolean;
  /** To be published when that makes sense again: certainly not in the log so far. */
  waiting: boolean;
  cause: unknown;
  reason: Refused['reason'];
  readonly resolve: (outcome: AppendOutcome) => void;
}

const overloaded: Refused = { kind: 'refused', reason: 'overloaded' };

export class JetStreamPublisher {
  readonly #options: PublisherOptions;
  /** By token, in the order of the calls. */
  readonly #pending = new Map<string, Pending>();
  readonly #inbox = createInbox();
  /** Of this publisher alone: its messages' ids begin with it. */
  readonly #name = randomBytes(9).toString('base64url');
  readonly #idPrefix = `${this.#name}.`;
  #appends = 0;
  /** Of those pending. */
  #waiting = 0;
  #tick: Timer | undefined;
  #idle: (() => void) | undefined;
  #closed = false;
  readonly #unsubscribe: () => void;

  constructor(options: PublisherOptions) {
    this.#options = options;
    const answers = options.connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#onAnswer(message);
      },
    });
    this.#unsubscribe = () => answers.unsubscribe();
  }

  append(bytes: Uint8Array): Promise<AppendOutcome> {
    if (this.#closed) return Promise.resolve({ kind: 'refused', reason: 'closed' });
    const { recordBytesMax, time } = this.#options;
    if (bytes.length > recordBytesMax) {
      const cause = new RangeError(`the record has ${bytes.length} bytes; it may have ${recordBytesMax}`);
      return Promise.resolve({ kind: 'refused', reason: 'too_large', cause });
    }
    if (this.#pending.size >= limits.logInFlightMax) return Promise.resolve(overloaded);
    return new Promise((resolve) => {
      const pending: Pending = {
        token: (this.#appends++).toString(36),
        bytes,
        beganMs: time.elapsedMs(),
        sentMs: 0,
        open: 0,
        unclear: false,
        waiting: false,
        cause: undefined,
        reason: 'unavailable',
        resolve,
      };
      this.#pending.set(pending.token, pending);
      if (this.#waiting === 0 && isConnected(this.#options.connection)) this.#send(pending);
      else this.#wait(pending, 'unavailable', new Error('there is no connection to NATS'));
      this.#tick ??= time.after(limits.logPublisherTickMs, () => this.#onTick());
    });
  }

  #send(pending: Pending): void {
    const { connection, subject, stream, time } = this.#options;
    const { token } = pending;
    try {
      connection.publish(subject, pending.bytes, {
        reply: `${this.#inbox}.${token}`,
        headers: headersToSend(`Nats-Msg-Id: ${this.#idPrefix}${token}\r\nNats-Expected-Stream: ${stream}\r\n`),
      });
    } catch (cause) {
      // Closed, or the message is larger than this server takes: this time it was not sent.
      if (pending.open > 0 || pending.unclear) pending.sentMs = time.elapsedMs();
      else if (!pending.waiting) this.#wait(pending, connection.isClosed() ? 'unavailable' : 'too_large', cause);
      return;
    }
    if (pending.waiting) this.#waiting--;
    pending.waiting = false;
    pending.sentMs = time.elapsedMs();
    pending.open++;
  }

  #wait(pending: Pending, reason: Refused['reason'], cause: unknown): void {
    if (!pending.waiting) this.#waiting++;
    pending.waiting = true;
    pending.reason = reason;
    pending.cause = cause;
  }

  #onAnswer(message: Msg): void {
    const pending = this.#pending.get(message.subject.slice(this.#inbox.length + 1));
    // Answered before, or by its record.
    if (pending === undefined) return;
    const answer = publishAnswer(message);
    if (answer.kind === 'stored') {
      this.#settle(pending, { kind: 'appended', position: answer.position });
      this.#options.onAcknowledged(answer.position);
      return;
    }
    pending.open = Math.max(0, pending.open - 1);
    pending.cause = answer.cause;
    if (answer.kind === 'unclear') pending.unclear = true;
    else this.#onRefused(pending, answer);
  }

  #onRefused(pending: Pending, { reason, passes, cause }: Extract<PublishAnswer, { kind: 'refused' }>): void {
    if (pending.open > 0 || pending.unclear) return;
    if (passes) this.#wait(pending, reason, cause);
    else this.#settle(pending, { kind: 'refused', reason, cause });
  }

  /** The record of an append is in the log, as a subscriber saw. */
  seen(id: string, position: bigint): void {
    if (this.#pending.size === 0 || !id.startsWith(this.#idPrefix)) return;
    const pending = this.#pending.get(id.slice(this.#idPrefix.length));
    if (pending !== undefined) this.#settle(pending, { kind: 'appended', position });
  }

  #onTick(): void {
    this.#tick = undefined;
    this.#sendWhatIsDue(limits.logResendMs);
    if (this.#pending.size > 0) {
      this.#tick = this.#options.time.after(limits.logPublisherTickMs, () => this.#onTick());
    }
  }

  /** What is open may have been lost with a connection or a leader. */
  resend(): void {
    this.#sendWhatIsDue(limits.logPublisherTickMs);
  }

  /** In the order of the calls: what waits, and what was not answered for so long, longer each time. */
  #sendWhatIsDue(unansweredMs: number): void {
    const { connection, time } = this.#options;
    const nowMs = time.elapsedMs();
    const connected = isConnected(connection);
    for (const pending of this.#pending.values()) {
      const ageMs = nowMs - pending.beganMs;
      const { waiting, reason, cause } = pending;
      if (waiting && (ageMs >= limits.logRefusedWaitMs || reason === 'too_large' || connection.isClosed())) {
        this.#settle(pending, { kind: 'refused', reason, cause });
      } else if (!waiting && (ageMs >= limits.logAppendWaitMs || connection.isClosed())) {
        this.#settle(pending, { kind: 'unknown', cause: cause ?? new Error('JetStream did not answer') });
      } else if (connected && (waiting || nowMs - pending.sentMs >= unansweredMs * pending.open)) {
        this.#send(pending);
      }
    }
  }

  #settle(pending: Pending, outcome: AppendOutcome): void {
    if (!this.#pending.delete(pending.token)) return;
    if (pending.waiting) this.#waiting--;
    pending.resolve(outcome);
    if (outcome.kind === 'refused') this.#options.onRefused();
    if (this.#pending.size === 0) this.#idle?.();
  }

  /** Takes nothing more, and resolves when all that is pending has its outcome. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#pending.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    this.#tick?.cancel();
    this.#unsubscribe();
  }
}
