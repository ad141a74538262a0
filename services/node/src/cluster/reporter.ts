// What this node says of itself to the registry: about once a second, and soon after something changed. One
// report is under way at a time; one that fails is not repeated, since the next says more.
import { limits } from '@statestore/core';
import type { NodeRegistry, NodeReport } from '@statestore/cluster';
import type { Time, Timer } from '../time.ts';

export interface ReporterOptions {
  readonly registry: Pick<NodeRegistry, 'report'>;
  readonly time: Time;
  /** All but the counter. */
  readonly report: () => Omit<NodeReport, 'count'>;
  /** Reports fail, the first time in a row; or they succeed again. */
  readonly onFailing: (error: unknown) => void;
}

export class Reporter {
  readonly #options: ReporterOptions;
  #count = 0;
  #timer: Timer | undefined;
  #dueMs = 0;
  #lastMs = -Infinity;
  #underWay: Promise<void> | undefined;
  #failing = false;
  #soon = false;
  #atOnce = false;
  #begun = false;
  #closed = false;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** Before it, nothing is reported: a report takes the place of the last one, which may know more. */
  begin(): void {
    this.#begun = true;
    this.#schedule(0);
  }

  /** Something is different: others should not wait for the next regular report. */
  changed(): void {
    if (this.#underWay !== undefined) this.#soon = true;
    else this.#schedule(Math.max(0, this.#lastMs + limits.nodeReportMinMs - this.#options.time.elapsedMs()));
  }

  /** Others wait for it. */
  now(): void {
    if (this.#underWay !== undefined) this.#atOnce = true;
    else this.#schedule(0);
  }

  #schedule(ms: number): void {
    const { time } = this.#options;
    const dueMs = time.elapsedMs() + ms;
    if (!this.#begun || this.#closed || (this.#timer !== undefined && this.#dueMs <= dueMs)) return;
    this.#timer?.cancel();
    this.#dueMs = dueMs;
    this.#timer = time.after(ms, () => {
      this.#timer = undefined;
      this.#underWay = this.#report();
    });
  }

  /** Never rejects. */
  async #report(): Promise<void> {
    const { registry, time, report, onFailing } = this.#options;
    this.#soon = false;
    this.#atOnce = false;
    this.#lastMs = time.elapsedMs();
    try {
      await registry.report({ ...report(), count: ++this.#count });
      this.#failing = false;
    } catch (error) {
      if (!this.#failing && !this.#closed) onFailing(error);
      this.#failing = true;
    }
    this.#underWay = undefined;
    const nextMs = this.#soon ? limits.nodeReportMinMs : limits.nodeReportMs;
    this.#schedule(this.#atOnce ? 0 : nextMs);
  }

  /** Resolves when no report is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#underWay;
  }
}
