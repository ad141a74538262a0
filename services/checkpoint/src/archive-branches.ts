// What is archived of a repository's logs as a tree, and the way from a checkpoint to the newest batch that is archived:
// found by names and by the time of each log's first batch alone.
import { limits } from '@statestore/core';
import type { PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { BranchingLog, PathStep } from './archive-path.ts';
import { pathTo, tipAt } from './archive-path.ts';
import type { ListedLog, ListedSegment } from './archived-log.ts';
import { inParallel } from './in-parallel.ts';
import type { Repository } from './repository.ts';
import { readSegment } from './segment-objects.ts';

export type Branch = BranchingLog & ListedLog;

/** Of logs that are alone nothing is read: they began before everything that anybody asks for. */
export async function branchesOf(
  repository: Repository,
  logs: readonly ListedLog[],
  signal: AbortSignal,
): Promise<readonly Branch[]> {
  const count = new Map<string, number>();
  const whose = ({ log }: ListedLog): string => `${log.partition}/${log.cluster}`;
  for (const listed of logs) count.set(whose(listed), (count.get(whose(listed)) ?? 0) + 1);
  return inParallel(logs, limits.archiveReadsMax, async (listed) => {
    const isAlone = count.get(whose(listed)) === 1;
    const [first] = listed.segments;
    const firstNanos =
      first === undefined ? undefined : isAlone ? 0n : await firstNanosOf(repository, listed.segments, signal);
    return { ...listed.log, ...listed, firstNanos };
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

/** To the log that is written to now; to the end of the checkpoint's own where that one does not carry it on. */
export function wayFrom(
  branches: readonly Branch[],
  summary: Pick<PartitionSummary, 'partition' | 'incarnation' | 'position'>,
  cluster: string,
): readonly PathStep[] {
  const own = branches.filter(({ log }) => log.cluster === cluster && log.partition === summary.partition);
  const tip = tipAt(own, undefined)?.incarnation ?? summary.incarnation;
  try {
    return pathTo(branches, summary, tip);
  } catch {
    return [{ incarnation: summary.incarnation, through: undefined }];
  }
}
