// A new checkpoint out of an older one: of any moment, by the archive, and of any number of partitions. Each partition is
// restored into an engine that is thrown away, brought to the moment, recounted, and written as if a replica had been
// there. Nothing of the source is changed, and the new checkpoint is complete or not there.
import type { GoodCheckpoint, Repository } from '@statestore/checkpoint';
import { beginCheckpoint, commitCheckpoint, giveUpCheckpoint, writePartition } from '@statestore/checkpoint';
import { evenTopology, limits, StateStoreError } from '@statestore/core';
import type { CheckpointManifest, PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { CheckpointTrigger } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { Turns } from '../copy/turns.ts';
import type { Engine } from '../engine/engine.ts';
import { systemTime, type Time } from '../time.ts';
import { bringPartition } from './bring-partition.ts';
import type { ReplayProgress } from './replay.ts';
import { reshape, type ReshapeSource } from './reshape.ts';
import type { PartitionPlan, RestorePlan } from './restore-plan.ts';

/** An engine of its own, empty; what it takes on disk goes with it. */
export interface ScratchEngine {
  readonly engine: Engine;
  dispose(): Promise<void>;
}

export interface MaterialiseOptions {
  /** Of planRestore. */
  readonly plan: RestorePlan;
  /** Where the plan's checkpoint and archive are. */
  readonly source: Repository;
  /** Where the new checkpoint goes: the same one, or another. */
  readonly into: Repository;
  /** Name of the cluster that it is for. */
  readonly cluster: string;
  /** Which cluster of the name that is. */
  readonly lineage?: string | undefined;
  /** Undefined: those that the checkpoint has. */
  readonly partitions?: number | undefined;
  readonly openScratch: () => Promise<ScratchEngine>;
  readonly conductor: string;
  readonly version: string;
  readonly random: (bytes: number) => Uint8Array;
  readonly signal: AbortSignal;
  readonly time?: Time;
  readonly onProgress?: (progress: MaterialiseProgress) => void;
}

export type MaterialiseStep = 'restore' | 'replay' | 'reshape' | 'write';

export interface MaterialiseProgress {
  readonly partition: number;
  readonly step: MaterialiseStep;
  /** 0 to 1, of this step; undefined: nobody knows how much it is. */
  readonly part: number | undefined;
  readonly position?: bigint;
}

export interface Materialised {
  readonly manifest: CheckpointManifest;
  /** By partition of the source: how far it was brought. */
  readonly reached: ReadonlyMap<number, ReplayProgress & { readonly isStopped: boolean }>;
}

/**
 * Rejects with `data_corrupt` naming what is damaged or missing, with what either repository says, with the signal's
 * reason: there is no new checkpoint then, and none will come.
 */
export async function materialise(options: MaterialiseOptions): Promise<Materialised> {
  const { into, cluster, conductor, random, signal, time = systemTime } = options;
  const nowMs = (): number => time.nowMs();
  const begun = await beginCheckpoint({ repository: into, cluster, conductor, nowMs, random, mode: 'auto', signal });
  let isCommitted = false;
  try {
    const making = new Materialising(options, begun.id, begun.previous);
    const partitions = await making.partitions();
    const trigger = CheckpointTrigger.RESTORE;
    const isLate = (): boolean => time.nowMs() - begun.startedAtMs > limits.checkpointDeadlineMs;
    const { version, lineage, plan } = options;
    const committed = await commitCheckpoint({
      repository: into,
      begun,
      partitions,
      trigger,
      version,
      lineage,
      parentLineage: plan.checkpoint.manifest.lineage,
      nowMs,
      isLate,
      signal,
    });
    if (committed.outcome !== 'committed')
      throw new StateStoreError('unavailable', `the checkpoint ${begun.id} was not completed: ${committed.outcome}`);
    isCommitted = true;
    return { manifest: committed.manifest, reached: making.reached };
  } finally {
    // What cannot be said now, garbage collection says later.
    if (!isCommitted) await giveUpCheckpoint(into, begun.id).catch(() => undefined);
  }
}

class Materialising {
  readonly reached = new Map<number, ReplayProgress & { readonly isStopped: boolean }>();
  readonly #options: MaterialiseOptions;
  readonly #id: string;
  readonly #previous: GoodCheckpoint | undefined;
  readonly #turns: Turns;

  constructor(options: MaterialiseOptions, id: string, previous: GoodCheckpoint | undefined) {
    this.#options = options;
    this.#id = id;
    this.#previous = previous;
    this.#turns = new Turns(options.time ?? systemTime);
  }

  async partitions(): Promise<PartitionSummary[]> {
    const { plan, partitions: count } = this.#options;
    if (count !== undefined && count !== plan.partitions.length) return this.#reshaped(count);
    const summaries: PartitionSummary[] = [];
    for (const each of plan.partitions) {
      const { partition, slots, generation } = each.manifest.summary;
      const scratch = await this.#options.openScratch();
      try {
        await this.#bring(each, scratch.engine);
        summaries.push(await this.#write(scratch.engine, { partition, slots, generation }));
      } finally {
        await scratch.dispose();
      }
    }
    return summaries;
  }

  async #reshaped(count: number): Promise<PartitionSummary[]> {
    const { plan, openScratch } = this.#options;
    const scratches: ScratchEngine[] = [];
    try {
      const sources: ReshapeSource[] = [];
      for (const each of plan.partitions) {
        const scratch = await openScratch();
        scratches.push(scratch);
        await this.#bring(each, scratch.engine);
        const { partition, slots } = each.manifest.summary;
        sources.push({ partition, slots, engine: scratch.engine });
      }
      return await this.#spread(sources, count);
    } finally {
      for (const scratch of scratches) await scratch.dispose();
    }
  }

  async #spread(sources: readonly ReshapeSource[], count: number): Promise<PartitionSummary[]> {
    const { openScratch, signal } = this.#options;
    // One for all: their logs go on from the same position.
    const position = sources.reduce(
      (greatest, { engine }) => (engine.position > greatest ? engine.position : greatest),
      1n,
    );
    const summaries: PartitionSummary[] = [];
    for (const { partition, slots } of evenTopology(count, []).partitions) {
      const scratch = await openScratch();
      try {
        this.#tell(partition, 'reshape', undefined);
        await reshape({ sources, slots, position, partition, target: scratch.engine, signal });
        summaries.push(await this.#write(scratch.engine, { partition, slots, generation: 1 }));
      } finally {
        await scratch.dispose();
      }
    }
    return summaries;
  }

  /** The partition at the moment that is wanted, proved. A new checkpoint is written of it. */
  async #bring(each: PartitionPlan, engine: Engine): Promise<void> {
    const { source: repository, signal, plan, time } = this.#options;
    const { partition } = each.manifest.summary;
    const replayed = await bringPartition({
      repository,
      plan,
      partition: each,
      engine,
      readBack: true,
      signal,
      time,
      onProgress: ({ step, part, position }) => this.#tell(partition, step, part, position),
    });
    if (replayed !== undefined) this.reached.set(partition, replayed);
  }

  async #write(
    engine: Engine,
    which: Pick<PartitionSummary, 'partition' | 'generation'> & {
      readonly slots: readonly { start: number; end: number }[];
    },
  ): Promise<PartitionSummary> {
    const { into: repository, cluster, signal } = this.#options;
    const { partition } = which;
    const reader = engine.snapshot();
    try {
      const written = await writePartition({
        ...which,
        reader,
        cluster,
        repository,
        checkpointId: this.#id,
        previous: this.#previous?.partitions.find(({ summary }) => summary?.partition === partition),
        // A layer is made of change records, which do not tell of a history that was left.
        mode: 'full',
        signal,
        turn: this.#turn,
        onProgress: ({ part }) => this.#tell(partition, 'write', part),
      });
      return written.summary;
    } finally {
      reader.close();
    }
  }

  readonly #turn = (): Promise<void> | undefined => (this.#turns.over ? this.#turns.next() : undefined);

  /* oxlint-disable-next-line max-params -- the fields of what is told */
  #tell(partition: number, step: MaterialiseStep, part: number | undefined, position?: bigint): void {
    this.#options.onProgress?.({ partition, step, part, ...(position === undefined ? {} : { position }) });
  }
}
