// What of a split's or a merge's situation is a matter of time: how long slots are fenced, how long others were waited
// for, and when an attempt that failed is due again.
import type { Fenced, Reshape } from '@statestore/core';
import { limits } from '@statestore/core';
import { Backoff } from '../cluster/pause.ts';
import type { Time } from '../time.ts';
import type { ReshapeSituation, SourcePhase, WorkPhase } from './next-step.ts';
import type { ReshapeContext } from './reshape-context.ts';
import { areBuilt, sightOf, whyNotNear } from './reshape-sight.ts';

/** What a node builds, as far as time is concerned. */
interface TimedJob {
  readonly phase: WorkPhase;
  readonly fencedPosition: bigint | undefined;
  /** What changed was taken over that long ago. */
  readonly ageMs: number;
}

export interface ClockQuestion {
  readonly context: ReshapeContext;
  readonly reshape: Reshape;
  readonly job: TimedJob;
  /** As it is, or was until the slots were handed over. */
  readonly fence: Fenced | undefined;
}

export type TimedSituation = Pick<
  ReshapeSituation,
  'source' | 'work' | 'drives' | 'othersNear' | 'othersBuilt' | 'roundDue' | 'tooEarly' | 'fencedTooLong'
>;

export class ReshapeClock {
  readonly #time: Time;
  readonly #attempts = new Backoff(limits.reshapeRetryMinMs, limits.reshapeRetryMaxMs);
  #phase: SourcePhase = 'away';
  #phaseMs: number;
  #fencedMs: number | undefined;
  #nearMs: number | undefined;
  #builtMs: number | undefined;
  #notBeforeMs = -Infinity;
  #waitsFor: string | undefined;

  constructor(time: Time) {
    this.#time = time;
    this.#phaseMs = time.elapsedMs();
  }

  get phase(): SourcePhase {
    return this.#phase;
  }

  /** Since the fence was applied here; undefined: it was not. */
  get fencedForMs(): number | undefined {
    return this.#fencedMs === undefined ? undefined : this.#time.elapsedMs() - this.#fencedMs;
  }

  /** Who is not near, and why; undefined: all are, or were waited for. */
  get waitsFor(): string | undefined {
    return this.#waitsFor;
  }

  /** Undefined: it was in it already. */
  enters(phase: SourcePhase): SourcePhase | undefined {
    if (phase === this.#phase) return undefined;
    const nowMs = this.#time.elapsedMs();
    if (phase === 'fenced') this.#fencedMs = nowMs;
    else if (phase !== 'handedOver') this.#fencedMs = undefined;
    this.#phase = phase;
    this.#phaseMs = nowMs;
    return phase;
  }

  /** The next attempt is made after a while, that grows. */
  later(): void {
    this.#notBeforeMs = this.#time.elapsedMs() + this.#attempts.nextMs();
  }

  look({ context, reshape, job, fence }: ClockQuestion): TimedSituation {
    const nowMs = this.#time.elapsedMs();
    const phaseMs = nowMs - this.#phaseMs;
    // What is complete for another fence than the present one is so for none.
    const isStale = job.fencedPosition !== undefined && fence !== undefined && fence.position !== job.fencedPosition;
    const work = isStale ? 'failed' : job.phase;
    if (work !== 'near' && work !== 'built') this.#nearMs = undefined;
    else this.#nearMs ??= nowMs;
    if (work !== 'built') this.#builtMs = undefined;
    else this.#builtMs ??= nowMs;
    const sight = sightOf(context, reshape);
    const isWaitedFor = this.#nearMs === undefined || nowMs - this.#nearMs < limits.reshapeOthersNearMs;
    const mayTakeOver = this.#phase !== 'open' && phaseMs >= sight.rank * limits.reshapeTakeOverMs;
    this.#waitsFor = whyNotNear(sight, isWaitedFor);
    const waitedMs = this.#builtMs === undefined ? 0 : nowMs - this.#builtMs;
    return {
      source: this.#phase,
      work,
      drives: sight.rank === 0 || mayTakeOver,
      othersNear: this.#waitsFor === undefined,
      othersBuilt: waitedMs >= limits.reshapeOthersBuiltMs || areBuilt(sight, fence?.position ?? 0n),
      roundDue: job.ageMs >= limits.reshapeRoundMs,
      tooEarly: nowMs < this.#notBeforeMs,
      fencedTooLong: this.#phase === 'fenced' && phaseMs >= limits.reshapeFencedMs,
    };
  }

  /** Until something is due by the clock alone. */
  nextMs({ phase, ageMs }: TimedJob): number {
    const nowMs = this.#time.elapsedMs();
    const due: number[] = [limits.reshapeLookMs, this.#notBeforeMs - nowMs];
    if (phase === 'near') due.push(limits.reshapeRoundMs - ageMs);
    if (this.#builtMs !== undefined) due.push(this.#builtMs + limits.reshapeOthersBuiltMs - nowMs);
    if (this.#fencedMs !== undefined) due.push(this.#fencedMs + limits.reshapeFencedMs - nowMs);
    return Math.max(1, Math.min(...due.filter((ms) => ms > 0)));
  }
}
