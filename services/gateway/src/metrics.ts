// Metrics of a gateway. Counting must cost next to nothing on the hot path, so requests add to plain
// numbers; prom-client asks for them when somebody scrapes.
import {
  Counter,
  Gauge,
  Histogram,
  Registry,
  type MetricObjectWithValues,
  type MetricValueWithName,
} from 'prom-client';
import type { Topology } from '@statestore/core';
import type { PartitionStatus } from '@statestore/link';
import type { Routing } from './routing.ts';

export const operationNames = [
  'get',
  'put',
  'delete',
  'increment',
  'append',
  'patch',
  'touch',
  'list',
  'batch',
  'transaction',
  'watch',
  'stores',
  'clear',
  'settings',
  'cleanup',
  'sync',
  'compact',
] as const;
export type OperationName = (typeof operationNames)[number];

/** miss: 404. conflict: 409, 412, 422. refused: every other 4xx. error: 5xx. */
export const outcomes = ['ok', 'miss', 'conflict', 'refused', 'error'] as const;
export type Outcome = (typeof outcomes)[number];

export function outcomeOf(status: number): Outcome {
  if (status < 400) return 'ok';
  // Quota used up, or the disk nearly full: an honest no, not a failure.
  if (status === 507) return 'refused';
  if (status >= 500) return 'error';
  if (status === 404) return 'miss';
  return status === 409 || status === 412 || status === 422 ? 'conflict' : 'refused';
}

const boundsMs = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/** Counts of one kind of operation. */
export class OperationRecorder {
  readonly outcomes: Record<Outcome, number> = { ok: 0, miss: 0, conflict: 0, refused: 0, error: 0 };
  /** Not cumulative; the last one is for everything slower. */
  readonly buckets = new Float64Array(boundsMs.length + 1);
  sumMs = 0;

  /** Of a request whose duration nobody measured: a quick one that was refused. */
  count(outcome: Outcome): void {
    this.outcomes[outcome]++;
  }

  record(outcome: Outcome, durationMs: number): void {
    this.outcomes[outcome]++;
    this.sumMs += durationMs;
    let at = 0;
    while (at < boundsMs.length && durationMs > boundsMs[at]!) at++;
    this.buckets[at]!++;
  }
}

type Recorders = Readonly<Record<OperationName, OperationRecorder>>;

const duration = {
  name: 'state_operation_duration_seconds',
  help: 'Time from the parsed request to its answer',
};

const noCollect = (): void => {};

class DurationHistogram extends Histogram<'operation'> {
  readonly #recorders: Recorders;

  constructor(recorders: Recorders, registry: Registry) {
    super({
      ...duration,
      labelNames: ['operation'],
      registers: [registry],
    });
    this.#recorders = recorders;
  }

  override async get(): Promise<MetricObjectWithValues<MetricValueWithName<'operation'>>> {
    const values: (MetricValueWithName<'operation'> & { labels: { le?: string } })[] = [];
    for (const [operation, { buckets, sumMs }] of Object.entries(this.#recorders)) {
      let total = 0;
      for (const [at, bound] of [...boundsMs, Number.POSITIVE_INFINITY].entries()) {
        total += buckets[at]!;
        const le = bound === Number.POSITIVE_INFINITY ? '+Inf' : String(bound / 1000);
        values.push({ metricName: `${duration.name}_bucket`, labels: { operation, le }, value: total });
      }
      values.push({ metricName: `${duration.name}_sum`, labels: { operation }, value: sumMs / 1000 });
      values.push({ metricName: `${duration.name}_count`, labels: { operation }, value: total });
    }
    return { ...duration, type: 'histogram' as never, aggregator: 'sum', values, collect: noCollect };
  }

  /** The form that the registry prefers; the same values. */
  getForPromString(): Promise<unknown> {
    return this.get();
  }
}

export class GatewayMetrics {
  readonly registry: Registry;
  readonly operations: Recorders;
  watchers = 0;

  constructor(routing: Routing, registry = new Registry()) {
    this.registry = registry;
    this.operations = Object.fromEntries(operationNames.map((name) => [name, new OperationRecorder()])) as Record<
      OperationName,
      OperationRecorder
    >;
    new DurationHistogram(this.operations, registry);
    this.#exportOperations(routing);
    this.#exportStatus(routing);
  }

