// Who conducts checkpoints: every node with a repository looks at the one document of runs; whoever makes a run that
// is asked for its own conducts it, says again and again that it lives, and what became of it. One that falls silent, by
// the clock of who looks, is taken over: its checkpoint is given up, or found complete. The schedule asks for runs as
// anybody else does. How a checkpoint is made: conduct.ts.
import { randomUUID } from 'node:crypto';
import type { Repository } from '@statestore/checkpoint';
import { giveUpCheckpoint } from '@statestore/checkpoint';
import type { CheckpointCatalog, CheckpointRun, CheckpointRuns, Kept, RunPartition } from '@statestore/cluster';
import {
  begunRun,
  completedRun,
  failedRun,
  isOver,
  livingRun,
  newRunId,
  requestCheckpoint,
  runErrorOf,
  RunSight,
  takenOverRun,
} from '@statestore/cluster';
import { limits, StateStoreError } from '@statestore/core';
import type { OnNotice } from '../cluster/node-options.ts';
import { pause } from '../cluster/pause.ts';
import { Repeated } from '../cluster/repeated.ts';
import type { Time } from '../time.ts';
import { CatalogKeeper, type RepositorySilence } from './catalog-keeper.ts';
import type { CheckpointSettings } from './checkpoint-settings.ts';
import { conduct } from './conduct.ts';
import { HeldRun } from './held-run.ts';
import type { Replicas } from './replicas.ts';
import { Schedule } from './schedule.ts';
import { Upkeep, type UpkeepOptions } from './upkeep.ts';

export interface ConductorOptions {
  readonly runs: CheckpointRuns;
  readonly repository: Repository;
  readonly cluster: string;
  /** Which cluster of the name this is; undefined: that is not known yet. Default: the one that does not say. */
  readonly lineage?: () => string | undefined;
  readonly node: string;
  readonly version: string;
  readonly replicas: Replicas;
  readonly settings: CheckpointSettings;
  readonly time: Time;
  readonly onNotice: OnNotice;
  /** A run that this node conducted is over. */
  readonly onEnded?: (run: CheckpointRun) => void;
  /** After a run that this node conducted, and now and then, when old checkpoints were deleted: what can be let go of then. */
  readonly afterwards?: UpkeepOptions['afterwards'];
  /** Whether logs are trimmed because of checkpoints: two of them have to become old enough for that, whatever is to be kept. */
  readonly trims?: boolean;
  readonly upkeepMs?: number;
  /** As UpkeepOptions. */
  readonly marginMs?: number;
  readonly proofMs?: number;
  readonly pollMs?: number;
  readonly heartbeatMs?: number;
  readonly silenceMs?: number;
  readonly retryMs?: number;
  /** How long calls of a run that was ended are waited for. */
  readonly hungMs?: number;
  /** Default: as the settings say. */
  readonly lookMs?: number;
  readonly refreshMs?: number;
}

export class Conductor {
  readonly #options: Required<ConductorOptions>;
  readonly #schedule: Schedule;
  readonly #boot = randomUUID();
  readonly #sinceMs: number;
  readonly #sight = new RunSight();
  readonly #abort = new AbortController();
  readonly #polling: Repeated;
  /** The run that is seen to go on, and since when. */
  #seen: { readonly id: string; readonly sinceMs: number } | undefined;
  #run: CheckpointRun | undefined;
  readonly #keeper: CatalogKeeper;
  readonly #upkeep: Upkeep;
  /** The run, and its state, with which the catalogue was loaded. */
  #loadedWith = 'none';
  readonly #announced = Promise.withResolvers<void>();
  #looking: Promise<void>;
  #isProbed = false;
  #troubled = false;
  #closing: Promise<void> | undefined;

