// The only source of time of the routing in a cluster, so that a simulation can drive it. A wall clock is
// not in it: nothing here is decided by one.

export interface RoutingTimer {
  cancel(): void;
}

export interface RoutingTime {
  /** Milliseconds since some moment; never set back or ahead. */
  elapsedMs(): number;
  /** Calls once, after that many milliseconds. */
  after(ms: number, run: () => void): RoutingTimer;
}

export const systemTime: RoutingTime = {
  elapsedMs: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};
