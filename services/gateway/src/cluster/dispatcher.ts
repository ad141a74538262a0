// Carries all requests that wait for an answer: ticks them, lets those pause whose replicas all failed, and
// decides when a replica that was overtaken is stuck. The ticker runs only while there is something to watch.
import type { StateStoreError } from '@statestore/core';
import type { Health } from './health.ts';
import type { ClusterMetrics } from './metrics.ts';
import { Offer, type OfferHost, type Request, type Waiting } from './offer.ts';
import type { RoutingTime, RoutingTimer } from './time.ts';
import type { RoutingTiming } from './timing.ts';

export interface DispatcherOptions {
  readonly timing: RoutingTiming;
  readonly time: RoutingTime;
  readonly metrics: ClusterMetrics;
  /** At each tick, before requests look. Returns whether ticks are wanted although no request waits. */
  readonly onTick: () => boolean;
  readonly onChanged: () => void;
  readonly onOutdated: () => void;
}

export class Dispatcher implements OfferHost {
  readonly timing: RoutingTiming;
  readonly time: RoutingTime;
  readonly metrics: ClusterMetrics;
  now = 0;
  readonly #options: DispatcherOptions;
  /** All that wait, the oldest first: a list that costs a request nothing but two links. */
  #first: Waiting | undefined;
  #last: Waiting | undefined;
  #waiting = 0;
  readonly #paused = new Map<Waiting, RoutingTimer>();
  readonly #overtaken = new Set<Health>();
  #ticker: RoutingTimer | undefined;
  #closed: StateStoreError | undefined;

  constructor(options: DispatcherOptions) {
    this.timing = options.timing;
    this.time = options.time;
    this.metrics = options.metrics;
    this.#options = options;
  }

  /** Requests that wait for their answer. */
  get waiting(): number {
    return this.#waiting;
  }

  run<T>(request: Request<T>): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    return new Promise((resolve, reject) => {
      const offer = new Offer(this, request, resolve, reject);
      this.#enlist(offer);
      this.needTicks();
      offer.start();
    });
  }

  /** Something is to be watched: `onTick` says for how long. */
  needTicks(): void {
    if (this.#closed === undefined) this.#ticker ??= this.time.after(this.timing.tickMs, this.#tick);
  }

  readonly #tick = (): void => {
    this.#ticker = undefined;
    this.now += this.timing.tickMs;
    const more = this.#options.onTick();
    this.#judgeOvertaken();
    // Where the next one is settled by what this one does, the rest is looked at with the next tick.
    for (let offer = this.#first, next = offer?.next; offer !== undefined; offer = next) {
      ({ next } = offer);
      offer.tick();
    }
    if (more || this.#waiting > 0 || this.#overtaken.size > 0) this.needTicks();
  };

  #judgeOvertaken(): void {
    for (const health of this.#overtaken) {
      const { overtaken } = health;
      if (overtaken !== undefined && this.now - overtaken.at < this.timing.overtakenMs) continue;
      this.#overtaken.delete(health);
      // It has answered since.
      if (overtaken === undefined) continue;
      health.stuck(this.time.elapsedMs(), overtaken.askedAt);
      this.changed();
    }
  }

  overtaken(health: Health): void {
    this.#overtaken.add(health);
  }

  #enlist(offer: Waiting): void {
    offer.previous = this.#last;
    if (this.#last === undefined) this.#first = offer;
    else this.#last.next = offer;
    this.#last = offer;
    this.#waiting++;
  }

  settled(offer: Waiting): void {
    const { previous, next } = offer;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    // One that a late answer holds must not hold all those that came after it.
    offer.previous = undefined;
    offer.next = undefined;
    this.#waiting--;
    if (this.#paused.size === 0) return;
    this.#paused.get(offer)?.cancel();
    this.#paused.delete(offer);
  }

  pause(offer: Waiting, ms: number): void {
    this.#paused.set(
      offer,
      this.time.after(ms, () => {
        this.#paused.delete(offer);
        offer.resume();
      }),
    );
  }

  /** There is news that may help those that pause. */
  resumeAll(): void {
    const paused = [...this.#paused];
    this.#paused.clear();
    for (const [offer, timer] of paused) {
      timer.cancel();
      offer.resume();
    }
  }

  changed(): void {
    this.#options.onChanged();
  }

  outdated(): void {
    this.#options.onOutdated();
  }

  /** Ends every request: nothing comes after it. */
  close(reason: StateStoreError): void {
    this.#closed ??= reason;
    this.#ticker?.cancel();
    for (let offer = this.#first; offer !== undefined; offer = this.#first) offer.end(reason);
    this.#overtaken.clear();
  }
}