  #exportOperations(routing: Routing): void {
    const { operations, registry } = this;
    const watchers = (): number => this.watchers;
    new Counter({
      name: 'state_operations_total',
      help: 'Operations by kind, engine and outcome',
      labelNames: ['operation', 'backend', 'outcome'],
      registers: [registry],
      async collect() {
        const backend = [...(await routing.statuses()).values()][0]?.engine ?? 'unknown';
        this.reset();
        for (const [operation, { outcomes: counts }] of Object.entries(operations)) {
          for (const outcome of outcomes) this.inc({ operation, backend, outcome }, counts[outcome]);
        }
      },
    });
    new Gauge({
      name: 'state_watchers',
      help: 'Watches open at this gateway',
      registers: [registry],
      collect() {
        this.set(watchers());
      },
    });
  }

  #exportStatus(routing: Routing): void {
    const { registry } = this;
    for (const { name, help, value } of partitionGauges) {
      new Gauge({
        name,
        help,
        labelNames: ['partition', 'backend'],
        registers: [registry],
        async collect() {
          this.reset();
          for (const status of (await routing.statuses()).values()) {
            this.set({ partition: String(status.partition), backend: status.engine }, value(status));
          }
        },
      });
    }
    for (const { name, help, value } of resizeGauges) {
      new Gauge({
        name,
        help,
        registers: [registry],
        collect() {
          this.set(value(routing.topology));
        },
      });
    }
    for (const kind of ['hits', 'misses'] as const) {
      new Counter({
        name: `state_${kind}_total`,
        help: kind === 'hits' ? 'Reads that found an entry' : 'Reads that found none',
        registers: [registry],
        async collect() {
          const statuses = await Promise.all(routing.nodes().map((node) => node.status()));
          this.reset();
          this.inc(statuses.reduce((sum, { counts }) => sum + counts[kind], 0));
        },
      });
    }
  }
}

interface ResizeGauge {
  readonly name: string;
  readonly help: string;
  readonly value: (topology: Topology) => number;
}

const resizeGauges: readonly ResizeGauge[] = [
  { name: 'state_partitions', help: 'Partitions that there are', value: ({ partitions }) => partitions.length },
  {
    name: 'state_partitions_wanted',
    help: 'Partitions that there are to be; as many as there are where nobody asked for others',
    value: ({ spec, partitions }) => spec?.partitions ?? partitions.length,
  },
  {
    name: 'state_resize_paused',
    help: '1 where no further split or merge is begun',
    value: ({ spec }) => (spec?.resizePaused === true ? 1 : 0),
  },
];

interface PartitionGauge {
  readonly name: string;
  readonly help: string;
  readonly value: (status: PartitionStatus) => number;
}

const partitionGauges: readonly PartitionGauge[] = [
  { name: 'state_keys_total', help: 'Entries, expired ones that wait for a sweep too', value: (s) => s.entries },
  { name: 'state_size_bytes', help: 'Bytes of keys and values', value: (s) => s.bytes },
  { name: 'state_expired_total', help: 'Entries removed because their time had come', value: (s) => s.expired },
  { name: 'state_stores', help: 'Stores that have entries or settings', value: (s) => s.stores },
  { name: 'state_engine_bytes', help: 'Bytes that the engine takes', value: (s) => s.engineBytes },
  { name: 'state_log_bytes', help: 'Bytes that the log takes', value: (s) => s.logBytes },
  {
    name: 'state_applied_position',
    help: 'Last batch whose effects readers see',
    value: (s) => Number(s.appliedPosition),
  },
  { name: 'state_stored_position', help: 'Last batch in the engine', value: (s) => Number(s.storedPosition) },
  { name: 'state_queued_commands', help: 'Commands that wait for the proposer', value: (s) => s.queuedCommands },
  {
    name: 'state_write_buffer_bytes',
    help: 'Bytes applied and not yet in the engine',
    value: (s) => s.writeBufferBytes,
  },
  {
    name: 'state_partition_running',
    help: '1 where the partition runs',
    value: (s) => (s.state === 'running' ? 1 : 0),
  },
];
