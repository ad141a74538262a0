// Carries out operations of clients until their outcome is known, and writes down what was seen. A client
// that is refused or left without an answer goes on at another gateway, its session with it.
import { setTimeout as sleep } from 'node:timers/promises';
import type { HistoryEvent, HistoryFile } from '../history/history.ts';
import type { SeededRandom } from '../process/seeded-random.ts';
import type { Definite, GatewayClient, Request } from './gateway-client.ts';
import { sessionHeader } from './gateway-client.ts';

/** What an answer means for the history; undefined: no such answer should come. */
export type Meaning = (
  answer: Definite,
) => Pick<HistoryEvent, 'outcome' | 'result' | 'revision' | 'revisions'> | undefined;

/** What is known of an operation before it is carried out. */
export type Planned = Pick<HistoryEvent, 'use' | 'key' | 'operation' | 'consistency' | 'maxLagMs'>;

export type Step = Planned & {
  readonly request: Request;
  readonly meaning: Meaning;
  /** True: the request may be sent again as it is, since it takes effect once. */
  readonly repeatable: boolean;
  /** False where an answer leaves something open that another attempt could settle. */
  readonly isComplete?: (answer: Definite) => boolean;
};

/** Somebody who does one thing at a time. */
export interface Worker {
  readonly client: number;
  readonly random: SeededRandom;
  readonly session: Session;
  /** How long an answer is waited for. */
  readonly patienceMs: number;
  /** Unique in the run: makes values, tokens and Idempotency-Keys. */
  nextId(): string;
}

export interface Session {
  readonly name: string;
  token: string | undefined;
}

export interface RecorderCounts {
  attempts: number;
  unknownAttempts: number;
  refusedAttempts: number;
}

/** What became of a request over all its attempts. */
export interface Exchange {
  readonly invokedMs: number;
  readonly returnedMs: number;
  readonly attempts: number;
  readonly gateway: string;
  /** Undefined: there is none, and `outcome` says how much that means. */
  readonly answer: Definite | undefined;
  readonly outcome: 'refused' | 'unknown';
}

export interface RecorderOptions {
  readonly gateways: readonly GatewayClient[];
  readonly history: HistoryFile;
  /** Undefined: not known. */
  readonly partitionOf?: (key: string) => number | undefined;
}

const backoffMsMax = 100;
const unexplainedMax = 20;

export class Recorder {
  readonly counts: RecorderCounts = { attempts: 0, unknownAttempts: 0, refusedAttempts: 0 };
  /** Answers that should not have come. */
  readonly unexplained: string[] = [];
  readonly #options: RecorderOptions;
  /** When operations are given up though they could be repeated. */
  #deadlineMs = Infinity;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  giveUpAfter(ms: number): void {
    this.#deadlineMs = performance.now() + ms;
  }

  /** Resolves with the event; its outcome is `unknown` where nobody will ever tell. */
  async carryOut(worker: Worker, step: Step): Promise<HistoryEvent> {
    const event = await this.look(worker, step);
    this.#options.history.add(event);
    return event;
  }

  /** As `carryOut`, without writing it down. */
  async look(worker: Worker, step: Step): Promise<HistoryEvent> {
    const { request, meaning, repeatable, isComplete = () => true, ...planned } = step;
    const isEventual = planned.consistency === 'eventual';
    const exchange = await this.exchange(worker, request, { repeatable, isEventual, isComplete });
    const event = this.#eventOf(worker, planned, exchange);
    const meant = exchange.answer === undefined ? undefined : meaning(exchange.answer);
    if (meant !== undefined) return { ...event, ...meant };
    if (exchange.answer !== undefined) this.unexplain(request, exchange.answer);
    return event;
  }

  /** Of one answer for several operations: writes down what each of them is told. */
  recordParts(worker: Worker, exchange: Exchange, parts: readonly (Planned & Partial<HistoryEvent>)[]): HistoryEvent[] {
    const events = parts.map((part) => ({ ...this.#eventOf(worker, part, exchange), ...part }));
    for (const event of events) this.#options.history.add(event);
    return events;
  }

  unexplain({ method, path }: Request, { status, body }: Definite): void {
    if (this.unexplained.length >= unexplainedMax) return;
    this.unexplained.push(`${method} ${path} was answered ${status} ${body.slice(0, 300)}, which nothing explains`);
  }

  /** Over as many attempts as it takes, and as there may be. */
  async exchange(
    worker: Worker,
    request: Request,
    options: {
      readonly repeatable: boolean;
      readonly isEventual: boolean;
      readonly isComplete?: (answer: Definite) => boolean;
    },
  ): Promise<Exchange> {
    const { gateways } = this.#options;
    const { random, session } = worker;
    const invokedMs = performance.now();
    let at = random.below(gateways.length);
    // Once an attempt may have had an effect, a refusal of a later one says nothing of the first.
    let mayHaveHappened = false;
    for (let attempts = 1; ; attempts++) {
      const gateway = gateways[at]!;
      const attemptedMs = performance.now();
      const answer = await gateway.request(this.#withSession(request, worker, options.isEventual), worker.patienceMs);
      const returnedMs = performance.now();
      this.counts.attempts++;
      const base = { invokedMs, returnedMs, attempts, gateway: gateway.name };
      if (answer.kind === 'answer') {
        if (!options.isEventual && answer.session !== undefined) session.token = answer.session;
        if (options.isComplete?.(answer) ?? true) return { ...base, answer, outcome: 'unknown' };
      }
      const outcome = answer.kind === 'answer' ? 'unknown' : answer.kind;
      this.counts[outcome === 'unknown' ? 'unknownAttempts' : 'refusedAttempts']++;
      this.#options.history.note({
        type: 'attempt',
        client: worker.client,
        gateway: gateway.name,
        invokedMs: attemptedMs,
        returnedMs,
        status: answer.status,
        // An answer that left a part of a many-key call open.
        code: answer.kind === 'answer' ? 'incomplete' : answer.code,
        ...(answer.kind !== 'answer' && answer.detail !== '' && { detail: answer.detail }),
        outcome,
      });
      mayHaveHappened ||= outcome === 'unknown';
      const mayRepeat = (options.repeatable || !mayHaveHappened) && returnedMs < this.#deadlineMs;
      if (!mayRepeat) return { ...base, answer: undefined, outcome: mayHaveHappened ? 'unknown' : 'refused' };
      at = (at + 1) % gateways.length;
      await sleep(random.next() * Math.min(2 ** attempts, backoffMsMax));
    }
  }

  #withSession(request: Request, { session }: Worker, isEventual: boolean): Request {
    if (isEventual || session.token === undefined) return request;
    return { ...request, headers: { ...request.headers, [sessionHeader]: session.token } };
  }

  #eventOf({ client, session }: Worker, planned: Planned, exchange: Exchange): HistoryEvent {
    const { answer: _answer, ...rest } = exchange;
    const isScan = planned.operation.kind === 'scan';
    const partition = isScan ? undefined : this.#options.partitionOf?.(planned.key);
    return {
      client,
      ...planned,
      ...rest,
      ...(partition !== undefined && { partition }),
      ...(planned.consistency !== 'eventual' && { session: session.name }),
    };
  }
}
