// While the number of partitions is not what was asked for, one of the nodes coordinates: the first live one by name.
// So a resize goes on whoever asked for it, and also where nobody coordinates for ever, as an operator does. Two that
// take themselves for the first are harmless: the topology changes by compare-and-set.
import type { Coordinator, StepOutcome } from '@statestore/cluster';
import { isResizing } from '@statestore/cluster';
import type { Topology } from '@statestore/core';
import { limits } from '@statestore/core';
import type { Time } from '../time.ts';
import type { OnNotice } from './node-options.ts';
import { Backoff, pause } from './pause.ts';
import type { Peers } from './peers.ts';

export interface ResizingOptions {
  readonly name: string;
  readonly peers: Peers;
  readonly time: Time;
  readonly open: () => Pick<Coordinator, 'step' | 'close'>;
  readonly onNotice: OnNotice;
}

export class Resizing {
  readonly #options: ResizingOptions;
  readonly #closing = new AbortController();
  #topology: Topology | undefined;
  #running: Promise<void> | undefined;
  #waits = '';

  constructor(options: ResizingOptions) {
    this.#options = options;
  }

  follow(topology: Topology): void {
    this.#topology = topology;
    if (this.#closing.signal.aborted || !this.#isDue) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // It may have begun anew in the same instant.
      if (this.#topology !== undefined && this.#topology !== topology) this.follow(this.#topology);
    });
  }

  get #isDue(): boolean {
    const topology = this.#topology;
    return topology !== undefined && isResizing(topology);
  }

  get #isFirst(): boolean {
    const { name, peers } = this.#options;
    return [...peers.nodes.values()].every(({ live, report }) => !live || report.name >= name);
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { open, time, onNotice } = this.#options;
    const { signal } = this.#closing;
    const backoff = new Backoff(limits.resizeStepMs, limits.resizeWaitMs);
    let coordinator: ReturnType<ResizingOptions['open']> | undefined;
    while (this.#isDue && !signal.aborted) {
      try {
        if (this.#isFirst) {
          coordinator ??= open();
          if (this.#told(await coordinator.step())) backoff.reset();
        } else {
          await coordinator?.close();
          coordinator = undefined;
        }
      } catch (error) {
        onNotice('the number of partitions cannot be changed', { error: String(error) });
      }
      await pause(time, backoff.nextMs(), signal).catch(() => undefined);
    }
    await coordinator?.close().catch(() => undefined);
  }

  /** Whether something was done. */
  #told(outcome: StepOutcome): boolean {
    const waits = outcome.kind === 'waiting' ? outcome.for : '';
    // What is under way is waited for in any case.
    const isIdle = (this.#topology?.reshapes?.length ?? 0) === 0;
    if (isIdle && waits !== '' && waits !== this.#waits)
      this.#options.onNotice('the partitions wait to be changed', { for: waits });
    this.#waits = waits;
    if (outcome.kind === 'changed')
      this.#options.onNotice('the partitions are changed', { epoch: String(outcome.epoch), steps: outcome.steps });
    return outcome.kind === 'changed';
  }

  /** Resolves when nothing is under way. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }
}
