// Turns reports as they arrive into what a watcher of a registry is told: all nodes, at each change of a
// report and of liveness, changes that come close together at once. Both registries watch through it.
import { limits } from '@statestore/core';
import type { Clock } from './clock.ts';
import { Liveness } from './liveness.ts';
import type { NodeReport, ObservedNode } from './node-registry.ts';
import { tell } from './tell.ts';

export class ObservedNodes {
  readonly #liveness = new Liveness();
  readonly #clock: Clock;
  readonly #onNodes: (nodes: ReadonlyMap<string, ObservedNode>) => void;
  #telling: { cancel(): void } | undefined;
  #silence: { cancel(): void } | undefined;
  #closed = false;

  constructor(clock: Clock, onNodes: (nodes: ReadonlyMap<string, ObservedNode>) => void) {
    this.#clock = clock;
    this.#onNodes = onNodes;
  }

  saw(report: NodeReport): void {
    if (this.#closed || !this.#liveness.saw(report, this.#clock.elapsedMs())) return;
    this.#tellSoon();
    this.#silence ??= this.#clock.after(limits.nodeSilenceMs, () => this.#onSilence());
  }

  removed(name: string): void {
    if (!this.#closed && this.#liveness.forget(name)) this.#tellSoon();
  }

  /** These were all the reports that there were at some moment after `sinceMs`. */
  sawAll(reports: readonly NodeReport[], sinceMs: number): void {
    if (this.#closed) return;
    for (const report of reports) this.saw(report);
    if (this.#liveness.keepOnly(new Set(reports.map(({ name }) => name)), sinceMs)) this.#tellSoon();
  }

  /** Tells nothing any more. */
  close(): void {
    this.#closed = true;
    this.#telling?.cancel();
    this.#silence?.cancel();
  }

  #onSilence(): void {
    const nowMs = this.#clock.elapsedMs();
    if (this.#liveness.passed(nowMs)) this.#tellSoon();
    const next = this.#liveness.nextMs;
    this.#silence =
      next === undefined ? undefined : this.#clock.after(Math.max(1, next - nowMs), () => this.#onSilence());
  }

  #tellSoon(): void {
    this.#telling ??= this.#clock.after(limits.registryGatherMs, () => {
      this.#telling = undefined;
      tell(this.#onNodes, this.#liveness.nodes());
    });
  }
}
