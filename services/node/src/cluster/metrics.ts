// Metrics of a node. What happens with every batch costs an observation each; the rest is asked for when
// somebody scrapes. What they are called: metric-table.ts.
import type { ErrorCode, Reshape } from '@statestore/core';
import { StateStoreError } from '@statestore/core';
import type { KeptReport, ReshapeReport } from '@statestore/cluster';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { AppendOutcome } from '../log/log.ts';
import type { ReshapeRecorder } from '../reshape/reshape-context.ts';
import type { DiskLevel, DiskSpace } from './disk-watch.ts';
import { nodeMetricTable, type NodeMetricName } from './metric-table.ts';
import type { Replica } from './replica.ts';
import type { ReplicaRecorder } from './replica-context.ts';
import { reportedStates } from './replica-states.ts';

/** What is looked at when somebody scrapes. */
export interface NodeGauges {
  readonly replicas: () => readonly Replica[];
  readonly disk: () => { readonly level: DiskLevel; readonly space: DiskSpace };
  readonly connected: () => boolean;
  readonly epoch: () => bigint;
  readonly ready: () => boolean;
  readonly kept: () => readonly KeptReport[];
  readonly reshapes: () => readonly ReshapeReport[];
  /** Splits and merges that the node takes part in. */
  readonly under: () => readonly Reshape[];
}

const diskLevels: Readonly<Record<DiskLevel, number>> = { ample: 0, low: 1, critical: 2 };
const durationBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const sizeBounds = [256, 1024, 4096, 16_384, 65_536, 131_072, 262_144, 1_048_576, 4_194_304];

type Labels<Name extends string> = Readonly<Record<Name, string>>;

export class NodeMetrics implements ReplicaRecorder {
  readonly registry = new Registry();
  readonly reshapes: ReshapeRecorder;
  readonly #appends: Counter<'outcome'>;
  readonly #appendBytes: Histogram;
  readonly #appendDuration: Histogram;
  readonly #flushDuration: Histogram;
  readonly #mismatches: Counter<'partition'>;
  readonly #rebuilds: Counter<'partition'>;
  readonly #restores: Counter<'partition'>;
  readonly #restoreFailures: Counter<'partition'>;
  readonly #passedOver: Counter<'partition'>;
  readonly #restoreSeconds: Gauge<'partition'>;
  readonly #refused: Counter<'reason'>;
  readonly #reconnects: Counter;

