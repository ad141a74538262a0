// Gives readers of a replica that starts the time of its log. Its state tells only when the last batch was stored; how
// long it was away it cannot know, and until the log speaks again it would show entries whose time has passed. So
// where anything may expire, the log is made to speak: by whichever replica of the partition comes first.
//
// Only attempted: a log that takes nothing now keeps no replica from serving what needs no log.
import { limits } from '@statestore/core';
import type { LogClock } from './log-clock.ts';
import type { Time, Timer } from './time.ts';

export interface ClockAskerOptions {
  readonly time: Time;
  readonly clock: LogClock;
  /** Whether anything is there whose time may come. */
  readonly mayExpire: () => boolean;
  /** Whether this replica is to ask at once; the others give it a moment, which differs between them. */
  readonly isFirst: () => boolean;
  /** Which moment: from 0 up to 1. */
  readonly share: number;
  /** Resolves when a new batch of the log is applied. */
  readonly barrier: () => Promise<void>;
}

export class ClockAsker {
  readonly #options: ClockAskerOptions;
  readonly #over = Promise.withResolvers<void>();
  #closed = false;
  #timer: Timer | undefined;

  constructor(options: ClockAskerOptions) {
    this.#options = options;
    void options.clock.whenTold.then(() => this.close());
  }

  /** Resolves when the time is known, or is not known for long enough: then it goes on to ask. Never rejects. */
  async ask(): Promise<void> {
    const { time, clock, mayExpire, isFirst, share } = this.#options;
    if (this.#closed || clock.told || !mayExpire()) return;
    if (isFirst()) void this.#askNow();
    else this.#askIn(limits.clockAskMs * (0.5 + share / 2));
    const enough = time.after(limits.clockWaitMs, () => this.#over.resolve());
    await this.#over.promise;
    enough.cancel();
  }

  async #askNow(): Promise<void> {
    await this.#options.barrier().catch(() => undefined);
    this.#askIn(limits.clockAskAgainMs);
  }

  #askIn(ms: number): void {
    if (this.#closed) return;
    this.#timer = this.#options.time.after(ms, () => void this.#askNow());
  }

  /** Idempotent. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#over.resolve();
  }
}
