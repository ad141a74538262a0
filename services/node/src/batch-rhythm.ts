// When the proposer's next batch is to begin: one at a time, since a full batch costs the log what a small one does; and
// those whom the last answer released are waited for, a moment. A second one under way gained nothing on two cores: it
// makes two smaller ones out of one (bench/README.md).
import { limits } from '@statestore/core';
import type { Time, Timer } from './time.ts';

/** Of the clients last seen, how many must be back: waiting for the very last one costs more than it saves. */
const gatherShare = 0.75;

export class BatchRhythm {
  readonly #time: Time;
  readonly #onDue: () => void;
  #underWay = false;
  /** Commands and readers that will probably be there soon: worth a moment's wait. */
  #expected = 0;
  #gathering: Timer | undefined;
  #gathered = false;

  /** `onDue`: called when a wait is over, so that `isDue` is worth asking again. */
  constructor(time: Time, onDue: () => void) {
    this.#time = time;
    this.#onDue = onDue;
  }

  /** Whether a batch is under way. */
  get underWay(): boolean {
    return this.#underWay;
  }

  /** Whether those who wait are to be put into a batch now. */
  isDue(waiting: number): boolean {
    if (waiting === 0 || this.#underWay) return false;
    if (waiting >= this.#expected || this.#gathered) return true;
    this.#gathering ??= this.#time.after(limits.gatherMsMax, () => {
      this.#gathering = undefined;
      this.#gathered = true;
      this.#onDue();
    });
    return false;
  }

  began(): void {
    this.#underWay = true;
    this.#gathering?.cancel();
    this.#gathering = undefined;
    this.#gathered = false;
  }

  /** The append of a batch of `size` commands and readers has an outcome; `waiting` came meanwhile. */
  ended(size: number, waiting: number): void {
    this.#underWay = false;
    this.#expected = Math.floor((size + waiting) * gatherShare);
  }
}
