// How the state's clock stood when, by a clock that is never set: so that what deduplication remembers is
// forgotten only after its window has really passed, however far the log's clock jumped meanwhile. It knows
// of nothing before this replica was opened: a restart remembers for a window more, and never less.
import { limits } from '@statestore/core';
import type { Time } from './time.ts';

export class SeenClock {
  readonly #time: Time;
  /** Ascending in both; of those that are a whole window old, only the newest. */
  readonly #samples: { readonly elapsedMs: number; readonly clockMs: number }[] = [];

  constructor(time: Time) {
    this.#time = time;
  }

  /** The state's clock stands here now. To be called often; keeps one in each step. */
  saw(clockNanos: bigint): void {
    const elapsedMs = this.#time.elapsedMs();
    const newest = this.#samples.at(-1);
    if (newest !== undefined && elapsedMs - newest.elapsedMs < limits.seenClockStepMs) return;
    this.#samples.push({ elapsedMs, clockMs: Number(clockNanos / 1_000_000n) });
    while (this.#isOld(this.#samples[1], elapsedMs)) this.#samples.shift();
  }

  /**
   * What was judged while the state's clock stood before this was judged a whole window ago, or earlier. What was
   * judged at this very time may be newer: after a jump ahead the clock stands still until true time has come. 0: nothing.
   */
  get longAgoMs(): number {
    const elapsedMs = this.#time.elapsedMs();
    return this.#samples.findLast((sample) => this.#isOld(sample, elapsedMs))?.clockMs ?? 0;
  }

  get samples(): number {
    return this.#samples.length;
  }

  #isOld(sample: { readonly elapsedMs: number } | undefined, elapsedMs: number): boolean {
    return sample !== undefined && elapsedMs - sample.elapsedMs >= limits.deduplicationWindowMs;
  }
}
