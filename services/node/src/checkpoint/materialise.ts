// A new checkpoint out of an older one: of any moment, by the archive, and of any number of partitions. Each partition is
// restored into an engine that is thrown away, brought to the moment (restore-world.ts), recounted, and written as if a replica had been
// there. Nothing of the source is changed, and the new checkpoint is complete or not there.
import type { GoodCheckpoint, Repository } from '@statestore/checkpoint';
import { beginCheckpoint, commitCheckpoint, giveUpCheckpoint, writePartition } from '@statestore/checkpoint';
import { evenTopology, limits, type SlotRange, StateStoreError } from '@statestore/core';
import type { CheckpointManifest, PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { CheckpointTrigger } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { Turns } from '../copy/turns.ts';
import type { Engine } from '../engine/engine.ts';
import { systemTime, type Time } from '../time.ts';
import { reshape, type ReshapeSource } from './reshape.ts';
import type { RestorePlan } from './restore-plan.ts';
import type { PartitionReach } from './restore-reach.ts';
import type { ChildPlan } from './restore-splits.ts';
import { type Brought, KeepAll, RestoreWorld, type ScratchEngine } from './restore-world.ts';

export type { ScratchEngine } from './restore-world.ts';

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
  /** Undefined: those that there were at the moment. As many as the checkpoint has: with the slots that they have there. */
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
  /** The partitions that there were at the moment, and how far each was brought. */
  readonly reached: readonly PartitionReach[];
}

/**
 * Rejects with `data_corrupt` naming what is damaged or missing, with what either repository says, with the signal's
 * reason: there is no new checkpoint then, and none will come.
 */
export async function materialise(options: MaterialiseOptions): Promise<Materialised> {
  try {
    return await materialiseOnce(options, false);
  } catch (error) {
    if (!(error instanceof KeepAll)) throw error;
    return materialiseOnce(options, true);
  }
}

async function materialiseOnce(options: MaterialiseOptions, keepsAll: boolean): Promise<Materialised> {
  const { into, cluster, conductor, random, signal, time = systemTime } = options;
  const nowMs = (): number => time.nowMs();
  const begun = await beginCheckpoint({ repository: into, cluster, conductor, nowMs, random, mode: 'auto', signal });
  let isCommitted = false;
  try {
    const making = new Materialising(options, begun.id, begun.previous);
    const partitions = await making.partitions(keepsAll);
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
    const reached = making.reached.toSorted((one, other) => one.partition - other.partition);
    return { manifest: committed.manifest, reached };
  } finally {
    // What cannot be said now, garbage collection says later.
    if (!isCommitted) await giveUpCheckpoint(into, begun.id).catch(() => undefined);
  }
}

/** A partition of the new checkpoint. */
interface Wanted {
  readonly partition: number;
  readonly slots: readonly SlotRange[];
  readonly generation: number;
}

class Materialising {
  readonly reached: PartitionReach[] = [];
  readonly #written = new Set<number>();
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

  async partitions(keepsAll: boolean): Promise<PartitionSummary[]> {
    const { plan, partitions: count } = this.#options;
    const own = plan.partitions;
    const mayDiffer = keepsAll || count !== own.length || own.some(({ children }) => children.length > 0);
    if (count !== undefined && mayDiffer) return this.#spread(count);
    const summaries: PartitionSummary[] = [];
    await this.#bring(keepsAll, async (brought) => {
      this.reached.push(brought.reach);
      summaries.push(await this.#asItIs(brought));
    });
    // Some of them were merged on the way.
    if (count === undefined || count === summaries.length) return summaries;
    throw new KeepAll('as many partitions as before are wanted of others');
  }

  async #bring(keepsAll: boolean, tell: (brought: Brought) => Promise<void>): Promise<void> {
    const world = this.#world(keepsAll);
    try {
      await world.bring(tell);
    } finally {
      await world.close();
    }
  }

  #world(keepsAll: boolean): RestoreWorld {
    const { plan, source: repository, openScratch, signal, time } = this.#options;
    return new RestoreWorld({
      repository,
      plan,
      openScratch,
      keepsAll,
      readBack: true,
      signal,
      time,
      onProgress: ({ partition, step, part, position }) => this.#tell(partition, step, part, position),
    });
  }

  async #spread(count: number): Promise<PartitionSummary[]> {
    const world = this.#world(true);
    try {
      const sources = await world.bringAll();
      for (const { reach } of sources) this.reached.push(reach);
      const summaries: PartitionSummary[] = [];
      if (sources.length === count) {
        for (const each of sources) summaries.push(await this.#asItIs(each));
        return summaries;
      }
      // One for all: their logs go on from the same position.
      const position = sources.reduce((most, { engine }) => (engine.position > most ? engine.position : most), 1n);
      for (const { partition, slots } of this.#layoutOf(count))
        summaries.push(await this.#made(sources, { partition, slots, generation: 1 }, position));
      return summaries;
    } finally {
      await world.close();
    }
  }

  /** As many as the checkpoint has: those. */
  #layoutOf(count: number): readonly Pick<Wanted, 'partition' | 'slots'>[] {
    const own = this.#options.plan.partitions.map(({ manifest }) => manifest.summary);
    return own.length === count ? own : evenTopology(count, []).partitions;
  }

  async #asItIs(brought: Brought): Promise<PartitionSummary> {
    const { partition, slots, engine, isFenced } = brought;
    const isTaken = this.#written.has(partition);
    this.#written.add(partition);
    if (!isFenced && !isTaken) return this.#write(engine, brought);
    // Nobody in the new cluster would know whose the slots are to be. Its number may be that of a later one already.
    const number = isTaken ? this.#free() : partition;
    this.#written.add(number);
    return this.#made([brought], { partition: number, slots, generation: 1 }, engine.position);
  }

  /** A number that no partition of the plan has or had. */
  #free(): number {
    const numbers = (children: readonly ChildPlan[]): number[] =>
      children.flatMap((child) => [child.partition, ...numbers(child.children)]);
    const all = this.#options.plan.partitions.flatMap((each) => [
      each.manifest.summary.partition,
      ...numbers(each.children),
    ]);
    return 1 + [...all, ...this.#written].reduce((most, each) => Math.max(most, each), 0);
  }

  async #made(sources: readonly ReshapeSource[], wanted: Wanted, position: bigint): Promise<PartitionSummary> {
    const { openScratch, signal } = this.#options;
    const scratch = await openScratch();
    try {
      const { partition, slots } = wanted;
      this.#tell(partition, 'reshape', undefined);
      await reshape({ sources, slots, position, partition, target: scratch.engine, signal });
      return await this.#write(scratch.engine, wanted);
    } finally {
      await scratch.dispose();
    }
  }

  async #write(engine: Engine, { partition, slots, generation }: Wanted): Promise<PartitionSummary> {
    const { into: repository, cluster, signal } = this.#options;
    const reader = engine.snapshot();
    try {
      const written = await writePartition({
        partition,
        slots,
        generation,
        reader,
        cluster,
        repository,
        checkpointId: this.#id,
        previous: this.#previous?.partitions.find(({ summary }) => summary?.partition === partition),
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
