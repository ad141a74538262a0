// Everything that a repository says of the histories of its clusters, read at one time: descriptions of logs, names of
// segments, the times of their first batches, and manifests of checkpoints. What follows from it: history.ts.
import { limits } from '@statestore/core';
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { listArchive, type ListedLog, type ListedSegment } from './archived-log.ts';
import { callOf, listIds, type PassedOver, readManifest } from './catalog.ts';
import { History, type KnownLog } from './history.ts';
import { inParallel } from './in-parallel.ts';
import type { Repository } from './repository.ts';
import { readSegment } from './segment-objects.ts';

export interface ReadHistoryOptions {
  readonly repository: Repository;
  readonly signal: AbortSignal;
}

/** A checkpoint that is listed, or why it cannot be read. */
export type ListedManifest =
  | { readonly id: string; readonly manifest: CheckpointManifest }
  | (PassedOver & { readonly manifest?: undefined });

export class RepositoryHistory {
  readonly archive: readonly ListedLog[];
  /** Descriptions of logs that cannot be read: what is wrong, naming the object. */
  readonly damaged: readonly string[];
  /** The newest first. */
  readonly checkpoints: readonly ListedManifest[];
  /** By incarnation, in order of their first positions. */
  readonly segments: ReadonlyMap<string, readonly ListedSegment[]>;
  readonly #logs: readonly KnownLog[];

  /* oxlint-disable-next-line max-params -- what was read */
  private constructor(
    archive: readonly ListedLog[],
    damaged: readonly string[],
    checkpoints: readonly ListedManifest[],
    logs: readonly KnownLog[],
  ) {
    this.archive = archive;
    this.damaged = damaged;
    this.checkpoints = checkpoints;
    this.segments = new Map(archive.map(({ log, segments }) => [log.incarnation, segments]));
    this.#logs = logs;
  }

  /** Rejects with what the repository says. */
  static async read(options: ReadHistoryOptions): Promise<RepositoryHistory> {
    const { repository, signal } = options;
    const { listed } = await listIds(repository, callOf(options));
    const found = await inParallel(listed, limits.checkpointReadsMax, async (info): Promise<ListedManifest[]> => {
      const { id } = info;
      const read = await readManifest({ repository, signal }, info);
      if (read.state === 'complete') return [{ id, manifest: read.manifest }];
      return read.state === 'damaged' ? [{ id, why: read.damage.message }] : [];
    });
    // After the checkpoints: what is archived that they lead to was there when they were listed, or came since.
    const { logs, damaged } = await listArchive(options);
    const known = await knownOf(options, logs);
    return new RepositoryHistory(logs, damaged, found.flat(), known);
  }

  /** `others`: logs that may not be described yet. */
  of(cluster: string, others: readonly KnownLog[] = []): History {
    const checkpoints = this.checkpoints.flatMap(({ manifest }) => (manifest === undefined ? [] : [manifest]));
    const isKnown = ({ incarnation }: KnownLog): boolean => others.some((each) => each.incarnation === incarnation);
    const logs = [...this.#logs.filter((log) => !isKnown(log)), ...others];
    return new History({ cluster, logs, checkpoints });
  }
}

async function knownOf({ repository, signal }: ReadHistoryOptions, logs: readonly ListedLog[]): Promise<KnownLog[]> {
  const count = new Map<string, number>();
  const whose = ({ log }: ListedLog): string => `${log.partition}/${log.cluster}`;
  for (const listed of logs) count.set(whose(listed), (count.get(whose(listed)) ?? 0) + 1);
  return inParallel(logs, limits.archiveReadsMax, async (listed) => {
    const { log, segments, describedAtMs } = listed;
    // One that is alone began before everything that anybody asks for.
    const isAlone = count.get(whose(listed)) === 1;
    return {
      ...log,
      firstNanos: isAlone ? undefined : await firstNanosOf(repository, segments, signal),
      describedNanos: describedAtMs === undefined ? undefined : BigInt(Math.floor(describedAtMs)) * 1_000_000n,
      lastArchived: segments.reduce<bigint | undefined>(
        (greatest, { last }) => (greatest === undefined || last > greatest ? last : greatest),
        undefined,
      ),
    };
  });
}

async function firstNanosOf(
  repository: Repository,
  segments: readonly ListedSegment[],
  signal: AbortSignal,
): Promise<bigint | undefined> {
  for (const segment of segments) {
    const read = await readSegment(repository, segment, { signal });
    if (typeof read !== 'string') return read.batches[0]!.timestampNanos;
  }
  return undefined;
}
