// Carries out operations of clients until their outcome is known, and writes down what was seen.
import { setTimeout as sleep } from 'node:timers/promises';
import type { HistoryEvent, HistoryFile } from '../../history/history.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { Answer, HttpClient, Request } from './http-client.ts';

export type Definite = Extract<Answer, { readonly kind: 'answer' }>;

/** What an answer means for the history; undefined: no such answer should come, the run fails. */
export type Meaning = (answer: Definite) => Pick<HistoryEvent, 'outcome' | 'result' | 'revision'> | undefined;

export type Step = Pick<HistoryEvent, 'client' | 'use' | 'key' | 'operation'> & {
  readonly request: Request;
  readonly meaning: Meaning;
  /** True: the request may be sent again as it is, since it takes effect once. */
  readonly repeatable: boolean;
};

export interface RecorderCounts {
  attempts: number;
  unknownAttempts: number;
  refusedAttempts: number;
}

const backoffMsMax = 100;

export class Recorder {
  readonly counts: RecorderCounts = { attempts: 0, unknownAttempts: 0, refusedAttempts: 0 };
  readonly #http: HttpClient;
  readonly #history: HistoryFile;
  readonly #random: SeededRandom;
  /** When operations are given up though they could be repeated. */
  #deadlineMs = Infinity;

  constructor(http: HttpClient, history: HistoryFile, random: SeededRandom) {
    this.#http = http;
    this.#history = history;
    this.#random = random;
  }

  giveUpAfter(ms: number): void {
    this.#deadlineMs = performance.now() + ms;
  }

  /** As `carryOut`, without writing it down. */
  look(step: Step): Promise<HistoryEvent> {
    return this.#outcomeOf(step);
  }

  /** Resolves with the event; its outcome is `unknown` where nobody will ever tell. */
  async carryOut(step: Step): Promise<HistoryEvent> {
    const event = await this.#outcomeOf(step);
    this.#history.add(event);
    return event;
  }

  async #outcomeOf({ request, meaning, repeatable, ...step }: Step): Promise<HistoryEvent> {
    const invokedMs = performance.now();
    // Once an attempt may have had an effect, a refusal of a later one says nothing of the first.
    let mayHaveHappened = false;
    for (let attempts = 1; ; attempts++) {
      const answer = await this.#http.request(request);
      this.counts.attempts++;
      const returnedMs = performance.now();
      const event = { ...step, invokedMs, returnedMs, attempts };
      if (answer.kind === 'answer') {
        const meant = meaning(answer);
        if (meant !== undefined) return { ...event, ...meant };
        const shown = `${answer.status} ${answer.body.slice(0, 300)}`;
        throw new Error(`${request.method} ${request.path} was answered ${shown}, which nothing here explains`);
      }
      this.counts[answer.kind === 'unknown' ? 'unknownAttempts' : 'refusedAttempts']++;
      mayHaveHappened ||= answer.kind === 'unknown';
      const mayRepeat = (repeatable || !mayHaveHappened) && returnedMs < this.#deadlineMs;
      if (!mayRepeat) return { ...event, outcome: mayHaveHappened ? 'unknown' : 'refused' };
      await sleep(this.#random.next() * Math.min(2 ** attempts, backoffMsMax));
    }
  }
}
