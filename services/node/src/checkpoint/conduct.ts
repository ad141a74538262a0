// One checkpoint of all partitions, from its beginning to its manifest, or to the certainty that there will be none.
// For each partition a replica writes; where it fails another one does. While
// slots change hands beside it, what is written is put together to one layout (checkpoint-layout.ts). Who conducts, and what is told of it, is
// conductor.ts.
import { randomBytes } from 'node:crypto';
import { fromBinary } from '@bufbuild/protobuf';
import type { BegunCheckpoint, CommitOutcome, Repository } from '@statestore/checkpoint';
import {
  beginCheckpoint,
  commitCheckpoint,
  decodePartitionManifest,
  giveUpCheckpoint,
  partitionManifestName,
  partitionSummaryOf,
} from '@statestore/checkpoint';
import type { RunPartition, RunTrigger } from '@statestore/cluster';
import { limits, StateStoreError } from '@statestore/core';
import type { CheckpointManifest, PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { CheckpointTrigger, PartitionSummarySchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { pause, unlessAborted } from '../cluster/pause.ts';
import type { Time, Timer } from '../time.ts';
import { layoutOf, missingSlots, nextTask } from './checkpoint-layout.ts';
import type { Candidate, PartitionTask, Replicas } from './replicas.ts';

export interface ConductOptions {
  readonly repository: Repository;
  readonly cluster: string;
  /** Which cluster of the name this is. Default: the one that does not say. */
  readonly lineage?: string | undefined;
  readonly node: string;
  readonly version: string;
  readonly replicas: Replicas;
  readonly time: Time;
  readonly trigger: RunTrigger;
  readonly level: number;
  readonly deadlineMs: number;
  /** Before anything of it may become complete. Rejects where this node is not to go on. */
  readonly onBegun: (checkpoint: string) => Promise<unknown>;
  readonly onProgress: (partitions: readonly RunPartition[]) => void;
  /** Whether blocks of this checkpoint may be used again. Default: of all. */
  readonly isUsable?: (checkpoint: string) => boolean;
  readonly signal: AbortSignal;
  /** How long calls are waited for that do not end when they are told to. */
  readonly hungMs?: number;
}

const triggers: Readonly<Record<RunTrigger, CheckpointTrigger>> = {
  manual: CheckpointTrigger.MANUAL,
  schedule: CheckpointTrigger.SCHEDULE,
  shutdown: CheckpointTrigger.SHUTDOWN,
};

/** The manifest, where this process saw it become complete; else that it is, as whoever looks will find. */
export interface Conducted {
  readonly checkpoint: string;
  readonly manifest: CheckpointManifest | undefined;
}

/**
 * Resolves when the checkpoint is complete. Rejects when there certainly is none, or the repository does not say. One
 * that hangs is left behind: if it ever goes on, it completes a checkpoint that is whole, or finds itself given up.
 */
export async function conduct(options: ConductOptions): Promise<Conducted> {
  const { deadlineMs, hungMs = limits.checkpointHungMs, time } = options;
  const late = new AbortController();
  const timer = time.after(deadlineMs, () =>
    late.abort(
      new StateStoreError('unavailable', `the checkpoint was not complete within ${deadlineMs} ms`, {
        hint: 'give it a longer deadline, or look what makes the repository slow',
      }),
    ),
  );
  const ended = AbortSignal.any([options.signal, late.signal]);
  const hung = new AbortController();
  let patience: Timer | undefined;
  const wait = (): void => void (patience = time.after(hungMs, () => hung.abort(ended.reason)));
  ended.addEventListener('abort', wait, { once: true });
  try {
    return await unlessAborted(new Conducting({ ...options, signal: ended }).run(), hung.signal);
  } finally {
    timer.cancel();
    patience?.cancel();
    ended.removeEventListener('abort', wait);
  }
}

class Conducting {
  readonly #options: ConductOptions;
  readonly #endMs: number;
  readonly #progress = new Map<number, RunPartition>();
  /** Parts under way, by node. */
  readonly #busy = new Map<string, number>();

  constructor(options: ConductOptions) {
    this.#options = options;
    this.#endMs = options.time.elapsedMs() + options.deadlineMs;
  }

  async run(): Promise<Conducted> {
    for (let attempt = 1; ; attempt++) {
      const made = await this.#once();
      if (made !== 'moved') return made;
      if (attempt < limits.checkpointLayoutAttempts) continue;
      throw new StateStoreError('unavailable', 'slots changed hands faster than partitions could be written', {
        hint: 'pause the resize (statestore partitions pause), or make the checkpoint after it',
      });
    }
  }

  /** `moved`: what was written has not each slot once, and cannot come to. There is no such checkpoint then. */
  async #once(): Promise<Conducted | 'moved'> {
    const {
      repository,
      cluster,
      lineage = '',
      node: conductor,
      replicas,
      time,
      signal,
      onBegun,
      isUsable = () => true,
    } = this.#options;
    const tasks = replicas.tasks();
    if (tasks === undefined) throw new StateStoreError('unavailable', 'the topology is not known yet');
    this.#progress.clear();
    for (const { partition } of tasks) this.#tell({ partition, ...nothing });
    const begun = await beginCheckpoint({
      repository,
      cluster,
      lineage,
      conductor,
      nowMs: () => time.nowMs(),
      random: (bytes) => randomBytes(bytes),
      mode: 'auto',
      accepts: ({ id }) => (isUsable(id) ? undefined : 'a block of it, or of a newer one, is damaged'),
      signal,
    });
    let outcome: CommitOutcome | undefined;
    try {
      await onBegun(begun.id);
      const partitions = await this.#writeAll(begun);
      if (partitions === undefined) return (await this.#giveUp(begun.id), 'moved');
      outcome = await this.#commit(begun, partitions);
      if (outcome.outcome === 'committed') return { checkpoint: begun.id, manifest: outcome.manifest };
      throw new StateStoreError('unavailable', `the checkpoint ${begun.id} was given up: ${whys[outcome.outcome]}`);
    } catch (error) {
      // Whatever is complete under that id is not this one.
      if (outcome?.outcome === 'taken') throw error;
      if ((await this.#giveUp(begun.id)) === 'complete') return { checkpoint: begun.id, manifest: undefined };
      throw error;
    }
  }

  #commit(begun: BegunCheckpoint, partitions: readonly PartitionSummary[]): Promise<CommitOutcome> {
    const { repository, version, trigger, time, signal } = this.#options;
    return commitCheckpoint({
      repository,
      begun,
      partitions,
      trigger: triggers[trigger],
      version,
      lineage: this.#options.lineage,
      nowMs: () => time.nowMs(),
      isLate: () => time.elapsedMs() >= this.#endMs,
      signal,
    });
  }

  /** Also where its own signal has aborted. Where the repository does not answer, garbage collection does the same later. */
  async #giveUp(id: string): Promise<'abandoned' | 'complete' | 'unknown'> {
    const { repository, time } = this.#options;
    const enough = new AbortController();
    const timer = time.after(limits.checkpointSilenceMs, () => enough.abort(new Error('it took too long')));
    try {
      return await giveUpCheckpoint(repository, id, { signal: enough.signal });
    } catch {
      return 'unknown';
    } finally {
      timer.cancel();
    }
  }

  /** One layout; undefined: what was written makes none, and what is missing cannot be written any more. */
  async #writeAll(begun: BegunCheckpoint): Promise<readonly PartitionSummary[] | undefined> {
    const { signal, time } = this.#options;
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const written = new Map<number, PartitionSummary>();
    const underWay = new Map<number, Promise<void>>();
    const write = async (task: PartitionTask): Promise<void> => {
      try {
        const summary = await this.#writeOne(begun, task, either);
        if (summary !== undefined) written.set(task.partition, summary);
      } catch (error) {
        failed.abort(error);
      } finally {
        underWay.delete(task.partition);
      }
    };
    // Who took slots may not be in the topology yet when they are gone where they were.
    for (let waits = 0; waits < limits.checkpointLayoutWaits;) {
      for (let task = this.#next(written, underWay); task !== undefined; task = this.#next(written, underWay))
        underWay.set(task.partition, write(task));
      await Promise.race(underWay.values());
      if (either.aborted) break;
      if (underWay.size > 0) continue;
      if (missingSlots([...written.values()]).length === 0) break;
      if (this.#next(written, underWay) !== undefined) continue;
      waits++;
      await pause(time, limits.checkpointBusyMs, either);
    }
    await Promise.all(underWay.values());
    either.throwIfAborted();
    return layoutOf([...written.values()]);
  }

  #next(
    written: ReadonlyMap<number, PartitionSummary>,
    underWay: ReadonlyMap<number, Promise<void>>,
  ): PartitionTask | undefined {
    const { replicas } = this.#options;
    const merges = replicas.merges?.() ?? [];
    const task = nextTask(replicas.tasks() ?? [], merges, {
      taken: new Set([...written.keys(), ...underWay.keys()]),
      missing: missingSlots([...written.values()]),
    });
    // One that is about to end is not to wait for others.
    const isUrgent = merges.some(({ source }) => source === task?.partition);
    const max = limits.checkpointPartitionsMax * (isUrgent ? 2 : 1);
    return underWay.size < max ? task : undefined;
  }

  /** Undefined: it has no slots any more. */
  async #writeOne(
    begun: BegunCheckpoint,
    { partition }: PartitionTask,
    signal: AbortSignal,
  ): Promise<PartitionSummary | undefined> {
    const { replicas } = this.#options;
    const tried = new Set<string>();
    let failure: unknown = new StateStoreError('unavailable', `no replica of partition ${partition} runs`);
    for (let attempts = 0; attempts < limits.checkpointReplicaAttempts;) {
      const task = replicas.tasks()?.find((each) => each.partition === partition);
      if (task === undefined) return this.#gone(partition);
      const candidate = this.#choose(partition, tried);
      if (candidate === undefined) {
        // All of them were asked: once more after a while, since a replica may start again.
        attempts++;
        tried.clear();
        await pause(this.#options.time, limits.checkpointBusyMs, signal);
        continue;
      }
      this.#count(candidate.node, 1);
      try {
        return await this.#ask(begun, task, candidate, signal);
      } catch (error) {
        signal.throwIfAborted();
        const written = isTaken(error) ? await this.#written(begun.id, partition, signal) : undefined;
        if (written !== undefined) return written;
        failure = error;
        if (error instanceof StateStoreError && error.code === 'moved') return this.#gone(partition);
        // It writes as many as it may: that is no failure, and ends.
        if (error instanceof StateStoreError && error.code === 'overloaded') {
          await pause(this.#options.time, limits.checkpointBusyMs, signal);
          continue;
        }
        attempts++;
        tried.add(candidate.node);
      } finally {
        this.#count(candidate.node, -1);
      }
    }
    throw failure;
  }

  #gone(partition: number): undefined {
    this.#progress.delete(partition);
    return undefined;
  }

  /** The one with the least work, of those that were not tried. */
  #choose(partition: number, tried: ReadonlySet<string>): Candidate | undefined {
    const busy = ({ node }: Candidate): number => this.#busy.get(node) ?? 0;
    return this.#options.replicas
      .candidates(partition)
      .filter(({ node }) => !tried.has(node))
      .toSorted((a, b) => busy(a) - busy(b))[0];
  }

  #count(node: string, by: number): void {
    this.#busy.set(node, (this.#busy.get(node) ?? 0) + by);
  }

  /* oxlint-disable-next-line max-params -- what, of what, by whom, and until when */
  async #ask(
    begun: BegunCheckpoint,
    { partition, generation, slots, slotsEpoch }: PartitionTask,
    { node, writer }: Candidate,
    signal: AbortSignal,
  ): Promise<PartitionSummary> {
    const { level, time } = this.#options;
    const previous = begun.previous?.manifest.id;
    this.#tell({ partition, ...nothing, state: 'writing', node });
    const items = writer.writeCheckpoint(partition, {
      checkpointId: begun.id,
      generation,
      slots,
      ...(slotsEpoch === undefined ? {} : { slotsEpoch }),
      full: false,
      level,
      deadlineMs: Math.max(1, Math.ceil(this.#endMs - time.elapsedMs())),
      signal,
      ...(previous === undefined ? {} : { previous }),
    });
    for await (const { summary, ...progress } of items) {
      this.#tell({ partition, ...progress, node, state: summary === undefined ? 'writing' : 'written' });
      if (summary !== undefined) return fromBinary(PartitionSummarySchema, summary);
    }
    signal.throwIfAborted();
    throw new StateStoreError('unavailable', `node ${node} ended the checkpoint of partition ${partition} early`);
  }

  /** By an attempt whose answer was lost: it was verified before its manifest was written. */
  async #written(id: string, partition: number, signal: AbortSignal): Promise<PartitionSummary | undefined> {
    const { repository, cluster } = this.#options;
    const bytes = await repository.get(partitionManifestName(id, partition), { signal });
    if (bytes === undefined) return undefined;
    const manifest = decodePartitionManifest(id, partition, bytes, { cluster });
    this.#tell({ ...(this.#progress.get(partition) ?? { partition, ...nothing }), part: 1, state: 'written' });
    return partitionSummaryOf(manifest, bytes, 0n);
  }

  #tell(progress: RunPartition): void {
    this.#progress.set(progress.partition, progress);
    this.#options.onProgress([...this.#progress.values()]);
  }
}

const nothing = { state: 'waiting', records: 0, bytes: 0, part: 0, uploadedBytes: 0, reusedBytes: 0 } as const;

const whys: Readonly<Record<Exclude<CommitOutcome['outcome'], 'committed'>, string>> = {
  taken: 'another one has its id',
  abandoned: 'it was silent for so long that another node gave it up',
  late: 'its deadline passed',
};

function isTaken(error: unknown): boolean {
  return error instanceof StateStoreError && error.code === 'precondition_failed';
}
