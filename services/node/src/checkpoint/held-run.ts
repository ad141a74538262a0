// The run that this node conducts, as its document in the store: changed only in the place of what this node wrote
// last. When another node took it over, that is noticed by the next change: it is lost then, and what this node does for
// it ends.
import type { CheckpointRun, CheckpointRuns, Kept } from '@statestore/cluster';
import { limits, StateStoreError } from '@statestore/core';
import { pause } from '../cluster/pause.ts';
import type { Time } from '../time.ts';

export class HeldRun {
  readonly #runs: CheckpointRuns;
  readonly #time: Time;
  #kept: Kept<CheckpointRun>;
  /** Ends when all changes before it have ended. Never rejects. */
  #tail: Promise<unknown> = Promise.resolve();
  readonly #lost = new AbortController();

  constructor(runs: CheckpointRuns, kept: Kept<CheckpointRun>, time: Time) {
    this.#runs = runs;
    this.#kept = kept;
    this.#time = time;
  }

  get document(): CheckpointRun {
    return this.#kept.document;
  }

  /** Aborts when the run is another node's. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Once. Rejects where the store does not answer, or the run is lost. */
  change(change: (run: CheckpointRun) => CheckpointRun): Promise<CheckpointRun> {
    const changing = this.#tail.then(() => this.#changeNow(change(this.#kept.document)));
    this.#tail = changing.catch(() => undefined);
    return changing;
  }

  /** Until it is stored. Rejects where the run is lost, or with the signal's reason. */
  async changeSurely(change: (run: CheckpointRun) => CheckpointRun, signal: AbortSignal): Promise<CheckpointRun> {
    for (;;) {
      try {
        return await this.change(change);
      } catch (error) {
        if (this.#lost.signal.aborted || !(error instanceof StateStoreError && error.retryable)) throw error;
      }
      await pause(this.#time, limits.checkpointRunPollMs, AbortSignal.any([signal, this.#lost.signal]));
    }
  }

  async #changeNow(document: CheckpointRun): Promise<CheckpointRun> {
    this.#lost.signal.throwIfAborted();
    try {
      const replaced = await this.#runs.replaceRun(document, this.#kept.revision);
      if (replaced.outcome === 'replaced') {
        this.#kept = { document, revision: replaced.revision };
        return document;
      }
    } catch (error) {
      if (!(error instanceof StateStoreError) || error.code !== 'outcome_unknown') throw error;
    }
    return this.#look(document);
  }

  /** Whether what is there is what was written, now or in an attempt before whose answer was lost. */
  async #look(wanted: CheckpointRun): Promise<CheckpointRun> {
    const present = await this.#runs.run();
    const isMine =
      present !== undefined &&
      present.document.id === wanted.id &&
      present.document.conductor?.boot === wanted.conductor?.boot &&
      present.document.heartbeat <= wanted.heartbeat;
    if (!isMine) {
      const by = present?.document.conductor?.node ?? 'nobody';
      this.#lost.abort(new StateStoreError('shutting_down', `the run ${wanted.id} is conducted by ${by} now`));
      throw this.#lost.signal.reason as Error;
    }
    this.#kept = present;
    if (JSON.stringify(present.document) === JSON.stringify(wanted)) return wanted;
    throw new StateStoreError('unavailable', `the run ${wanted.id} could not be changed`, {
      retryAfterMs: limits.bucketRetryMs,
    });
  }
}
