// One request on its way to an answer: asked of the best replica, of another one at once where that one
// fails, beside it where it looks stuck, of all of them again after a pause where all failed. The first
// answer wins; what the others say is not heard any more.
//
// Exactly once is not made here: all attempts of a write carry the same stamp, and apply takes it once.
// What is made here is honesty: a refusal is passed on only where no attempt can have taken effect.
import { StateStoreError } from '@statestore/core';
import type { MaybePromise, NodeService, Place } from '@statestore/link';
import type { Health, Lane } from './health.ts';
import type { ClusterMetrics, HedgeReason } from './metrics.ts';
import type { PartitionReplicas, Replica } from './replicas.ts';
import { type RequestKind, rules } from './rules.ts';
import type { RoutingTime } from './time.ts';
import type { RoutingTiming } from './timing.ts';

export interface Request<T> {
  readonly kind: RequestKind;
  readonly lane: Lane;
  readonly replicas: PartitionReplicas;
  /** A read that waits for a position that nobody may have reached: its failure says nothing of the replica. */
  readonly patient: boolean;
  /** Asked before the others; undefined: the best one. */
  readonly first?: Replica | undefined;
  /** False: a write that must not arrive twice. */
  readonly repeatable: boolean;
  readonly timeoutMs: number;
  call(node: NodeService): MaybePromise<T>;
  /** Of a write: whether this answer says nothing of the attempts before it. */
  leavesOpen(answer: T): boolean;
  /** Whether a newer topology has it that another partition is to be asked: looked at where this one's replicas fail. */
  isMoot?(): boolean;
  /** Where the answer says that the partition is, where it says so. */
  readonly placeOf: ((answer: T) => Place) | undefined;
}

/** A request, whatever it asks for, as its carrier sees it; the carrier keeps them in a list of its own. */
export interface Waiting {
  previous: Waiting | undefined;
  next: Waiting | undefined;
  /** Looks for replicas that look stuck, and at the time. */
  tick(): void;
  /** The pause between two rounds is over. */
  resume(): void;
  /** Nothing will be asked any more. */
  end(reason: StateStoreError): void;
}

/** What carries offers: ticks them, and wakes those that pause. */
export interface OfferHost {
  readonly timing: RoutingTiming;
  readonly time: RoutingTime;
  readonly metrics: ClusterMetrics;
  /** Time of the ticker, ms: it stands still while this process does, so that our own stall hedges nothing. */
  readonly now: number;
  /** Calls `resume` after the pause, or as soon as there is news. */
  pause(offer: Waiting, ms: number): void;
  settled(offer: Waiting): void;
  /** A replica failed, or is heard of again. */
  changed(): void;
  /** A replica was overtaken; to be looked at in a moment. */
  overtaken(health: Health): void;
  /** A node does not have what the topology says it has. */
  outdated(): void;
}

interface Attempt {
  readonly replica: Replica;
  readonly startedAt: number;
}

const noReplicas: readonly Replica[] = [];
const noAttempts: readonly Attempt[] = [];

export class Offer<T> implements Waiting {
  readonly #host: OfferHost;
  readonly #request: Request<T>;
  readonly #resolve: (answer: T) => void;
  readonly #reject: (error: unknown) => void;
  readonly #deadline: number;
  readonly #startedMs: number;
  previous: Waiting | undefined = undefined;
  next: Waiting | undefined = undefined;
  /** Of this round. Nearly every request has one attempt: its lists are made with it, and as small. */
  #tried: readonly Replica[] = noReplicas;
  #inFlight: readonly Attempt[] = noAttempts;
  #first: Replica | undefined;
  #round = 0;
  #settled = false;
  /** An attempt that has ended may have taken effect. */
  #uncertain = false;
  #failure: unknown;
  /** Whether another round may end better than this one. */
  #hopeful = false;
  #slowHedge = false;

  constructor(host: OfferHost, request: Request<T>, resolve: (answer: T) => void, reject: (error: unknown) => void) {
    this.#host = host;
    this.#request = request;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#deadline = host.now + request.timeoutMs;
    this.#startedMs = host.time.elapsedMs();
  }

  start(): void {
    const { first } = this.#request;
    if (first === undefined) this.#next();
    else this.#launch(first);
  }

