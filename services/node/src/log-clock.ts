// What time readers take it to be. Of a log that only this process appends to: the wall clock, which stamps
// its batches too. Of one that many append to: the log's own, which its server's stamps tell, carried on
// by a clock that is never set; so a machine whose wall clock is wrong neither hides entries before their
// time nor shows them after it.
import { limits } from '@statestore/core';
import type { Time } from './time.ts';

export class LogClock {
  readonly #time: Time;
  readonly #ofWall: boolean;
  /**
   * How far the log's time is ahead of `elapsedMs`, at least: a batch arrives after its stamp was made. The
   * greatest of this window and of the one before, since the two clocks need not run equally fast.
   */
  #aheadMs: number;
  #earlierMs = -Infinity;
  #windowEndsMs: number;
  #newestMs = 0;
  /** Whether a batch has told the time since the log was opened. Before that, time may have passed unseen. */
  told = false;
  readonly #whenTold = Promise.withResolvers<void>();
  /** Resolves when it is. */
  readonly whenTold = this.#whenTold.promise;

  /** `clockNanos`: of the state that was found. */
  constructor(time: Time, isExclusive: boolean, clockNanos: bigint) {
    this.#time = time;
    this.#ofWall = isExclusive;
    this.#windowEndsMs = time.elapsedMs() + limits.logClockWindowMs;
    this.#aheadMs = this.#ahead(clockNanos);
    if (isExclusive) this.#tell();
  }

  /** The state's clock stands here now; `isNew`: it was made just now, as far as anybody can tell. */
  saw(clockNanos: bigint, isNew: boolean): void {
    if (this.#ofWall) return;
    const elapsedMs = this.#time.elapsedMs();
    const aheadMs = this.#ahead(clockNanos);
    if (elapsedMs >= this.#windowEndsMs) {
      this.#earlierMs = this.#aheadMs;
      this.#aheadMs = aheadMs;
      this.#windowEndsMs = elapsedMs + limits.logClockWindowMs;
    } else this.#aheadMs = Math.max(this.#aheadMs, aheadMs);
    if (isNew && !this.told) this.#tell();
  }

  #tell(): void {
    this.told = true;
    this.#whenTold.resolve();
  }

  /** Milliseconds since 1970; never less than before. */
  nowMs(): number {
    if (this.#ofWall) return this.#time.nowMs();
    const nowMs = Math.floor(Math.max(this.#aheadMs, this.#earlierMs) + this.#time.elapsedMs());
    this.#newestMs = Math.max(this.#newestMs, nowMs);
    return this.#newestMs;
  }

  #ahead(clockNanos: bigint): number {
    return Number(clockNanos / 1_000_000n) - this.#time.elapsedMs();
  }
}
