// When the log stored the last records that a subscriber took, as it was told then. A log that lost its end and
// grew again has other records at the same positions, and none of them was stored in the same nanosecond.
import { limits } from '@statestore/core';
import type { LogRecord } from './log.ts';

export class TakenTimes {
  readonly #nanos = new BigInt64Array(limits.logTakenTimesMax);
  /** Half-open. */
  #from: bigint;
  #to: bigint;

  /** Positions are taken one after the other, from this one on. */
  constructor(from: bigint) {
    this.#from = from;
    this.#to = from;
  }

  took({ position, timestampNanos }: LogRecord): void {
    const capacity = BigInt(this.#nanos.length);
    this.#nanos[Number(position % capacity)] = timestampNanos;
    this.#to = position + 1n;
    if (this.#to - this.#from > capacity) this.#from = this.#to - capacity;
  }

  /** Nanoseconds since 1970; undefined where it was not taken, or too long ago. */
  at(position: bigint): bigint | undefined {
    if (position < this.#from || position >= this.#to) return undefined;
    return this.#nanos[Number(position % BigInt(this.#nanos.length))];
  }

  /** Whether this is another record than the one that was taken at its position. */
  contradicts({ position, timestampNanos }: LogRecord): boolean {
    const taken = this.at(position);
    return taken !== undefined && taken !== timestampNanos;
  }
}