  resume(): void {
    if (this.#settled || this.#inFlight.length > 0) return;
    if (this.#isMoot()) return this.#settle(() => this.#reject(this.#elsewhere()));
    this.#tried = noReplicas;
    this.#hopeful = false;
    this.#next();
  }

  /** The best replica that was not tried in this round; none: waits for what is in flight, or ends the round. */
  #next(): void {
    const { replicas, lane } = this.#request;
    const replica = replicas.order(lane).find((candidate) => !this.#tried.includes(candidate));
    if (replica !== undefined) this.#launch(replica);
    else if (this.#inFlight.length === 0) this.#endRound();
  }

  #launch(replica: Replica): void {
    this.#tried = this.#tried.length === 0 ? [replica] : [...this.#tried, replica];
    this.#first ??= replica;
    const attempt: Attempt = { replica, startedAt: this.#host.now };
    const link = this.#request.replicas.member(replica)?.link;
    this.#inFlight = this.#inFlight.length === 0 ? [attempt] : [...this.#inFlight, attempt];
    let answer: MaybePromise<T>;
    try {
      if (link === undefined) {
        throw new StateStoreError('unavailable', `nothing is known of node ${replica.node}`, { retryAfterMs: 1000 });
      }
      answer = this.#request.call(link);
    } catch (error) {
      return this.#failed(attempt, error);
    }
    if (!(answer instanceof Promise)) return this.#answered(attempt, answer);
    answer.then(
      (value) => this.#answered(attempt, value),
      (error: unknown) => this.#failed(attempt, error),
    );
  }

  #answered(attempt: Attempt, answer: T): void {
    const { kind, lane } = this.#request;
    const { metrics } = this.#host;
    this.#left(attempt);
    metrics.ok[kind]++;
    if (attempt.replica.health[lane].answered(attempt.startedAt)) this.#host.changed();
    if (this.#settled) return;
    if (kind === 'write' && (this.#uncertain || this.#inFlight.length > 0) && this.#request.leavesOpen(answer)) {
      this.#uncertain = true;
      // Those still in flight may know more; another round would not.
      if (this.#inFlight.length === 0) this.#settle(() => this.#reject(this.#unknown()));
      return;
    }
    for (const { replica, startedAt } of this.#inFlight) {
      const health = replica.health[lane];
      if (startedAt >= attempt.startedAt || health.overtaken !== undefined) continue;
      health.overtaken = { askedAt: attempt.startedAt, at: this.#host.now };
      this.#host.overtaken(health);
    }
    if (attempt.replica !== this.#first) metrics.failedOver(kind, this.#host.time.elapsedMs() - this.#startedMs);
    const { placeOf, replicas } = this.#request;
    if (placeOf !== undefined) replicas.saw(placeOf(answer));
    this.#settle(() => this.#resolve(answer));
  }

  #failed(attempt: Attempt, error: unknown): void {
    const { kind, lane, repeatable } = this.#request;
    const code = error instanceof StateStoreError ? error.code : 'internal';
    const rule = rules[kind][code];
    this.#left(attempt);
    this.#host.metrics.failed(kind, code);
    const isOfLayout = kind === 'read' && code === 'moved';
    const blamed = rule.avoid && !this.#settled && !isOfLayout && !(this.#request.patient && code === 'unavailable');
    if (blamed && attempt.replica.health[lane].failed(this.#host.time.elapsedMs())) this.#host.changed();
    if (code === 'moved') this.#host.outdated();
    if (this.#settled) return;
    this.#failure = error;
    if (code === 'moved' && this.#isMoot()) return this.#settle(() => this.#reject(error));
    if (kind === 'write' && code === 'outcome_unknown') {
      this.#uncertain = true;
      if (!repeatable) return this.#settle(() => this.#reject(error));
    }
    const open = kind === 'write' && (this.#uncertain || this.#inFlight.length > 0);
    if (rule.next === 'final' && !open) return this.#settle(() => this.#reject(error));
    if (rule.next === 'again' || open) this.#hopeful = true;
    this.#next();
  }

  /** No attempt can have taken effect, and those that come need not be waited for. */
  #isMoot(): boolean {
    const open = this.#request.kind === 'write' && (this.#uncertain || this.#inFlight.length > 0);
    return !open && this.#request.isMoot?.() === true;
  }

  #elsewhere(): StateStoreError {
    const { partition } = this.#request.replicas;
    return new StateStoreError('moved', `slots of partition ${partition} are elsewhere by now`, {
      cause: this.#failure,
    });
  }

  #endRound(): void {
    const { timing, metrics } = this.#host;
    if (this.#isMoot()) return this.#settle(() => this.#reject(this.#elsewhere()));
    const pauseMs = Math.min(timing.retryMinMs * 2 ** this.#round, timing.retryMaxMs);
    if (this.#tried.length === 0) this.#hopeful = true;
    if (!this.#hopeful || this.#host.now + pauseMs >= this.#deadline) return this.#giveUp();
    this.#round++;
    metrics.rounds[this.#request.kind]++;
    this.#host.pause(this, pauseMs);
  }

  tick(): void {
    if (this.#settled) return;
    if (this.#host.now >= this.#deadline) return this.#giveUp();
    if (this.#inFlight.length === 0 || !this.#request.repeatable) return;
    if (this.#inFlight.every((attempt) => this.#isStuck(attempt))) return void this.#hedge('stuck');
    const newest = this.#inFlight.at(-1)!;
    if (this.#host.now - newest.startedAt < this.#host.timing.slowMs) return;
    this.#hedgeSlow();
  }

  /** As far as the bound for it goes: a log that is slow for everybody must not be asked everything twice. */
  #hedgeSlow(): void {
    const { slowHedges } = this.#request.replicas;
    if (!this.#slowHedge) {
      if (slowHedges[this.#slowLane] >= this.#host.timing.slowHedgesMax) return;
      this.#slowHedge = true;
      slowHedges[this.#slowLane]++;
    }
    if (!this.#hedge('slow') && this.#inFlight.length === 1) this.#releaseSlowHedge();
  }

  #releaseSlowHedge(): void {
    if (!this.#slowHedge) return;
    this.#slowHedge = false;
    this.#request.replicas.slowHedges[this.#slowLane]--;
  }

  get #slowLane(): Lane | 'patient' {
    return this.#request.patient ? 'patient' : this.#request.lane;
  }

  #isStuck({ replica, startedAt }: Attempt): boolean {
    if (startedAt <= replica.health[this.#request.lane].stuckUntil) return true;
    const member = this.#request.replicas.member(replica);
    return member !== undefined && member.suspect(this.#host.timing.suspectMs);
  }

  /** Asks another replica while the others are still at it; false where there is none that may help. */
  #hedge(reason: HedgeReason): boolean {
    const { replicas, lane, kind } = this.#request;
    const replica = replicas
      .order(lane)
      .find((candidate) => !this.#tried.includes(candidate) && replicas.mayHelp(candidate, lane));
    if (replica === undefined) return false;
    this.#host.metrics.hedges[kind][reason]++;
    this.#launch(replica);
    return true;
  }

  #left(attempt: Attempt): void {
    this.#inFlight = this.#inFlight.length === 1 ? noAttempts : this.#inFlight.filter((other) => other !== attempt);
  }

  #giveUp(): void {
    const { kind } = this.#request;
    const open = kind === 'write' && (this.#uncertain || this.#inFlight.length > 0);
    this.#settle(() => this.#reject(open ? this.#unknown() : this.#refusal()));
  }

  #unknown(): StateStoreError {
    const failure = this.#failure;
    if (failure instanceof StateStoreError && failure.code === 'outcome_unknown') return failure;
    const { partition } = this.#request.replicas;
    return new StateStoreError(
      'outcome_unknown',
      `no replica of partition ${partition} knows what became of the write`,
      {
        cause: failure,
      },
    );
  }

  #refusal(): unknown {
    const { partition } = this.#request.replicas;
    const failure = this.#failure;
    if (failure instanceof StateStoreError && failure.code !== 'outcome_unknown' && failure.code !== 'moved') {
      return failure;
    }
    if (failure !== undefined && !(failure instanceof StateStoreError)) return failure;
    return new StateStoreError('unavailable', `no replica of partition ${partition} answers`, {
      retryAfterMs: 1000,
      cause: failure,
    });
  }

  end(reason: StateStoreError): void {
    if (this.#settled) return;
    this.#failure = reason;
    this.#giveUp();
  }

  #settle(tell: () => void): void {
    this.#settled = true;
    this.#releaseSlowHedge();
    this.#host.settled(this);
    tell();
  }
}
