// When the proposer's next batch is to begin. A full batch costs the log what a small one does, so those whom
// the last answer released are waited for, a moment; and a log that waits for a full batch stands still
// meanwhile, so a second batch may be under way, if as many wait for it as for the first. Measured on two cores, where
// the CPU of a batch is what counts, that neither gains nor costs (bench/README.md).
import { limits } from '@statestore/core';
import type { Time, Timer } from './time.ts';

/** Of the clients last seen, how many must be back: waiting for the very last one costs more than it saves. */
const gatherShare = 0.75;

export class BatchRhythm {
  readonly #time: Time;
  readonly #onDue: () => void;
  #batches = 0;
  /** Commands and readers in batches under way. */
  #underWay = 0;
  /** Commands and readers that will probably be there soon: worth a moment's wait. */
  #expected = 0;
  #gathering: Timer | undefined;
  #gathered = false;

  /** `onDue`: called when a wait is over, so that `isDue` is worth asking again. */
  constructor(time: Time, onDue: () => void) {
    this.#time = time;
    this.#onDue = onDue;
  }

  /** Batches under way. */
  get batches(): number {
    return this.#batches;
  }

  /** Whether those who wait are to be put into a batch now. */
  isDue(waiting: number): boolean {
    if (waiting === 0 || this.#batches >= limits.proposerBatchesMax) return false;
    if (this.#batches > 0) return waiting >= Math.max(limits.overlapCommandsMin, this.#underWay);
    if (waiting >= this.#expected || this.#gathered) return true;
    this.#gathering ??= this.#time.after(limits.gatherMsMax, () => {
      this.#gathering = undefined;
      this.#gathered = true;
      this.#onDue();
    });
    return false;
  }

  began(size: number): void {
    this.#batches++;
    this.#underWay += size;
    this.end();
  }

  /** Its append has an outcome; `waiting` came meanwhile. */
  ended(size: number, waiting: number): void {
    this.#batches--;
    this.#underWay -= size;
    this.#expected = Math.floor((size + this.#underWay + waiting) * gatherShare);
  }

  /** Waits for nobody any more. */
  end(): void {
    this.#gathering?.cancel();
    this.#gathering = undefined;
    this.#gathered = false;
  }
}
