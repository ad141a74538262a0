// Time that stands still until a test moves it.
import type { RoutingTime, RoutingTimer } from '../time.ts';

interface Event {
  readonly atMs: number;
  readonly number: number;
  readonly run: () => void;
}

export class ManualTime implements RoutingTime {
  readonly #events = new Set<Event>();
  #nowMs = 1000;
  #made = 0;

  elapsedMs(): number {
    return this.#nowMs;
  }

  after(ms: number, run: () => void): RoutingTimer {
    const event = { atMs: this.#nowMs + ms, number: this.#made++, run };
    this.#events.add(event);
    return { cancel: () => void this.#events.delete(event) };
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#events.size;
  }

  /** Runs what is due within that time, each after what the one before it led to. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await settle();
      const due = [...this.#events].filter(({ atMs }) => atMs <= untilMs);
      const next = due.toSorted((a, b) => a.atMs - b.atMs || a.number - b.number)[0];
      if (next === undefined) break;
      this.#events.delete(next);
      this.#nowMs = next.atMs;
      next.run();
    }
    this.#nowMs = untilMs;
    await settle();
  }
}

/** Lets every promise have its way. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
