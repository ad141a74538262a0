// Slots that move while requests are under way: whoever is told `moved` waits here until a newer topology says
// whose they are, or until it is time to ask again (a hand-over that was given up leaves the topology as it is).
// The wait is bounded; `moved` is only ever said where nothing was done, so that its end is an honest refusal.
import { limits, StateStoreError } from '@statestore/core';
import type { MaybePromise } from '@statestore/link';
import { Counter, Histogram, type Registry } from 'prom-client';
import type { Layout, Routing } from './routing.ts';

export function isMoved(error: unknown): boolean {
  return error instanceof StateStoreError && error.code === 'moved';
}

export class Moves {
  readonly #routing: Routing;
  readonly #waitMs: number;
  /** Requests, or parts of them, that were sent again. */
  #again = 0;
  #waited: Histogram | undefined;

  /** `waitMs`: over all that one request waits. */
  constructor(routing: Routing, waitMs: number = limits.gatewayMovedWaitMs) {
    this.#routing = routing;
    this.#waitMs = waitMs;
  }

  begin(): Patience {
    return new Patience(this.#routing, this.#waitMs, {
      sentAgain: () => void this.#again++,
      waited: (ms) => this.#waited?.observe(ms / 1000),
    });
  }

  /** Runs `attempt` by the present layout, and by newer ones as long as it rejects with `moved`. */
  async through<T>(attempt: (layout: Layout) => MaybePromise<T>, patience = this.begin()): Promise<T> {
    for (;;) {
      const { layout } = this.#routing;
      try {
        const result = await attempt(layout);
        patience.over();
        return result;
      } catch (error) {
        if (!isMoved(error)) throw error;
        await patience.after(layout.epoch, error);
      }
    }
  }

  export(registry: Registry): void {
    const again = (): number => this.#again;
    new Counter({
      name: 'state_gateway_moved_total',
      help: 'Requests, or parts of them, that were sent again since their slots were moving',
      registers: [registry],
      collect() {
        this.reset();
        this.inc(again());
      },
    });
    this.#waited = new Histogram({
      name: 'state_gateway_moved_duration_seconds',
      help: 'Time to the answer of requests whose slots moved meanwhile, from when that was found',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10],
      registers: [registry],
    });
  }
}

interface Told {
  readonly sentAgain: () => void;
  readonly waited: (ms: number) => void;
}

/** Of one request. */
export class Patience {
  readonly #routing: Routing;
  readonly #waitMs: number;
  readonly #told: Told;
  #sinceMs: number | undefined;
  #waits = 0;

  constructor(routing: Routing, waitMs: number, told: Told) {
    this.#routing = routing;
    this.#waitMs = waitMs;
    this.#told = told;
  }

  /**
   * Resolves when it is time to ask again, after `moved` was the answer to what was sent by the topology of `epoch`:
   * at once where there is a newer one. Rejects with `unavailable` where it has taken too long.
   */
  async after(epoch: bigint, cause?: unknown): Promise<void> {
    const nowMs = performance.now();
    this.#sinceMs ??= nowMs;
    const leftMs = this.#sinceMs + this.#waitMs - nowMs;
    if (leftMs <= 0) {
      throw new StateStoreError('unavailable', 'the slots of the request are on their way to another partition', {
        retryAfterMs: limits.gatewayMovedRetryMaxMs,
        cause,
      });
    }
    this.#told.sentAgain();
    const { gatewayMovedRetryMinMs: minMs, gatewayMovedRetryMaxMs: maxMs } = limits;
    if (this.#routing.topology.epoch === epoch) {
      this.#routing.refresh();
      // Those that wait for one fence need not all ask again at the same moment.
      const pauseMs = Math.min(minMs * 2 ** this.#waits++, maxMs) * (0.75 + Math.random() / 2);
      await this.#routing.later(epoch, Math.min(pauseMs, leftMs));
    }
  }

  /** The request is answered. */
  over(): void {
    if (this.#sinceMs !== undefined) this.#told.waited(performance.now() - this.#sinceMs);
    this.#sinceMs = undefined;
  }
}