  constructor() {
    this.#appends = new Counter(this.#named('state_log_appends_total', 'outcome'));
    this.#appendBytes = new Histogram({ ...this.#named('state_log_append_bytes'), buckets: sizeBounds });
    this.#appendDuration = new Histogram({
      ...this.#named('state_log_append_duration_seconds'),
      buckets: durationBounds,
    });
    this.#flushDuration = new Histogram({
      ...this.#named('state_engine_flush_duration_seconds'),
      buckets: durationBounds,
    });
    this.#mismatches = new Counter(this.#named('state_hash_mismatches_total', 'partition'));
    this.#rebuilds = new Counter(this.#named('state_replica_rebuilds_total', 'partition'));
    this.#restores = new Counter(this.#named('state_restores_total', 'partition'));
    this.#restoreFailures = new Counter(this.#named('state_restore_failures_total', 'partition'));
    this.#passedOver = new Counter(this.#named('state_restore_passed_over_total', 'partition'));
    this.#restoreSeconds = new Gauge(this.#named('state_restore_last_seconds', 'partition'));
    this.#refused = new Counter(this.#named('state_refused_total', 'reason'));
    this.#reconnects = new Counter(this.#named('state_nats_reconnects_total'));
    this.reshapes = this.#reshapeRecorder();
  }

  #named<Name extends string = never>(name: NodeMetricName, ...labelNames: Name[]) {
    return { name, help: nodeMetricTable[name], labelNames, registers: [this.registry] };
  }

  #reshapeRecorder(): ReshapeRecorder {
    const ended = new Counter(this.#named('state_reshapes_total', 'kind', 'outcome'));
    const fenced = new Histogram({ ...this.#named('state_reshape_fence_duration_seconds'), buckets: durationBounds });
    const built = new Counter(this.#named('state_reshape_built_bytes_total'));
    return {
      reshaped: ({ kind }, outcome) => ended.inc({ kind, outcome }),
      fencedFor: (_reshape, durationMs) => fenced.observe(durationMs / 1000),
      built: (bytes) => built.inc(bytes),
    };
  }

  appended(outcome: AppendOutcome, bytes: number, durationMs: number): void {
    this.#appends.inc({ outcome: outcome.kind === 'refused' ? outcome.reason : outcome.kind });
    this.#appendBytes.observe(bytes);
    this.#appendDuration.observe(durationMs / 1000);
  }

  committed(durationMs: number): void {
    this.#flushDuration.observe(durationMs / 1000);
  }

  mismatched(partition: number): void {
    this.#mismatches.inc({ partition: String(partition) });
  }

  rebuilt(partition: number): void {
    this.#rebuilds.inc({ partition: String(partition) });
  }

  restored(partition: number, durationMs: number): void {
    this.#restores.inc({ partition: String(partition) });
    this.#restoreSeconds.set({ partition: String(partition) }, durationMs / 1000);
  }

  restoreFailed(partition: number): void {
    this.#restoreFailures.inc({ partition: String(partition) });
  }

  passedOver(partition: number): void {
    this.#passedOver.inc({ partition: String(partition) });
  }

  refused(error: unknown): void {
    const reason: ErrorCode = error instanceof StateStoreError ? error.code : 'internal';
    this.#refused.inc({ reason });
  }

  reconnected(): void {
    this.#reconnects.inc();
  }

  /** Once, when there is something to look at. */
  watch({ replicas, disk, connected, epoch, ready, kept, reshapes, under }: NodeGauges): void {
    this.#watchReshapes(reshapes, under);
    this.#gauge('state_disk_free_bytes', () => disk().space.freeBytes);
    this.#gauge('state_disk_total_bytes', () => disk().space.totalBytes);
    this.#gauge('state_disk_level', () => diskLevels[disk().level]);
    this.#gauge('state_nats_connected', () => (connected() ? 1 : 0));
    this.#gauge('state_topology_epoch', () => Number(epoch()));
    this.#gauge('state_node_ready', () => (ready() ? 1 : 0));
    this.#sums('state_replica_kept_folders', () => kept().map(({ partition }) => [partition, 1]));
    this.#sums('state_replica_kept_bytes', () => kept().map(({ partition, bytes }) => [partition, bytes]));
    this.#watchReplicas(() => replicas().filter(({ assignment }) => assignment !== undefined));
  }

  #watchReshapes(reports: NodeGauges['reshapes'], under: NodeGauges['under']): void {
    new Gauge({
      ...this.#named('state_reshapes', 'kind'),
      collect() {
        for (const kind of ['split', 'merge'] as const)
          this.set({ kind }, under().filter((each) => each.kind === kind).length);
      },
    });
    new Gauge({
      ...this.#named('state_reshape_progress_ratio', 'source', 'target'),
      collect() {
        this.reset();
        const parts = new Map(reports().map(({ id, part }) => [id, part ?? 0]));
        for (const { id, source, target } of under())
          this.set({ source: String(source), target: String(target) }, parts.get(id) ?? 0);
      },
    });
  }

  #gauge(name: NodeMetricName, value: () => number): void {
    new Gauge({
      ...this.#named(name),
      collect() {
        this.set(value());
      },
    });
  }

  /** By partition. */
  #sums(name: NodeMetricName, values: () => readonly (readonly [number, number])[]): void {
    new Gauge<'partition'>({
      ...this.#named(name, 'partition'),
      collect() {
        this.reset();
        for (const [partition, value] of values()) this.inc({ partition: String(partition) }, value);
      },
    });
  }

  #watchReplicas(replicas: () => readonly Replica[]): void {
    const each = (name: NodeMetricName, value: (replica: Replica) => number | undefined): void =>
      this.#labelled(name, replicas, ['partition'], (replica) => {
        const found = value(replica);
        return found === undefined ? [] : [[{ partition: String(replica.partition) }, found]];
      });
    each('state_replica_applied_position', (replica) => Number(replica.report()?.appliedPosition ?? 0));
    each('state_replica_stored_position', (replica) => Number(replica.report()?.storedPosition ?? 0));
    each('state_replica_lag_positions', (replica) => replica.report()?.lag ?? 0);
    each('state_replica_lag_seconds', ({ running }) => (running === undefined ? undefined : running.lagMs / 1000));
    each('state_replica_queued_commands', ({ running }) => running?.partition?.queuedCommands);
    each('state_replica_write_buffer_bytes', ({ running }) => running?.partition?.writeBufferBytes);
    each('state_restore_progress_ratio', (replica) => replica.report()?.build?.part);
    each('state_restore_records', (replica) => replica.report()?.build?.records);
    each('state_restore_bytes', (replica) => replica.report()?.build?.bytes);
    each('state_restore_remaining_seconds', (replica) => {
      const ms = replica.report()?.build?.remainingMs;
      return ms === undefined ? undefined : ms / 1000;
    });
    this.#labelled('state_replica_state', replicas, ['partition', 'state'], ({ partition, state }) => [
      [{ partition: String(partition), state: reportedStates[state] }, 1],
    ]);
    this.#labelled('state_replica_halted', replicas, ['partition', 'cause'], ({ partition, halt }) =>
      halt === undefined ? [] : [[{ partition: String(partition), cause: halt.cause }, 1]],
    );
  }

  /** With what replicas there are now, and nothing of those that are gone. */
  #labelled<Name extends string>(
    name: NodeMetricName,
    replicas: () => readonly Replica[],
    labelNames: Name[],
    values: (replica: Replica) => readonly (readonly [Labels<Name>, number])[],
  ): void {
    new Gauge<Name>({
      ...this.#named(name, ...labelNames),
      collect() {
        this.reset();
        for (const replica of replicas()) for (const [labels, value] of values(replica)) this.set(labels, value);
      },
    });
  }
}
