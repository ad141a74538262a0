// When a change of the number of partitions will be done, from how fast it went lately. Slots are what counts: each stands for
// about as many entries, whichever partition it goes from and to.

/** Younger ones say what the load is now; older ones make it steady. */
const windowMs = 120_000;
/** Before that a speed says little. */
const sureAfterMs = 3000;

interface Sample {
  readonly atMs: number;
  readonly slotsLeft: number;
}

export class ResizePace {
  #samples: Sample[] = [];

  /** `nowMs`: of a clock that only goes on. Undefined: nothing got done for as long as it was watched. */
  remainingMs(slotsLeft: number, nowMs: number): number | undefined {
    const last = this.#samples.at(-1);
    // Another wish: what was measured is of another way.
    if (last !== undefined && slotsLeft > last.slotsLeft + 0.5) this.#samples = [];
    this.#samples.push({ atMs: nowMs, slotsLeft });
    this.#samples = this.#samples.filter(({ atMs }) => nowMs - atMs <= windowMs);
    const first = this.#samples[0]!;
    const [ms, slots] = [nowMs - first.atMs, first.slotsLeft - slotsLeft];
    if (ms < sureAfterMs || slots <= 0) return undefined;
    return (slotsLeft / slots) * ms;
  }
}