  /** Throws `invalid_settings`. */
  constructor(options: ConductorOptions) {
    this.#schedule = new Schedule(options.settings.schedule);
    this.#options = {
      lineage: () => '',
      onEnded: () => undefined,
      afterwards: () => Promise.resolve(),
      trims: false,
      upkeepMs: limits.checkpointUpkeepMs,
      marginMs: limits.trimMarginMs,
      proofMs: limits.checkpointProofMs,
      pollMs: limits.checkpointRunPollMs,
      heartbeatMs: limits.checkpointHeartbeatMs,
      silenceMs: limits.checkpointSilenceMs,
      retryMs: limits.checkpointRetryMs,
      hungMs: limits.checkpointHungMs,
      refreshMs: limits.checkpointRefreshMs,
      lookMs: options.settings.lookMs ?? limits.checkpointLookMs,
      ...options,
    };
    const { time, pollMs } = this.#options;
    this.#sinceMs = time.nowMs();
    this.#keeper = new CatalogKeeper({ ...this.#options, probe: () => this.#probe() });
    this.#upkeep = new Upkeep({
      ...this.#options,
      everyMs: this.#options.upkeepMs,
      catalog: () => this.#keeper.catalog,
      refresh: (news) => this.#keeper.refresh(news),
      probe: () => this.#probe(),
      isMine: () => this.#isUpkeepMine(),
    });
    this.#looking = this.#look();
    this.#polling = new Repeated(time, pollMs, () => (this.#looking = this.#looking.then(() => this.#look())));
  }

  /** When it has looked for the first time: that there is a repository is known to gateways then, where it could be told. */
  get announced(): Promise<void> {
    return this.#announced.promise;
  }

  /** As they were seen last. */
  get run(): CheckpointRun | undefined {
    return this.#run;
  }

  get catalog(): CheckpointCatalog | undefined {
    return this.#keeper.catalog;
  }

  /** How long ago the repository last answered, or this process began. */
  get silentMs(): number {
    return this.#keeper.silentMs;
  }

  /** Undefined: the repository answers. */
  get silence(): RepositorySilence | undefined {
    return this.#keeper.silence;
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    try {
      const { runs, time } = this.#options;
      const kept = await runs.run();
      this.#run = kept?.document;
      const stillMs = this.#sight.stillMs(kept?.document, time.elapsedMs());
      await this.#loadCatalog();
      this.#announced.resolve();
      await this.#act(kept, stillMs);
      this.#troubled = false;
    } catch (error) {
      this.#announced.resolve();
      if (this.#abort.signal.aborted) return;
      if (!this.#troubled) this.#options.onNotice('checkpoints cannot be looked after', { error: String(error) });
      this.#troubled = true;
    }
  }

  /** Where the run is another one, or over; and at first. */
  async #loadCatalog(): Promise<void> {
    const now = `${this.#run?.id} ${this.#run?.state}`;
    if (now === this.#loadedWith) return;
    await this.#keeper.load();
    this.#loadedWith = now;
  }

  async #act(kept: Kept<CheckpointRun> | undefined, stillMs: number): Promise<void> {
    if (this.#closing !== undefined) return;
    if (kept === undefined || isOver(kept.document)) return this.#ask(kept?.document, stillMs);
    if (kept.document.state === 'requested') return this.#begin(kept);
    const { conductor, checkpoint, deadlineMs = this.#options.settings.deadlineMs } = kept.document;
    // Made its own by a change whose answer was lost: nothing of it was done yet.
    if (conductor?.boot === this.#boot && checkpoint === undefined) return this.#conduct(kept, deadlineMs);
    if (this.#isForsaken(kept.document, stillMs)) await this.#takeOver(kept);
  }

  async #ask(last: CheckpointRun | undefined, stillMs: number): Promise<void> {
    const { runs, node, time } = this.#options;
    const nowMs = time.nowMs();
    const again = last !== undefined && this.#isToBeRepeated(last, stillMs);
    // Runs of a node on its own are forgotten when it ends; its checkpoints are not.
    const begunMs = this.catalog?.checkpoints[0]?.startedAtMs;
    const base = {
      scheduledForMs: last?.scheduledForMs ?? begunMs,
      requestedAtMs: last?.requestedAtMs ?? begunMs,
      sinceMs: this.#sinceMs,
    };
    const due = this.#schedule.isDue(base, nowMs);
    if (!due && !again) return;
    await requestCheckpoint(runs, {
      id: newRunId(nowMs),
      trigger: 'schedule',
      requestedBy: node,
      nowMs,
      attempt: due ? 1 : last!.attempt + 1,
      ...(due ? { scheduledForMs: nowMs } : {}),
    });
  }

  /** One of the schedule that failed for a reason that may pass. */
  #isToBeRepeated({ state, trigger, error, attempt }: CheckpointRun, stillMs: number): boolean {
    if (state !== 'failed' || trigger !== 'schedule' || error?.retryable !== true) return false;
    if (this.#options.settings.schedule.suspend || attempt >= limits.checkpointAttemptsMax) return false;
    return stillMs >= this.#options.retryMs * 2 ** (attempt - 1);
  }

  #isForsaken({ id, conductor, deadlineMs = 0 }: CheckpointRun, stillMs: number): boolean {
    const { time, silenceMs } = this.#options;
    const nowMs = time.elapsedMs();
    if (this.#seen?.id !== id) this.#seen = { id, sinceMs: nowMs };
    // One of this very process that it does not conduct any more: how it ended could not be stored.
    if (conductor?.boot === this.#boot) return true;
    return stillMs >= silenceMs || nowMs - this.#seen.sinceMs >= deadlineMs + limits.checkpointOverdueMs;
  }

  async #begin({ document, revision }: Kept<CheckpointRun>): Promise<void> {
    const { runs, node, time, settings, replicas } = this.#options;
    // A node that has just started knows nobody yet: another one may.
    if (replicas.tasks() === undefined) return;
    await this.#probe();
    const isFinal = document.trigger === 'shutdown' && settings.shutdownMs !== undefined;
    const deadlineMs = isFinal ? settings.shutdownMs : settings.deadlineMs;
    const conductor = { node, boot: this.#boot };
    const run = begunRun(document, conductor, { nowMs: time.nowMs(), deadlineMs });
    const replaced = await runs.replaceRun(run, revision);
    if (replaced.outcome === 'replaced')
      await this.#conduct({ document: run, revision: replaced.revision }, deadlineMs);
  }

  async #conduct(kept: Kept<CheckpointRun>, deadlineMs: number): Promise<void> {
    const { time, heartbeatMs, runs, settings } = this.#options;
    const held = new HeldRun(runs, kept, time);
    const signal = AbortSignal.any([this.#abort.signal, held.lost]);
    let partitions: readonly RunPartition[] = [];
    const heart = new Repeated(time, heartbeatMs, async () => {
      // What cannot be told now is told by the next one; a run that was lost has its own signal.
      await held.change((run) => livingRun(run, { partitions })).catch(() => undefined);
      this.#run = held.document;
    });
    let end: (run: CheckpointRun) => CheckpointRun;
    try {
      await conduct({
        ...this.#options,
        lineage: this.#options.lineage(),
        level: settings.level,
        trigger: kept.document.trigger,
        deadlineMs,
        signal,
        onBegun: (checkpoint) => held.changeSurely((run) => livingRun(run, { checkpoint }), signal),
        onProgress: (now) => (partitions = now),
        isUsable: (id) => this.#keeper.isUsable(id),
      });
      end = (run) => completedRun({ ...run, partitions }, time.nowMs());
    } catch (error) {
      end = (run) => failedRun({ ...run, partitions }, runErrorOf(error), time.nowMs());
    } finally {
      heart.close();
    }
    // Another node says what became of it, where it took it over.
    if (!held.lost.aborted) await this.#ended(held, end);
  }

  async #takeOver({ document, revision }: Kept<CheckpointRun>): Promise<void> {
    const { runs, repository, node, time, onNotice } = this.#options;
    await this.#probe();
    const run = takenOverRun(document, { node, boot: this.#boot });
    const replaced = await runs.replaceRun(run, revision);
    if (replaced.outcome !== 'replaced') return;
    const before = document.conductor?.node ?? 'nobody';
    onNotice('a checkpoint was taken over from a node that fell silent', { run: run.id, node: before });
    const held = new HeldRun(runs, { document: run, revision: replaced.revision }, time);
    const { checkpoint } = run;
    const signal = AbortSignal.any([this.#abort.signal, held.lost]);
    const outcome = checkpoint && (await giveUpCheckpoint(repository, checkpoint, { signal }));
    const silent = new StateStoreError('unavailable', `node ${before}, which conducted it, fell silent`);
    await this.#ended(held, (now) =>
      outcome === 'complete' ? completedRun(now, time.nowMs()) : failedRun(now, runErrorOf(silent), time.nowMs()),
    );
  }

  /** Also where this node stops: the next one need not wait for its silence then. */
  async #ended(held: HeldRun, end: (run: CheckpointRun) => CheckpointRun): Promise<void> {
    const { time, onEnded, onNotice, silenceMs } = this.#options;
    const enough = new AbortController();
    const timer = time.after(silenceMs, () => enough.abort(new Error('the run could not be stored')));
    let run: CheckpointRun;
    try {
      run = await held.changeSurely(end, enough.signal);
    } finally {
      timer.cancel();
    }
    this.#run = run;
    onEnded(run);
    const { id, checkpoint, error } = run;
    onNotice(run.state === 'completed' ? 'a checkpoint is complete' : 'a checkpoint failed', {
      run: id,
      checkpoint,
      ...(error === undefined ? {} : { error: error.message }),
    });
    await this.#tidy(run);
  }

  /** None of it makes the checkpoint less complete, and the next one does it again. */
  async #tidy(run: CheckpointRun): Promise<void> {
    try {
      // First: what follows may take long, and whoever waits for the checkpoint is told of it by the catalogue.
      await this.#keeper.refresh({ ended: run });
      this.#loadedWith = `${run.id} ${run.state}`;
    } catch (error) {
      if (!this.#abort.signal.aborted)
        this.#options.onNotice('the catalogue of checkpoints is not current', { error: String(error) });
    }
    this.#upkeep.ask();
  }

  /** Of all nodes one does it now and then: who conducted the last run. */
  #isUpkeepMine(): boolean {
    return [undefined, this.#options.node].includes(this.#run?.conductor?.node);
  }

  /** Once, before anything is written: a repository that does not do what the rest relies on is not used. */
  async #probe(): Promise<void> {
    if (this.#isProbed) return;
    await this.#options.repository.probe({ signal: this.#abort.signal });
    this.#isProbed = true;
  }

  /**
   * Makes a final checkpoint, where that is asked for, then ends what it conducts: what is not complete is given up. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#closeOnce();
    return this.#closing;
  }

  async #closeOnce(): Promise<void> {
    const { settings, time } = this.#options;
    this.#polling.close();
    const { shutdownMs } = settings;
    const stop = (): void => this.#abort.abort(new StateStoreError('shutting_down', 'the node stops'));
    const timer = time.after(shutdownMs ?? 0, stop);
    try {
      if (shutdownMs === undefined) stop();
      // What it conducts now began before it was asked to stop: it is no final one.
      await this.#looking;
      if (shutdownMs !== undefined) await this.#final();
    } finally {
      timer.cancel();
      stop();
      await this.#upkeep.close();
      this.#keeper.close();
    }
  }

  /**
   * Makes one; or waits for the one that another node makes for the same reason, since it may need replicas of this one.
   * Never rejects.
   */
  async #final(): Promise<void> {
    const { runs, node, time, onNotice } = this.#options;
    const { signal } = this.#abort;
    try {
      for (;;) {
        signal.throwIfAborted();
        const nowMs = time.nowMs();
        const id = newRunId(nowMs);
        const { run } = await requestCheckpoint(runs, { id, trigger: 'shutdown', requestedBy: node, nowMs });
        const kept = await runs.run();
        if (kept?.document.state === 'requested') await this.#begin(kept);
        await this.#over(run.id);
        // Any other one began for another reason, and before.
        if (run.trigger === 'shutdown') return;
      }
    } catch (error) {
      onNotice('no final checkpoint was made', { error: String(error) });
    }
  }

  /** Resolves when the run is over, or another one is in its place. */
  async #over(id: string): Promise<void> {
    const { runs, time, pollMs } = this.#options;
    for (;;) {
      const run = (await runs.run())?.document;
      if (run?.id !== id || isOver(run)) return;
      await pause(time, pollMs, this.#abort.signal);
    }
  }
}
