// Real checkpoints for tests: partitions grown by batches, written by the partition writer, committed. The engine is
// a sorted map.
import {
  applyBatch,
  type BinaryString,
  bytesFromBinary,
  type Command,
  defaultTtl,
  encodeBatch,
  incarnationKey,
  limits,
  loadState,
  noCondition,
  type StateRange,
  type StateReader,
} from '@statestore/core';
import { CheckpointTrigger } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import {
  beginCheckpoint,
  type BegunCheckpoint,
  commitCheckpoint,
  type CommitOptions,
  type CommitOutcome,
} from './commit.ts';
import { writePartition } from './partition-writer.ts';
import type { StateRecord } from './records.ts';
import type { Repository } from './repository.ts';
import type { RestoreTarget } from './restore-partition.ts';
import type { ScratchEngine } from './verify-checkpoint.ts';

export const cluster = 'tested';
const incarnation = '00000000-0000-4000-8000-000000000001';
export const never: AbortSignal = new AbortController().signal;

export class SortedRecords implements StateReader, RestoreTarget, ScratchEngine {
  #records: StateRecord[] = [];
  disposed = 0;

  get length(): number {
    return this.#records.length;
  }

  write(writes: Iterable<readonly [BinaryString, Uint8Array | undefined]>): void {
    const byKey = new Map(this.#records.map(({ key, value }) => [key, value]));
    for (const [key, value] of writes)
      if (value === undefined) byKey.delete(key);
      else byKey.set(key, value);
    this.#records = [...byKey].map(([key, value]) => ({ key, value })).toSorted((a, b) => (a.key < b.key ? -1 : 1));
  }

  get(key: BinaryString): Uint8Array | undefined {
    return this.#records.find((record) => record.key === key)?.value;
  }

  *range({ start, end, reverse = false, limit = Infinity }: StateRange): IterableIterator<StateRecord> {
    const within = this.#records.filter(
      ({ key }) => (start === undefined || key >= start) && (end === undefined || key < end),
    );
    yield* (reverse ? within.toReversed() : within).slice(0, limit);
  }

  *keys(range: StateRange): IterableIterator<BinaryString> {
    for (const { key } of this.range(range)) yield key;
  }

  async restore(...[parts, , accept]: Parameters<RestoreTarget['restore']>): Promise<void> {
    const restored = new SortedRecords();
    for await (const part of parts) restored.#records.push(...part);
    await accept(restored);
    this.#records = restored.#records;
  }

  async dispose(): Promise<void> {
    this.disposed++;
  }
}

/** Some more keys in the partition, by one batch. */
export function grow(records: SortedRecords, keys: readonly string[], fill = 1): void {
  const state = loadState(records);
  const position = state.position + 1n;
  const commands = keys.map((key): Command => {
    const value = new Uint8Array(200).fill(fill);
    const operation = { kind: 'put', key, condition: noCondition, value, contentType: '', ttl: defaultTtl } as const;
    return { body: { kind: 'mutate', store: 'store', atomic: false, checks: [], operations: [operation] } };
  });
  const bytes = encodeBatch({ partition: 0, proposer: 'p'.repeat(16), number: Number(position), commands });
  const batch = { position, timestampNanos: position * 1_000_000_000n, bytes };
  records.write(applyBatch(state, records, batch).writes);
  records.write([[incarnationKey, bytesFromBinary(incarnation)]]);
}

export function grown(count: number): SortedRecords {
  const records = new SortedRecords();
  grow(
    records,
    Array.from({ length: count }, (_, i) => `key ${i}`),
  );
  return records;
}

export interface MakeOptions {
  readonly repository: Repository;
  readonly partitions: readonly SortedRecords[];
  readonly nowMs?: () => number;
  readonly mode?: 'auto' | 'full';
  readonly conductor?: string;
  /** After blocks and partitions' manifests are there, before the commit. */
  readonly before?: (begun: BegunCheckpoint) => Promise<void> | void;
  readonly commit?: Partial<CommitOptions>;
}

export async function begin(options: Omit<MakeOptions, 'partitions'>): Promise<BegunCheckpoint> {
  const { repository, nowMs = Date.now, mode = 'auto', conductor = 'node-1' } = options;
  const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
  return beginCheckpoint({ repository, cluster, conductor, nowMs, random, mode });
}

export async function commitOf(begun: BegunCheckpoint, options: MakeOptions): Promise<CommitOptions> {
  const { repository, partitions, nowMs = Date.now, mode = 'auto', commit = {} } = options;
  const share = limits.slotCount / partitions.length;
  const written = await Promise.all(
    partitions.map((reader, partition) =>
      writePartition({
        reader,
        cluster,
        partition,
        slots: [{ start: partition * share, end: (partition + 1) * share }],
        generation: 1,
        repository,
        checkpointId: begun.id,
        previous: begun.previous?.partitions[partition],
        mode,
        cut: { targetBytes: 2000, maxBytes: 4000 },
        signal: never,
      }),
    ),
  );
  const summaries = written.map(({ summary }) => summary);
  const trigger = CheckpointTrigger.MANUAL;
  return { repository, begun, partitions: summaries, trigger, version: '1', nowMs, isLate: () => false, ...commit };
}

export async function make(options: MakeOptions): Promise<{ begun: BegunCheckpoint; made: CommitOutcome }> {
  const begun = await begin(options);
  const commit = await commitOf(begun, options);
  await options.before?.(begun);
  return { begun, made: await commitCheckpoint(commit) };
}

/** As `make`, where nothing else is to be expected than that it is made. */
export async function madeId(options: MakeOptions): Promise<string> {
  const { begun, made } = await make(options);
  if (made.outcome !== 'committed') throw new Error(`the checkpoint is ${made.outcome}`);
  return begun.id;
}
