// One split or merge on one node: what is seen is looked up in the table (next-step.ts), what it says is done, and then
// all is looked at again. Whatever happens meanwhile wakes it: slots are fenced for as long as it takes, and clients wait.
import type { ReshapeReport } from '@statestore/cluster';
import type { PartitionState, Reshape } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import { pause } from '../cluster/pause.ts';
import type { Timer } from '../time.ts';
import { DriverDeeds, type Deeded } from './driver-deeds.ts';
import type { Deed, LogPhase, ReshapeSituation, Step } from './next-step.ts';
import { nextStep } from './next-step.ts';
import { ReshapeClock } from './reshape-clock.ts';
import type { ReshapeContext, RunningPartition } from './reshape-context.ts';
import { runningPartition } from './reshape-context.ts';
import { MergeJob, notHere, SplitJob } from './reshape-job.ts';
import { mergeJobOf, prepareChild, splitJobOf } from './reshape-jobs-of.ts';
import { fenceOf, sourcePhase, targetPhase } from './reshape-sight.ts';

export class ReshapeRun {
  readonly id: string;
  #reshape: Reshape;
  readonly #context: ReshapeContext;
  readonly #deeds: DriverDeeds;
  readonly #job: SplitJob | MergeJob;
  readonly #closing = new AbortController();
  readonly #life: Promise<void>;
  /** Of the step that is done now. */
  #acting = new AbortController();
  #step: Step = { kind: 'wait', for: 'its turn' };
  /** Which replicas the job works on. */
  #on: readonly unknown[] = [];
  readonly #clock: ReshapeClock;
  #log: LogPhase = 'unknown';
  #remembered = false;
  #looked = false;
  #trouble = '';
  #woken = false;
  #wake: (() => void) | undefined;
  #listeners = new Set<() => void>();

  constructor(reshape: Reshape, context: ReshapeContext) {
    this.id = reshape.id;
    this.#reshape = reshape;
    this.#context = context;
    this.#deeds = new DriverDeeds(context);
    this.#clock = new ReshapeClock(context.time);
    const here = { source: () => this.#source(), target: () => this.#target() };
    this.#job = reshape.kind === 'split' ? splitJobOf(context, reshape, here) : mergeJobOf(context, reshape, here);
    this.#life = this.#live();
  }

  get reshape(): Reshape {
    return this.#reshape;
  }

  get job(): SplitJob | MergeJob {
    return this.#job;
  }

  /** As the topology has it now. */
  update(reshape: Reshape): void {
    this.#reshape = reshape;
    this.wake();
  }

  /** Something is different. */
  wake(): void {
    this.#woken = true;
    this.#wake?.();
    // What takes long is given up where it is of no use any more.
    const isLong = this.#step.kind === 'begin' || this.#step.kind === 'round' || this.#step.kind === 'finish';
    if (isLong && (this.#reshape.cancelled === true ? this.#clock.phase === 'open' : this.#hasMoved())) {
      this.#acting.abort(new StateStoreError('unavailable', 'the replicas are not the same any more'));
    }
  }

  /** Told after each step. Returns how to end it. */
  onStep(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  report(): ReshapeReport {
    const { phase, done, failure, fencedPosition, result } = this.#job;
    const position = fencedPosition ?? done?.position ?? 0n;
    const built = result !== undefined && 'entries' in result ? result : done;
    return {
      id: this.id,
      state: phase === 'none' ? 'building' : phase,
      position: position.toString(),
      entries: built?.entries ?? 0,
      bytes: built?.bytes ?? 0,
      ...(phase === 'none' ? {} : { part: phase === 'built' ? 1 : (done?.part ?? 0) }),
      why: failure || this.#trouble || this.#waits(),
    };
  }

  #waits(): string {
    if (this.#step.kind !== 'wait') return '';
    const { phase, waitsFor } = this.#clock;
    return `waits for ${(phase === 'open' && this.#job.phase === 'near' ? waitsFor : undefined) ?? this.#step.for}`;
  }

  // What there is to work with.

  #source(): RunningPartition | undefined {
    return runningPartition(this.#context.replicaOf(this.#reshape.source));
  }

  #target(): RunningPartition | undefined {
    return this.#reshape.kind === 'split' ? undefined : runningPartition(this.#context.replicaOf(this.#reshape.target));
  }

  #hasMoved(): boolean {
    return this.#on[0] !== this.#source()?.running || this.#on[1] !== this.#target()?.running;
  }

  // From step to step.

  /** Never rejects. */
  async #live(): Promise<void> {
    const { signal } = this.#closing;
    // Whoever made it has to know it first.
    await Promise.resolve();
    while (!signal.aborted) {
      this.#woken = false;
      this.#acting = new AbortController();
      try {
        await this.#settle();
        this.#step = nextStep(this.#look());
        this.#told();
        if (this.#step.kind === 'wait') await this.#sleep(limits.reshapeLookMs);
        else await this.#do(this.#step.kind, AbortSignal.any([signal, this.#acting.signal]));
        if (this.#step.kind !== 'wait') this.#trouble = '';
      } catch (error) {
        if (!signal.aborted) await this.#failed(error);
      }
    }
    await this.#job.close().catch((error: unknown) => this.#tell('a split or a merge could not be closed', error));
  }

  #told(): void {
    for (const listener of this.#listeners) listener();
  }

  get #named(): Readonly<Record<string, unknown>> {
    const { id, kind, source, target } = this.#reshape;
    return { id, kind, source, target };
  }

  #tell(notice: string, error: unknown): void {
    this.#context.onNotice(notice, { ...this.#named, step: this.#step.kind, error: String(error) });
  }

