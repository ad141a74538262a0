// Whether a log in JetStream still has what its reader needs. What a stream says of itself may come from a
// server that was away, so that a bad answer counts only from a leader that a majority was heard by, and
// only when it stays bad for some time; a good one counts at once.
import type { StreamAnswer, StreamApi, StreamView } from '@statestore/cluster';
import { incarnationOf } from '@statestore/cluster';
import { limits } from '@statestore/core';
import type { Time, Timer } from '../time.ts';
import type { SubscriptionEnd } from './log.ts';

export type Finding =
  | { readonly kind: 'good'; readonly first: bigint; readonly sealed: boolean }
  /** Nothing can be said. */
  | { readonly kind: 'unclear' }
  /** So it is, where it stays so for this long. */
  | { readonly kind: 'suspect'; readonly end: SubscriptionEnd; readonly confirmMs: number }
  | { readonly kind: 'ended'; readonly end: SubscriptionEnd };

export interface Wanted {
  readonly incarnation: string;
  /** Position that the reader needs next, when the log was asked. */
  readonly next: bigint;
  /** The log was known to go this far then. */
  readonly known: bigint;
  /** The stream was there once, as this reader saw. */
  readonly wasThere: boolean;
}

export function judgeStream(answer: StreamAnswer<StreamView>, { incarnation, next, known, wasThere }: Wanted): Finding {
  if (answer.kind === 'absent') {
    // Who has never seen the stream may be asking a leader that was replaced before the stream was made.
    const confirmMs = wasThere ? limits.logRegressedConfirmMs : limits.logAbsentConfirmMs;
    return { kind: 'suspect', end: { kind: 'regressed', last: 0n, incarnation: '' }, confirmMs };
  }
  if (answer.kind !== 'answered' || !answer.value.isCurrent) return { kind: 'unclear' };
  const { first, last, metadata, sealed } = answer.value;
  const found = incarnationOf(metadata);
  const regressed: SubscriptionEnd = { kind: 'regressed', last, incarnation: found };
  const confirmMs = limits.logRegressedConfirmMs;
  if (found !== incarnation) return { kind: 'suspect', end: regressed, confirmMs };
  // A log's beginning never goes back.
  if (first > next) return { kind: 'ended', end: { kind: 'trimmed', first } };
  if (last < next - 1n || last < known) return { kind: 'suspect', end: regressed, confirmMs };
  // What was on its way to it when it was sealed may still come for a moment; nothing else ever will.
  if (sealed && next > last) return { kind: 'suspect', end: { ...regressed, sealed: true }, confirmMs };
  return { kind: 'good', first, sealed };
}

export interface CheckOptions {
  readonly api: StreamApi;
  readonly time: Time;
  readonly incarnation: string;
  /** As in Wanted. */
  readonly next: () => bigint;
  readonly known: () => bigint;
  /** The log has it, or will. `first`: the oldest that it has. */
  readonly onGood: (first: bigint) => void;
  readonly onEnd: (end: SubscriptionEnd) => void;
}

export class JetStreamCheck {
  readonly #options: CheckOptions;
  #timer: Timer | undefined;
  #asking = false;
  #askedMs = 0;
  #askAgain = false;
  #wasThere = false;
  #suspectSinceMs: number | undefined;
  #isGood = false;
  #closed = false;

  constructor(options: CheckOptions) {
    this.#options = options;
    void this.#ask();
  }

  /** Whether the log was found good when it was asked last. */
  get isGood(): boolean {
    return this.#isGood;
  }

  /** Something looks odd: asks now rather than some time later. */
  soon(): void {
    if (this.#closed || this.#askAgain) return;
    this.#askAgain = true;
    if (!this.#asking) this.#askIn(this.#askedMs + limits.logRegressedCheckMs - this.#options.time.elapsedMs());
  }

  #askIn(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.time.after(Math.max(0, ms), () => void this.#ask());
  }

  async #ask(): Promise<void> {
    if (this.#closed) return;
    this.#asking = true;
    this.#askAgain = false;
    const { api, time, incarnation, next, known } = this.#options;
    const wanted = { incarnation, next: next(), known: known(), wasThere: this.#wasThere };
    const beganMs = time.elapsedMs();
    this.#askedMs = beganMs;
    const answer = await api.info();
    this.#asking = false;
    if (this.#closed) return;
    if (answer.kind === 'answered') this.#wasThere = true;
    const finding = judgeStream(answer, wanted);
    if (finding.kind === 'ended') return this.#options.onEnd(finding.end);
    if (finding.kind === 'suspect') {
      this.#suspectSinceMs ??= beganMs;
      if (time.elapsedMs() - this.#suspectSinceMs >= finding.confirmMs) return this.#options.onEnd(finding.end);
    } else {
      this.#suspectSinceMs = undefined;
    }
    this.#isGood = finding.kind === 'good';
    if (finding.kind === 'good') this.#options.onGood(finding.first);
    // One that is sealed ends as soon as it is read.
    const quiet = finding.kind === 'good' && !finding.sealed && !this.#askAgain;
    this.#askIn(quiet ? limits.logCheckMs : limits.logRegressedCheckMs);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }
}
