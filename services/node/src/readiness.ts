// When a replica may be read: it has seen what the reader asks for, and the reader knows which slots the partition has.
import type { PartitionState } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { ReadOptions } from '@statestore/link';
import type { Log } from './log/log.ts';
import type { PositionWaiters } from './position-waiters.ts';
import type { Proposer } from './proposer.ts';
import type { Time } from './time.ts';

export interface ReadinessOptions {
  readonly partition: number;
  readonly state: Readonly<PartitionState>;
  readonly waiters: PositionWaiters;
  readonly proposer: Pick<Proposer, 'barrier' | 'freshMs'>;
  readonly log: Pick<Log, 'exclusive'>;
  readonly time: Time;
}

export class Readiness {
  readonly #options: ReadinessOptions;

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  /** Undefined where the read may go ahead at once. Throws, or rejects with, `moved` as `checkSlots`. */
  ready(options: ReadOptions): Promise<void> | undefined {
    const { slotsEpoch } = options;
    return slotsEpoch !== undefined && slotsEpoch !== this.#options.state.slotsEpoch
      ? this.#whenReshaped(slotsEpoch, options)
      : this.#asTold(options);
  }

  #asTold({ consistency, atLeast, maxLagMs }: ReadOptions): Promise<void> | undefined {
    const { state, log, proposer } = this.#options;
    if (consistency === 'session')
      return atLeast === undefined || atLeast <= state.position ? undefined : this.#reached(atLeast);
    // Whoever is the only one to append has applied everything that anybody was told of.
    if (log.exclusive) return undefined;
    return consistency === 'strong' || (maxLagMs !== undefined && !this.#isFresh(maxLagMs))
      ? proposer.barrier()
      : undefined;
  }

  /** Whether what was acknowledged that long ago or before is applied here. By a clock that is never set. */
  #isFresh(maxLagMs: number): boolean {
    const { time, proposer } = this.#options;
    return time.elapsedMs() - proposer.freshMs <= maxLagMs;
  }

  async #reached(position: bigint): Promise<void> {
    const { partition, state, waiters, time } = this.#options;
    await waiters.afterOrLate(position - 1n, limits.positionWaitMs, time);
    if (state.position >= position) return;
    const message = `partition ${partition} is at ${state.position}, not yet at ${position} that the session saw`;
    throw new StateStoreError('unavailable', message, { retryAfterMs: 1000 });
  }

  #whenReshaped(slotsEpoch: bigint, options: ReadOptions): Promise<void> | undefined {
    this.checkSlots(slotsEpoch, 'later');
    return this.#reshaped(slotsEpoch).then(() => this.ready(options));
  }

  /** Whoever knows of a split or a merge that this replica has not seen yet waits for it, as for a position. */
  async #reshaped(slotsEpoch: bigint): Promise<void> {
    const { partition, state, waiters, time } = this.#options;
    const untilMs = time.elapsedMs() + limits.positionWaitMs;
    while (state.slotsEpoch < slotsEpoch) {
      const leftMs = untilMs - time.elapsedMs();
      if (leftMs <= 0) {
        const message = `partition ${partition} has slots as of epoch ${state.slotsEpoch}, not yet of ${slotsEpoch}`;
        throw new StateStoreError('unavailable', message, { retryAfterMs: 1000 });
      }
      await waiters.afterOrLate(state.position, leftMs, time);
    }
  }

  /** Throws `moved` where the partition has other slots than whoever asks takes it to have; `later`: only where it is he that is behind. */
  checkSlots(slotsEpoch: bigint | undefined, only?: 'later'): void {
    const { partition, state } = this.#options;
    if (slotsEpoch === undefined || slotsEpoch === state.slotsEpoch) return;
    if (only === 'later' && slotsEpoch > state.slotsEpoch) return;
    throw moved(
      `partition ${partition} has slots as of epoch ${state.slotsEpoch}, and was asked by those of ${slotsEpoch}`,
    );
  }
}

export function moved(why: string): StateStoreError {
  return new StateStoreError('moved', why, { retryAfterMs: 100 });
}
