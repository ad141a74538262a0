// Delays between attempts to connect: exponential, with jitter, so that gateways that lost a node at the
// same moment do not all come back at the same moment ("equal jitter", AWS Architecture Blog, 2015).
import { limits } from '@statestore/core';

export interface BackoffOptions {
  readonly minMs?: number;
  readonly maxMs?: number;
  /** 0 ≤ random() < 1 */
  readonly random?: () => number;
}

export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #attempts = 0;

  constructor({
    minMs = limits.linkBackoffMinMs,
    maxMs = limits.linkBackoffMaxMs,
    random = Math.random,
  }: BackoffOptions = {}) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /** How long to wait now, ms: between half of and the whole of min × 2^attempts, at most max. */
  next(): number {
    const whole = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(this.#attempts++, 30));
    return whole / 2 + (whole / 2) * this.#random();
  }

  /** The attempt succeeded: begin with the smallest delay again. */
  reset(): void {
    this.#attempts = 0;
  }
}
