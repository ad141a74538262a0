// The node's only source of time: the clock and timers that a partition is given. The simulation gives
// it others.

export interface Timer {
  cancel(): void;
}

export interface Time {
  /** Milliseconds since 1970. */
  nowMs(): number;
  /** Milliseconds since some moment; never set back or ahead, as the clock may be. For deadlines. */
  elapsedMs(): number;
  /** Calls once, after that many milliseconds. */
  after(ms: number, run: () => void): Timer;
  /** Calls once, after what is ready now: so that what arrives in one turn travels together. */
  defer(run: () => void): void;
}

export const systemTime: Time = {
  nowMs: () => Date.now(),
  elapsedMs: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  defer: (run) => void setImmediate(run),
};
