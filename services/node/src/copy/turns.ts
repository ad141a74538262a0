// Long work on the thread that answers, in turns: others are served between two of them.
import { limits } from '@statestore/core';
import type { Time } from '../time.ts';

export class Turns {
  readonly #time: Time;
  #beganMs: number;

  constructor(time: Time) {
    this.#time = time;
    this.#beganMs = time.elapsedMs();
  }

  /** Whether to let others run now. */
  get over(): boolean {
    return this.#time.elapsedMs() - this.#beganMs >= limits.copyTurnMs;
  }

  /** Resolves when what is ready now has run. */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => this.#time.defer(resolve));
    this.#beganMs = this.#time.elapsedMs();
  }
}
