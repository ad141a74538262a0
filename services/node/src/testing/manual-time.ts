// Time for tests that goes on only when it is told to.
import type { Time, Timer } from '../time.ts';

interface Due {
  readonly atMs: number;
  readonly run: () => void;
}

export class ManualTime implements Time {
  #elapsedMs = 0;
  #due: Due[] = [];

  nowMs(): number {
    return 1_700_000_000_000 + this.#elapsedMs;
  }

  elapsedMs(): number {
    return this.#elapsedMs;
  }

  after(ms: number, run: () => void): Timer {
    const due = { atMs: this.#elapsedMs + ms, run };
    this.#due.push(due);
    return { cancel: () => (this.#due = this.#due.filter((each) => each !== due)) };
  }

  defer(run: () => void): void {
    setImmediate(run);
  }

  get timers(): number {
    return this.#due.length;
  }

  /** Lets that much time pass, timer by timer; whatever each of them sets off has run when it resolves. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.#elapsedMs + ms;
    for (;;) {
      await settled();
      const next = this.#due.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#due = this.#due.filter((each) => each !== next);
      this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs);
      next.run();
    }
    this.#elapsedMs = untilMs;
    await settled();
  }
}

/** Resolves when what is ready now, and what follows from it without any waiting, has run. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
