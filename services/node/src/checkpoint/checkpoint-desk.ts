// The node's side of a checkpoint: one replica's state of one position is written into the repository. How many at
// once is bounded for the whole node, and so is the age of each snapshot: a held one lets an LMDB file grow with every
// commit. Who asks for it, and what makes the parts one checkpoint, is the conductor's business (conductor.ts).
import { toBinary } from '@bufbuild/protobuf';
import { decodeCheckpointManifest, manifestName, readPartitionManifest, writePartition } from '@statestore/checkpoint';
import type { Repository, Turn, WriteProgress } from '@statestore/checkpoint';
import type { BinaryString, StateReader } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { PartitionSummarySchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { CheckpointItem, CheckpointOrder } from '@statestore/link';
import type { OnNotice } from '../cluster/node-options.ts';
import type { CopySource } from '../copy/serve-copy.ts';
import type { EngineRange, EngineReader } from '../engine/engine.ts';
import { systemTime, type Time } from '../time.ts';
import { CheckpointTurns } from './checkpoint-turns.ts';
import type { RepositorySilence } from './catalog-keeper.ts';

export interface CheckpointDeskOptions {
  readonly repository: Repository;
  readonly cluster: string;
  readonly time?: Time;
  readonly atOnceMax?: number;
  readonly snapshotMs?: number;
  readonly progressMs?: number;
  /** Whether the repository answers this node: undefined, or since when it does not. */
  readonly silence?: () => RepositorySilence | undefined;
  readonly onNotice?: OnNotice;
}

type Order = CheckpointOrder & { readonly signal: AbortSignal };

const nothing: WriteProgress = { records: 0, bytes: 0, part: 0, uploadedBytes: 0, reusedBytes: 0 };

export class CheckpointDesk {
  readonly #options: Required<CheckpointDeskOptions>;
  readonly #turns: CheckpointTurns;
  #underWay = 0;

  constructor(options: CheckpointDeskOptions) {
    this.#options = {
      time: systemTime,
      atOnceMax: limits.checkpointsPerNodeMax,
      snapshotMs: limits.checkpointSnapshotMs,
      progressMs: limits.checkpointProgressMs,
      silence: () => undefined,
      onNotice: () => undefined,
      ...options,
    };
    this.#turns = new CheckpointTurns(this.#options.time);
  }

  get underWay(): number {
    return this.#underWay;
  }

  /** Where the repository does not answer this node. */
  get silence(): RepositorySilence | undefined {
    return this.#options.silence();
  }

  /** As NodeService.writeCheckpoint. Left early, it is given up; nothing of it is under way when `return` resolves. */
  async *write(source: CopySource, order: Order): AsyncGenerator<CheckpointItem, void> {
    if (order.signal.aborted) return;
    const { atOnceMax } = this.#options;
    if (this.#underWay >= atOnceMax) {
      const message = `this node writes ${this.#underWay} parts of checkpoints; it may write ${atOnceMax} at once`;
      throw new StateStoreError('overloaded', message, { retryAfterMs: limits.checkpointBusyMs });
    }
    this.#underWay++;
    const writing = new Writing(source, order, this.#options, this.#turns.part());
    const ended = writing.ended.then(
      () => undefined,
      () => undefined,
    );
    void ended.then(() => this.#underWay--);
    try {
      yield* writing.items();
    } finally {
      writing.giveUp(new StateStoreError('shutting_down', 'nobody waits for it any more'));
      await ended;
    }
  }
}

/** One part, and what it holds: freed when it is written, fails or is given up, whether or not anybody asks for more. */
class Writing {
  readonly #source: CopySource;
  readonly #order: Order;
  readonly #options: Required<CheckpointDeskOptions>;
  readonly #turn: Turn;
  readonly #abort = new AbortController();
  #progress = nothing;
  /** Of its part. Nothing of it is under way any more then. */
  readonly ended: Promise<Uint8Array>;

  /* oxlint-disable-next-line max-params -- what, of what, how, and when */
  constructor(source: CopySource, order: Order, options: Required<CheckpointDeskOptions>, turn: Turn) {
    this.#source = source;
    this.#order = order;
    this.#options = options;
    this.#turn = turn;
    this.ended = this.#run();
  }

  readonly giveUp = (reason: StateStoreError): void => this.#abort.abort(reason);

  async *items(): AsyncGenerator<CheckpointItem, void> {
    const { time, progressMs } = this.#options;
    for (;;) {
      const look = Promise.withResolvers<undefined>();
      const timer = time.after(progressMs, () => look.resolve(undefined));
      try {
        const summary = await Promise.race([this.ended, look.promise]);
        if (summary !== undefined) {
          yield { ...this.#progress, part: 1, summary };
          return;
        }
      } catch (error) {
        if (this.#order.signal.aborted) return;
        throw error;
      } finally {
        timer.cancel();
      }
      // Also where nothing moved: who hears nothing gives it up.
      yield this.#progress;
    }
  }

  async #run(): Promise<Uint8Array> {
    const { signal, deadlineMs } = this.#order;
    const { time, snapshotMs, progressMs } = this.#options;
    const { number } = this.#source;
    const stop = (): void => this.giveUp(new StateStoreError('shutting_down', 'it was asked to stop'));
    signal.addEventListener('abort', stop, { once: true });
    const timeoutMs = Math.min(deadlineMs, snapshotMs);
    const late = `partition ${number} was not written within ${timeoutMs} ms`;
    const deadline = time.after(timeoutMs, () =>
      this.giveUp(new StateStoreError('unavailable', late, { retryAfterMs: 1000 })),
    );
    let watch = time.after(progressMs, () => look());
    const look = (): void => {
      watch = time.after(progressMs, () => look());
      try {
        this.#source.serving();
      } catch (error) {
        this.giveUp(error as StateStoreError);
      }
    };
    try {
      return await this.#write();
    } finally {
      signal.removeEventListener('abort', stop);
      deadline.cancel();
      watch.cancel();
    }
  }

  async #write(): Promise<Uint8Array> {
    const { repository, cluster } = this.#options;
    const { checkpointId, generation, slots, slotsEpoch, full, level } = this.#order;
    const { signal } = this.#abort;
    this.#source.serving();
    const previous = await this.#previous();
    signal.throwIfAborted();
    const snapshot = await this.#source.snapshot();
    try {
      signal.throwIfAborted();
      const { summary, plan, ...progress } = await writePartition({
        reader: new ServingReader(snapshot, () => this.#serving()),
        cluster,
        partition: this.#source.number,
        slots,
        slotsEpoch,
        generation,
        repository,
        checkpointId,
        previous,
        mode: full ? 'full' : 'auto',
        level,
        signal,
        turn: this.#turn,
        onProgress: (now) => (this.#progress = now),
      });
      if (plan.kind === 'full' && plan.previousIsDamaged === true) this.#tellDamage(plan.why);
      this.#serving();
      const { records, bytes, part, uploadedBytes, reusedBytes } = progress;
      this.#progress = { records, bytes, part, uploadedBytes, reusedBytes };
      return toBinary(PartitionSummarySchema, summary);
    } finally {
      snapshot.close();
    }
  }

  #serving(): void {
    this.#abort.signal.throwIfAborted();
    this.#source.serving();
  }

  /** Of the partition. Undefined where it cannot be used: everything is written anew then. */
  async #previous(): Promise<PartitionManifest | undefined> {
    const { repository, cluster } = this.#options;
    const { previous: id } = this.#order;
    if (id === undefined) return undefined;
    const call = { signal: this.#abort.signal };
    const bytes = await repository.get(manifestName(id), call);
    if (bytes === undefined) return undefined;
    try {
      const manifest = decodeCheckpointManifest(id, bytes, { cluster });
      const listed = manifest.partitions.find(({ partition }) => partition === this.#source.number);
      return listed && (await readPartitionManifest(repository, manifest, listed, call));
    } catch (error) {
      const isDamaged = error instanceof StateStoreError && ['data_corrupt', 'data_format'].includes(error.code);
      if (!isDamaged) throw error;
      this.#tellDamage(error.message);
      return undefined;
    }
  }

  #tellDamage(error: string): void {
    const details = { partition: this.#source.number, checkpoint: this.#order.previous, error };
    this.#options.onNotice('the checkpoint before cannot be read: all of the partition is written anew', details);
  }
}

/** Nothing is read of a replica that halted or was closed, nor of a snapshot that is given up. */
class ServingReader implements StateReader {
  readonly #reader: EngineReader;
  readonly #serving: () => void;

  constructor(reader: EngineReader, serving: () => void) {
    this.#reader = reader;
    this.#serving = serving;
  }

  get(key: BinaryString): Uint8Array | undefined {
    this.#serving();
    return this.#reader.get(key);
  }

  range(range: EngineRange) {
    return this.#each(this.#reader.range(range));
  }

  keys(range: EngineRange) {
    return this.#each(this.#reader.keys(range));
  }

  *#each<T>(items: IterableIterator<T>): Generator<T, void> {
    try {
      for (;;) {
        this.#serving();
        const step = items.next();
        if (step.done === true) return;
        yield step.value;
      }
    } finally {
      items.return?.();
    }
  }
}
