// What a node itself builds for a split or stages for a merge: the child beside its replicas, or the source's entries in
// the target's engine. It knows how near it is, and for which fence it is complete; what is done when is next-step.ts.
import type { Fenced } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { Replica } from '../cluster/replica.ts';
import type { Beside } from '../cluster/replica-store.ts';
import type { Time } from '../time.ts';
import type { WorkPhase } from './next-step.ts';
import type {
  BuiltChild,
  MergeWork,
  ReshapeSource,
  ReshapeTarget,
  ReshapeWork,
  RoundDone,
  SplitWork,
  StagedMerge,
} from './reshape-work.ts';

export abstract class ReshapeJob<Work extends ReshapeWork, Result> {
  readonly #time: Time;
  protected work: Work | undefined;
  /** Rounds since it was begun. */
  #rounds = 0;
  #isNear = false;
  #lastMs = -Infinity;
  #done: RoundDone | undefined;
  #failure: string | undefined;
  #result: { readonly result: Result; readonly fencedPosition: bigint } | undefined;

  constructor(time: Time) {
    this.#time = time;
  }

  get phase(): WorkPhase {
    if (this.#failure !== undefined) return 'failed';
    if (this.#result !== undefined) return 'built';
    if (this.work === undefined) return 'none';
    return this.#isNear ? 'near' : 'building';
  }

  /** Why it failed; empty unless it did. */
  get failure(): string {
    return this.#failure ?? '';
  }

  get done(): RoundDone | undefined {
    return this.#done;
  }

  /** What changed was taken over that long ago. */
  get ageMs(): number {
    return this.#time.elapsedMs() - this.#lastMs;
  }

  get result(): Result | undefined {
    return this.#result?.result;
  }

  /** Of the fence that it is complete for. */
  get fencedPosition(): bigint | undefined {
    return this.#result?.fencedPosition;
  }

  async begin(signal: AbortSignal): Promise<void> {
    await this.discard();
    this.work = await this.open(signal);
  }

  protected abstract open(signal: AbortSignal): Promise<Work>;

  /** Takes over what changed. */
  async round(signal: AbortSignal): Promise<void> {
    const beganMs = this.#time.elapsedMs();
    this.#done = await this.work!.round(signal, (done) => (this.#done = done));
    this.#lastMs = this.#time.elapsedMs();
    this.#rounds++;
    const isSmall =
      this.#done.records <= limits.reshapeNearRecords || this.#lastMs - beganMs <= limits.reshapeNearRoundMs;
    // Of the first one nothing follows: it only tells how much was written while everything was read.
    this.#isNear ||= this.#rounds > 1 && (isSmall || this.#rounds >= limits.reshapeNearRounds);
  }

  async finish(fenced: Fenced, signal: AbortSignal): Promise<void> {
    const result = await this.complete(fenced, signal);
    this.#result = { result, fencedPosition: fenced.position };
  }

  protected abstract complete(fenced: Fenced, signal: AbortSignal): Promise<Result>;

  /** It was complete before, in an earlier process. */
  protected found(result: Result, fencedPosition: bigint): void {
    this.#result = { result, fencedPosition };
  }

  /** What it is complete with is not all any more: it is to be finished again. */
  reopen(): void {
    this.#result = undefined;
  }

  /** Never rejects: what cannot be removed now is when it is begun anew. */
  async fail(why: string): Promise<void> {
    let more = '';
    try {
      await this.discard();
    } catch (error) {
      more = `, and what was built cannot be removed: ${String(error)}`;
    }
    this.#failure = why + more;
  }

  /** What was built is of no use. */
  async discard(): Promise<void> {
    const { work } = this;
    this.work = undefined;
    this.#rounds = 0;
    this.#isNear = false;
    this.#lastMs = -Infinity;
    this.#done = undefined;
    this.#failure = undefined;
    this.#result = undefined;
    await work?.close();
    await this.abandon();
  }

  protected abstract abandon(): Promise<void>;

  /** Frees everything. What is complete stays. Idempotent. */
  async close(): Promise<void> {
    const { work } = this;
    this.work = undefined;
    await work?.close();
    await this.abandon();
  }
}

export interface SplitJobOptions {
  readonly time: Time;
  /** UUID of the reshape. */
  readonly id: string;
  /** UUID of the log that the child is to have. */
  readonly log: string;
  /** Whose folder the child is built in. */
  readonly child: Replica;
  readonly openWork: (beside: Beside, signal: AbortSignal) => Promise<SplitWork>;
  /** What was complete is not opened any more. */
  readonly onDiscarded: () => void;
}

export class SplitJob extends ReshapeJob<SplitWork, BuiltChild> {
  readonly #options: SplitJobOptions;
  #beside: Beside | undefined;
  #giveBack: (() => void) | undefined;

  constructor(options: SplitJobOptions) {
    super(options.time);
    this.#options = options;
  }

  protected async open(signal: AbortSignal): Promise<SplitWork> {
    const { child, openWork } = this.#options;
    this.#giveBack = await child.claim(signal);
    this.#beside = await child.store.beginBeside();
    return openWork(this.#beside, signal);
  }

  protected async complete(fenced: Fenced, signal: AbortSignal): Promise<BuiltChild> {
    const built = await this.work!.finish(fenced, signal);
    const { incarnation, position, chain } = built;
    await this.work!.close();
    this.work = undefined;
    signal.throwIfAborted();
    const { id: reshape, log } = this.#options;
    const prepared = { reshape, incarnation, log, position: position.toString(), chain };
    await this.#beside!.complete(prepared);
    this.#beside = undefined;
    this.#release();
    return built;
  }

  override async discard(): Promise<void> {
    if (this.result !== undefined) this.#options.onDiscarded();
    await super.discard();
  }

  /** Whether the folder has the child already, as of this fence: an earlier process completed it. */
  async look(fencedPosition: bigint, signal: AbortSignal): Promise<void> {
    const { child, id } = this.#options;
    const giveBack = await child.claim(signal);
    try {
      const found = await child.store.look().catch(() => undefined);
      if (found?.prepared?.reshape !== id || found.prepared.position !== fencedPosition.toString()) return;
      // Its log was followed since, perhaps.
      const { incarnation, chain } = found.prepared;
      const { stateHash, entries, bytes } = found;
      this.found(
        { position: fencedPosition, chain, stateHash, entries, bytes, incarnation, stores: [] },
        fencedPosition,
      );
    } finally {
      giveBack();
    }
  }

  protected async abandon(): Promise<void> {
    await this.#beside?.abandon();
    this.#beside = undefined;
    this.#release();
  }

  #release(): void {
    this.#giveBack?.();
    this.#giveBack = undefined;
  }
}

export interface MergeJobOptions {
  readonly time: Time;
  readonly openWork: (signal: AbortSignal) => Promise<MergeWork>;
}

export class MergeJob extends ReshapeJob<MergeWork, StagedMerge> {
  readonly #options: MergeJobOptions;

  constructor(options: MergeJobOptions) {
    super(options.time);
    this.#options = options;
  }

  /** Stores that the target is to have first. */
  get unprepared(): readonly string[] {
    return this.result?.unprepared ?? this.work?.unprepared() ?? [];
  }

  protected open(signal: AbortSignal): Promise<MergeWork> {
    return this.#options.openWork(signal);
  }

  protected complete(fenced: Fenced, signal: AbortSignal): Promise<StagedMerge> {
    return this.work!.finish(fenced, signal);
  }

  protected abandon(): Promise<void> {
    return Promise.resolve();
  }
}

/** Both of a merge run here, and nothing else may be staged into. */
export interface MergeSite {
  readonly source: ReshapeSource;
  readonly target: ReshapeTarget;
}

export function notHere(what: string): StateStoreError {
  return new StateStoreError('unavailable', `${what} does not run here any more`, {
    retryAfterMs: limits.reshapeLookMs,
  });
}
