// What one replica's answers say of it, apart for the two ways that a request can take: a replica that cannot
// reach its log fails every write and still answers reads, which must not speak for it.
import type { RoutingTiming } from './timing.ts';

/** `log`: writes and strong reads, which wait for the log. `local`: the other reads. */
export const lanes = ['log', 'local'] as const;
export type Lane = (typeof lanes)[number];

export class Health {
  readonly #timing: RoutingTiming;
  #untilMs = 0;
  #nextMs: number;
  /**
   * Another replica, asked at tick `askedAt`, answered at tick `at` what this one was asked before and had not
   * answered.
   */
  overtaken: { readonly askedAt: number; readonly at: number } | undefined;
  /** Whatever was asked up to this tick is taken for stuck. */
  stuckUntil = -1;

  constructor(timing: RoutingTiming) {
    this.#timing = timing;
    this.#nextMs = timing.penaltyMinMs;
  }

  /** When it is no longer avoided; past or 0: it is not. */
  get avoidedUntilMs(): number {
    return this.#untilMs;
  }

  avoided(nowMs: number): boolean {
    return nowMs < this.#untilMs;
  }

  /**
   * It failed: it is avoided for a while, longer each time. Many requests that fail at the same moment are one
   * failure. Returns whether this one counted.
   */
  failed(nowMs: number): boolean {
    this.overtaken = undefined;
    if (this.avoided(nowMs)) return false;
    this.#untilMs = nowMs + this.#nextMs;
    this.#nextMs = Math.min(this.#nextMs * 2, this.#timing.penaltyMaxMs);
    return true;
  }

  /** It let everything wait that it was asked up to tick `askedAt`: more of that would wait as well. */
  stuck(nowMs: number, askedAt: number): void {
    this.overtaken = undefined;
    this.stuckUntil = Math.max(this.stuckUntil, askedAt);
    this.#untilMs = nowMs + this.#timing.penaltyMaxMs;
  }

  /** It answered what it was asked at tick `askedAt`. Returns whether it had been avoided, and is no longer. */
  answered(askedAt: number): boolean {
    this.overtaken = undefined;
    // An answer that came too late for anybody does not speak for it.
    return askedAt > this.stuckUntil && this.lift();
  }

  /** There is news of it. Returns whether it had been avoided. */
  lift(): boolean {
    this.overtaken = undefined;
    if (this.#untilMs === 0) return false;
    this.#untilMs = 0;
    this.#nextMs = this.#timing.penaltyMinMs;
    return true;
  }
}
