// Removes what nothing that is listed refers to, and nobody comes to refer to. Any number may run at once, and be
// killed or frozen at any request: what is garbage stays garbage, and removing it twice is no harm.
import { limits } from '@statestore/core';
import { callOf } from './catalog.ts';
import { type Garbage, surveyGarbage } from './garbage-survey.ts';
import type { ObjectName, Repository, RepositoryCall } from './repository.ts';
import { giveUpRoom } from './spare-room.ts';

export interface CollectOptions {
  readonly repository: Repository;
  readonly graceMs?: number;
  readonly decidedKeptMs?: number;
  /** Only tells what it would remove. Silent writers are given up nevertheless. */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

export type CollectOutcome =
  | CollectedGarbage
  /** Nothing was removed: something cannot be read, is missing, or is not listed though it is there. */
  | { readonly outcome: 'blocked'; readonly why: readonly string[] };

export interface CollectedGarbage {
  readonly outcome: 'collected';
  /** Deleted checkpoints of which nothing is left now, or hardly anything. */
  readonly checkpoints: number;
  readonly blocks: number;
  readonly blockBytes: number;
  readonly objects: number;
  /** Checkpoints that were begun and had been silent for longer than the grace. */
  readonly abandoned: readonly string[];
}

/** Rejects where the repository does not answer; it goes on next time. */
export async function collectGarbage(options: CollectOptions): Promise<CollectOutcome> {
  const {
    repository,
    graceMs = limits.checkpointGraceMs,
    decidedKeptMs = limits.checkpointDecidedKeptMs,
    dryRun = false,
  } = options;
  const call = callOf(options);
  let all: CollectedGarbage | undefined;
  for (let attempt = 0; attempt < limits.checkpointCollectAttempts; attempt++) {
    const survey = await surveyGarbage({ repository, graceMs, decidedKeptMs, ...call });
    if (survey.state === 'blocked') return { outcome: 'blocked', why: survey.why };
    const collected = await removeAll(survey.garbage, dryRun ? undefined : repository, call);
    all = sumOf(collected, all);
    // Where it was full, what waited for a marker goes once there is room for one.
    if (!survey.isFull || dryRun) break;
    const hasRoom = (await giveUpRoom(repository, call)) || collected.objects > 0;
    if (!hasRoom) break;
  }
  return all!;
}

async function removeAll(
  { manifests, blocks, partitionManifests, markers, abandoned }: Garbage,
  repository: Repository | undefined,
  call: RepositoryCall,
): Promise<CollectedGarbage> {
  const inOrder = [manifests, blocks.map(({ name }) => name), partitionManifests, markers];
  for (const names of inOrder) for (const group of groups(names)) await repository?.remove(group, call);
  return {
    outcome: 'collected',
    checkpoints: manifests.length,
    blocks: blocks.length,
    blockBytes: blocks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    objects: inOrder.flat().length,
    abandoned,
  };
}

function sumOf(one: CollectedGarbage, other: CollectedGarbage | undefined): CollectedGarbage {
  if (other === undefined) return one;
  return {
    outcome: 'collected',
    checkpoints: one.checkpoints + other.checkpoints,
    blocks: one.blocks + other.blocks,
    blockBytes: one.blockBytes + other.blockBytes,
    objects: one.objects + other.objects,
    abandoned: [...other.abandoned, ...one.abandoned],
  };
}

function groups(names: readonly ObjectName[]): ObjectName[][] {
  const { checkpointRemovedAtOnce: size } = limits;
  return Array.from({ length: Math.ceil(names.length / size) }, (_, at) => names.slice(at * size, (at + 1) * size));
}
