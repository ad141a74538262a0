// The turns of all checkpoints that a node writes, on the thread that answers its clients: short ones, one at a time,
// and while others have work they have most of the thread. Where nobody has any, nobody is waited for.
import type { Turn } from '@statestore/checkpoint';
import { limits } from '@statestore/core';
import type { Time } from '../time.ts';

export class CheckpointTurns {
  readonly #time: Time;
  readonly #waiting: (() => void)[] = [];
  #isLooking = false;
  /** What others are to have of the thread before the next turn. */
  #owedMs = 0;
  /** When others were let run. */
  #leftMs = 0;

  constructor(time: Time) {
    this.#time = time;
  }

  /** For one part of a checkpoint. */
  part(): Turn {
    let beganMs = this.#time.elapsedMs();
    return () => {
      const tookMs = this.#time.elapsedMs() - beganMs;
      if (tookMs < limits.checkpointTurnMs) return undefined;
      return this.#next(tookMs).then(() => void (beganMs = this.#time.elapsedMs()));
    };
  }

  #next(tookMs: number): Promise<void> {
    // A part that waited for its uploads did not take the thread meanwhile.
    const countedMs = Math.min(tookMs, 2 * limits.checkpointTurnMs);
    this.#owedMs += countedMs * (1 / limits.checkpointBusyShare - 1);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#letRun();
    });
  }

  #letRun(): void {
    this.#leftMs = this.#time.elapsedMs();
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#time.defer(() => this.#look());
  }

  /** What was ready has run. */
  #look(): void {
    this.#isLooking = false;
    const othersMs = this.#time.elapsedMs() - this.#leftMs;
    this.#owedMs = othersMs < limits.checkpointIdleMs ? 0 : Math.max(0, this.#owedMs - othersMs);
    if (this.#owedMs === 0) this.#waiting.shift()?.();
    if (this.#waiting.length > 0) this.#letRun();
  }
}
