// What passes for time here: a clock that only goes on, and timers. A simulation gives its own; the node's
// Time is one as well. No wall clock: those of two machines are never compared.

export interface Clock {
  /** Milliseconds since some moment. */
  elapsedMs(): number;
  /** Calls once, after that many milliseconds. */
  after(ms: number, run: () => void): { cancel(): void };
}

export const systemClock: Clock = {
  elapsedMs: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};
