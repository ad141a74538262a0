// Metrics of checkpoints, of the node that conducts them. What they are called: cluster/metric-table.ts.
import type { CheckpointCatalog, CheckpointRun } from '@statestore/cluster';
import type { Registry } from 'prom-client';
import { Counter, Gauge } from 'prom-client';
import { nodeMetricTable, type NodeMetricName } from '../cluster/metric-table.ts';
import type { Time } from '../time.ts';

export interface CheckpointGauges {
  /** As it was seen last. */
  readonly run: () => CheckpointRun | undefined;
  readonly catalog: () => CheckpointCatalog | undefined;
  /** How long ago the repository last answered, or the process began. */
  readonly silentMs: () => number;
  readonly time: Time;
}

export class CheckpointMetrics {
  readonly #registry: Registry;
  readonly #ended: Counter<'outcome'>;

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#ended = new Counter({ ...this.#named('state_checkpoints_total'), labelNames: ['outcome'] });
    for (const outcome of ['created', 'failed']) this.#ended.inc({ outcome }, 0);
  }

  ended({ state }: CheckpointRun): void {
    this.#ended.inc({ outcome: state === 'completed' ? 'created' : 'failed' });
  }

  /** Once, when there is something to look at. Where nothing is known yet, nothing is told. */
  watch({ run, catalog, silentMs, time }: CheckpointGauges): void {
    const statistics = () => catalog()?.statistics;
    const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);
    this.#gauge('state_checkpoint_running', () => (run()?.state === 'running' ? 1 : 0));
    this.#gauge('state_checkpoint_progress_ratio', () => progressOf(run()));
    this.#gauge('state_checkpoint_duration_seconds', () => seconds(statistics()?.lastDurationMs));
    this.#gauge('state_checkpoint_stored_bytes', () => statistics()?.lastStoredBytes);
    this.#gauge('state_checkpoint_uploaded_bytes', () => statistics()?.lastUploadedBytes);
    this.#gauge('state_checkpoint_age_seconds', () => {
      const atMs = statistics()?.lastSuccessAtMs;
      return atMs === undefined ? undefined : Math.max(0, time.nowMs() - atMs) / 1000;
    });
    this.#gauge('state_checkpoints_damaged', () => catalog()?.damaged?.length);
    this.#gauge('state_checkpoint_proven_age_seconds', () => {
      const atMs = catalog()?.provenAtMs;
      return atMs === undefined ? undefined : Math.max(0, time.nowMs() - atMs) / 1000;
    });
    this.#gauge('state_checkpoint_namesake', () => catalog() && (catalog()?.namesake === undefined ? 0 : 1));
    this.#gauge('state_checkpoint_clearing_blocked', () => {
      const clearing = catalog()?.clearing;
      return clearing && (clearing.blockedBy.length > 0 ? 1 : 0);
    });
    this.#gauge('state_repository_answer_age_seconds', () => seconds(silentMs()));
  }

  #gauge(name: NodeMetricName, value: () => number | undefined): void {
    new Gauge({
      ...this.#named(name),
      collect() {
        const now = value();
        if (now === undefined) this.remove();
        else this.set(now);
      },
    });
  }

  #named(name: NodeMetricName) {
    return { name, help: nodeMetricTable[name], registers: [this.#registry] };
  }
}

/** 0 to 1, over all partitions, each weighing the same. */
export function progressOf(run: CheckpointRun | undefined): number {
  if (run?.state !== 'running' || run.partitions.length === 0) return 0;
  return run.partitions.reduce((sum, { part }) => sum + part, 0) / run.partitions.length;
}