  async #failed(error: unknown): Promise<void> {
    const { kind } = this.#step;
    const why = error instanceof Error ? error.message : String(error);
    this.#trouble = why;
    if (!this.#acting.signal.aborted) this.#tell('a step of a split or a merge failed and is tried again', error);
    if (kind === 'begin' || kind === 'round' || kind === 'finish') {
      await this.#job.fail(why);
      // Begun anew at once where it was only interrupted.
      if (!this.#acting.signal.aborted) this.#clock.later();
      this.#changed();
    } else if (kind === 'fence') {
      this.#clock.later();
    }
    await this.#sleep(limits.reshapeStepRetryMs, true);
  }

  /** Until it is woken, or for so long. `whole`: nothing wakes it. */
  async #sleep(ms: number, whole = false): Promise<void> {
    if (whole) return pause(this.#context.time, ms, this.#closing.signal).catch(() => undefined);
    if (this.#woken) return;
    const woken = Promise.withResolvers<void>();
    this.#wake = woken.resolve;
    const timer: Timer = this.#context.time.after(Math.min(ms, this.#clock.nextMs(this.#job)), woken.resolve);
    try {
      await woken.promise;
    } finally {
      this.#wake = undefined;
      timer.cancel();
    }
  }

  /** What was built on replicas that are not there any more is of no use; and what an earlier process built is found. */
  async #settle(): Promise<void> {
    const { phase } = this.#job;
    const isBound = phase === 'building' || phase === 'near' || (phase === 'built' && this.#reshape.kind === 'merge');
    if (isBound && this.#hasMoved()) await this.#job.discard();
    const state = this.#source()?.partition.state;
    if (state === undefined || !(this.#job instanceof SplitJob)) return;
    if (phase !== 'none' || this.#looked || sourcePhase(state, this.#reshape) !== 'handedOver') return;
    this.#looked = true;
    await this.#job.look(state.ended!.position, this.#closing.signal);
    if (this.#job.phase === 'built') this.#changed();
  }

  #look(): ReshapeSituation {
    const job = this.#job;
    const state = this.#source()?.partition.state;
    if (this.#clock.enters(sourcePhase(state, this.#reshape)) === 'fenced') {
      this.#remembered = false;
      if (this.#log === 'begun') this.#log = 'made';
    }
    const seen = this.#clock.look({
      context: this.#context,
      reshape: this.#reshape,
      job,
      fence: state && fenceOf(state, this.#reshape),
    });
    return {
      ...seen,
      kind: this.#reshape.kind,
      cancelled: this.#reshape.cancelled === true,
      target: this.#reshape.kind === 'split' ? 'away' : targetPhase(this.#target()?.partition.state, this.#reshape),
      log: this.#log,
      lacksStores: job instanceof MergeJob && job.unprepared.length > 0,
      remembered: this.#remembered,
    };
  }

  // What each step does. Those that are refused were decided on what is not so any more.

  async #do(deed: Deed, signal: AbortSignal): Promise<void> {
    const source = this.#source();
    const target = this.#target();
    const reshape = this.#reshape;
    const job = this.#job;
    if (source === undefined) throw notHere(`partition ${reshape.source}`);
    const { partition } = source;
    const { onNotice } = this.#context;
    if (deed !== 'round') onNotice('a split or a merge goes on', { ...this.#named, step: deed });
    switch (deed) {
      case 'begin':
        this.#on = [source.running, target?.running];
        await job.begin(signal);
        return;
      case 'round': {
        const before = job.phase;
        await job.round(signal);
        if (job.phase !== before) this.#changed();
        return;
      }
      case 'finish':
        return this.#finish(partition.state, signal);
      case 'discard':
        await job.discard();
        return this.#changed();
      case 'makeLog':
        if (reshape.kind === 'split') await this.#deeds.makeLog(reshape);
        this.#log = 'made';
        return;
      case 'startLog':
        return this.#startLog(partition.state);
      case 'fence':
        return this.#fenced(await this.#deeds.fence(partition, reshape));
      case 'unfence':
        await this.#deeds.unfence(partition, reshape, false);
        this.#clock.later();
        this.#context.recorder.reshaped(reshape, 'unfenced');
        return;
      case 'giveUp':
        await this.#deeds.unfence(partition, reshape, true);
        return;
      case 'drop':
        if (await this.#deeds.drop(reshape)) this.#context.recorder.reshaped(reshape, 'given_up');
        return this.#awaitTopology();
      case 'handOver':
        return this.#handedOver(
          await this.#deeds.handOver(partition, reshape, job.fencedPosition!, job.result!.stores),
        );
      case 'change':
        return this.#change(partition.state, target?.partition.state);
      default:
        if (target === undefined || reshape.kind !== 'merge' || !(job instanceof MergeJob))
          throw notHere(`partition ${reshape.target}`);
        return this.#doInTarget(deed, { job, source: partition.state, target: target.partition });
    }
  }

  async #doInTarget(
    deed: 'prepare' | 'remember' | 'absorb',
    { job, source, target }: { job: MergeJob; source: Readonly<PartitionState>; target: RunningPartition['partition'] },
  ): Promise<void> {
    const merge = this.#reshape;
    if (merge.kind !== 'merge') return;
    if (deed === 'prepare') {
      this.#check(await this.#deeds.prepare(target, merge, job.unprepared), deed);
      job.reopen();
    } else if (deed === 'remember') {
      this.#check(await this.#deeds.remember(target, merge, job.result!.remembered), deed);
      this.#remembered = true;
    } else if ((await this.#deeds.absorb(target, merge, source, job.result!)) === 'refused') {
      // Cleared meanwhile, perhaps: it is staged anew.
      job.reopen();
    }
  }

  #check(deeded: Deeded, deed: Deed): void {
    if (deeded === 'done') return;
    throw new StateStoreError('unavailable', `${deed} was refused`, { retryAfterMs: limits.reshapeStepRetryMs });
  }

  #fenced(deeded: Deeded): void {
    if (deeded === 'done') return;
    this.#clock.later();
    this.#trouble = 'its source refused to be fenced';
  }

  async #finish(state: Readonly<PartitionState>, signal: AbortSignal): Promise<void> {
    const fence = fenceOf(state, this.#reshape);
    if (fence === undefined) return;
    // At the same time: nobody but the driver needs it, and it is the same for all.
    const starting = this.#startLog(state).catch(() => undefined);
    await this.#job.finish(fence, signal);
    this.#context.recorder.built(this.#job.done?.bytes ?? 0);
    this.#changed();
    await starting;
    const { result } = this.#job;
    // Its replica is opened while the slots are handed over.
    if (this.#log === 'begun' && this.#reshape.kind === 'split' && result !== undefined && 'incarnation' in result)
      prepareChild(this.#context, this.#reshape, result);
  }

  async #startLog(state: Readonly<PartitionState>): Promise<void> {
    const fence = fenceOf(state, this.#reshape);
    if (this.#reshape.kind !== 'split' || fence === undefined) return;
    await this.#deeds.startLog(this.#reshape, fence.position);
    this.#log = 'begun';
  }

  async #handedOver(deeded: Deeded): Promise<void> {
    // What is said to be in the slots is not: nothing of it can be used.
    if (deeded === 'refused' && this.#clock.phase === 'fenced' && this.#source()?.partition.state.fenced !== undefined)
      await this.#job.fail('its source refused what was counted');
  }

  async #change(source: Readonly<PartitionState>, target: Readonly<PartitionState> | undefined): Promise<void> {
    const reshape = this.#reshape;
    const { result } = this.#job;
    let changed = false;
    if (reshape.kind === 'merge')
      changed = await this.#deeds.mergeDone(reshape, source.ended!.position, target!.ended!.position);
    else if (result !== undefined && 'incarnation' in result) changed = await this.#deeds.splitDone(reshape, result);
    if (changed) {
      this.#context.recorder.reshaped(reshape, 'done');
      if (this.#clock.fencedForMs !== undefined) this.#context.recorder.fencedFor(reshape, this.#clock.fencedForMs);
    }
    return this.#awaitTopology();
  }

  /** The topology that says so is on its way, and ends this. */
  #awaitTopology(): Promise<void> {
    return this.#sleep(limits.reshapeLookMs, true);
  }

  /** The others should know of it; at once, while clients wait for them. */
  #changed(): void {
    if (this.#clock.phase === 'fenced' || this.#clock.phase === 'handedOver') this.#context.urgent();
    else this.#context.changed();
  }

  /** Resolves when nothing is under way. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new StateStoreError('shutting_down', 'the split or merge is not this node’s any more'));
    this.#wake?.();
    // Nobody is to wait for it.
    this.#told();
    await this.#life;
  }
}
