// Readers that wait together for a batch to be applied here whose append began after they came: then
// everything acknowledged before they came is applied. The proposer gives them that batch; a write batch
// does as well as one of its own. However many they are, they are one promise.
import type { StateStoreError } from '@statestore/core';

export class Barrier {
  /** Of the reader that came first: those that join it later wait no longer. */
  readonly deadlineMs: number;
  readonly passed: Promise<void>;
  readonly pass: () => void;
  readonly fail: (error: StateStoreError) => void;
  #readers = 0;

  constructor(deadlineMs: number) {
    this.deadlineMs = deadlineMs;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.passed = promise;
    this.pass = resolve;
    this.fail = reject;
  }

  get readers(): number {
    return this.#readers;
  }

  join(): Promise<void> {
    this.#readers++;
    return this.passed;
  }

  /** These readers share the fate of `later`, which begins after they came as well. */
  joinTo(later: Barrier): void {
    later.#readers += this.#readers;
    later.passed.then(this.pass, this.fail);
  }
}
