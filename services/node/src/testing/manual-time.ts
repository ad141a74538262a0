// A time that stands still until a test moves it: timers run in their order, and what they wake has run
// before the next one.
import type { Time, Timer } from '../time.ts';

interface Due {
  readonly atMs: number;
  readonly run: () => void;
}

export class ManualTime implements Time {
  #elapsedMs = 0;
  #due: Due[] = [];

  nowMs(): number {
    return this.#elapsedMs;
  }

  elapsedMs(): number {
    return this.#elapsedMs;
  }

  after(ms: number, run: () => void): Timer {
    const due = { atMs: this.#elapsedMs + ms, run };
    this.#due.push(due);
    return { cancel: () => void (this.#due = this.#due.filter((other) => other !== due)) };
  }

  defer(run: () => void): void {
    setImmediate(run);
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#due.length;
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#elapsedMs + ms;
    for (;;) {
      await settled();
      const next = this.#due.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#due = this.#due.filter((other) => other !== next);
      this.#elapsedMs = next.atMs;
      next.run();
    }
    this.#elapsedMs = untilMs;
    await settled();
  }
}

/** What is ready, and what follows from it without any waiting, has run. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
