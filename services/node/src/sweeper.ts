// When a partition is swept, and what a sweep may forget. A sweep is a command like any other: what it removes
// is judged at apply. Only how long ago something was remembered is told here, by whoever appends the sweep.
import type { Command, PartitionState, StateReader } from '@statestore/core';
import { limits, sweepIsDue } from '@statestore/core';
import type { Proposed } from '@statestore/link';
import type { LogClock } from './log-clock.ts';
import { SeenClock } from './seen-clock.ts';
import type { Time, Timer } from './time.ts';

export interface SweeperOptions {
  readonly time: Time;
  readonly clock: LogClock;
  readonly state: Readonly<PartitionState>;
  readonly reader: StateReader;
  readonly intervalMs: number;
  /** Asked each time whether this replica is the one that proposes sweeps. */
  readonly isMine: () => boolean;
  /** Whether the partition runs; nothing is proposed or looked at where it does not. */
  readonly isRunning: () => boolean;
  readonly propose: (command: Command) => Promise<Proposed>;
  readonly barrier: () => Promise<void>;
  /** The engine cannot be read. */
  readonly onFailed: (error: unknown) => void;
}

export class Sweeper {
  readonly #options: SweeperOptions;
  readonly #seen: SeenClock;
  #timer: Timer | undefined;
  #sweeping: Promise<void> | undefined;

  constructor(options: SweeperOptions) {
    this.#options = options;
    this.#seen = new SeenClock(options.time);
  }

  /** To be called when the partition runs. */
  start(): void {
    const { time, state, intervalMs, isMine, isRunning } = this.#options;
    if (!isRunning()) return;
    // Also where another replica sweeps: this one may have to, at any time.
    this.#seen.saw(state.clockNanos);
    this.#timer = time.after(intervalMs, () => {
      this.#sweeping = (isMine() ? this.#sweepWhatIsDue() : Promise.resolve()).finally(() => this.start());
    });
  }

  /** As it is to be proposed: a sweep forgets what its window is over for, whatever its sender wrote there. */
  completed(command: Command): Command {
    const { body } = command;
    return body.kind === 'sweep' ? { ...command, body: { ...body, forgetBeforeMs: this.#seen.longAgoMs } } : command;
  }

  /** Never rejects. */
  async #sweepWhatIsDue(): Promise<void> {
    const { clock, isRunning, propose, barrier } = this.#options;
    // Nobody wrote since this replica began: what is due can only be told by the log, in any batch of it.
    if (!clock.told) await barrier().catch(() => {});
    while (isRunning() && this.#isDue()) {
      try {
        const kept = limits.changesKeptBytes;
        const body = { kind: 'sweep', limit: limits.sweepLimit, changesKeptBytes: kept, countStore: '' } as const;
        const { more } = await propose({ body });
        if (!more) return;
      } catch {
        // Refused or unknown: nothing is lost, the next interval looks again.
        return;
      }
    }
  }

  #isDue(): boolean {
    const { state, reader, clock, onFailed } = this.#options;
    const { changesKeptBytes } = limits;
    try {
      return sweepIsDue(state, reader, clock.nowMs(), { changesKeptBytes, forgetBeforeMs: this.#seen.longAgoMs });
    } catch (error) {
      onFailed(error);
      return false;
    }
  }

  /** No further one begins; one that is under way goes on, and begins the wait for the next where the partition runs. */
  stop(): void {
    this.#timer?.cancel();
  }

  /** To be called when the partition does not run any more. Nothing is under way then, and no timer is left. */
  async close(): Promise<void> {
    this.stop();
    await this.#sweeping;
  }
}
