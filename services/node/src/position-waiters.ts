// Those who wait until a partition has applied a position: watchers, and readers whose session was told
// of more than is applied here. Whoever is resolved, rejected or aborted leaves nothing behind.
import { limits, StateStoreError } from '@statestore/core';
import type { Time } from './time.ts';

interface Waiter {
  readonly position: bigint;
  readonly resolve: () => void;
  readonly reject: (error: StateStoreError) => void;
}

export class PositionWaiters {
  readonly #waiters = new Set<Waiter>();
  #ended: StateStoreError | undefined;

  get size(): number {
    return this.#waiters.size;
  }

  /** Resolves when a position greater than this one is applied, or the signal aborts. Throws `overloaded`. */
  async after(position: bigint, signal?: AbortSignal): Promise<void> {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#waiters.size >= limits.positionWaitersMax) {
      throw new StateStoreError('overloaded', `${limits.positionWaitersMax} reads and watches wait for a position`, {
        retryAfterMs: 1000,
      });
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { position, resolve, reject };
    this.#waiters.add(waiter);
    const abort = (): void => resolve();
    signal?.addEventListener('abort', abort);
    try {
      await promise;
    } finally {
      this.#waiters.delete(waiter);
      // A watch waits thousands of times on one signal.
      signal?.removeEventListener('abort', abort);
    }
  }

  /** As `after`; resolves after `ms` at the latest. */
  async afterOrLate(position: bigint, ms: number, time: Time): Promise<void> {
    const late = new AbortController();
    const timer = time.after(ms, () => late.abort());
    try {
      await this.after(position, late.signal);
    } finally {
      timer.cancel();
    }
  }

  /** `position` is applied. */
  wake(position: bigint): void {
    for (const waiter of this.#waiters) {
      if (waiter.position >= position) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  /** Nothing will be applied any more. The first reason stays. */
  end(reason: StateStoreError): void {
    this.#ended ??= reason;
    for (const { reject } of this.#waiters) reject(this.#ended);
    this.#waiters.clear();
  }
}
