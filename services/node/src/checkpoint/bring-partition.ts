// One partition of a restore plan brought to its moment: from its checkpoint by the archive, and recounted from its own
// records. What is made of the state then is the caller's.
import type { Repository } from '@statestore/checkpoint';
import { readArchive, restorePartition } from '@statestore/checkpoint';
import { Turns } from '../copy/turns.ts';
import type { Engine } from '../engine/engine.ts';
import { systemTime, type Time } from '../time.ts';
import type { Replayed } from './replay.ts';
import { proveEngine, replay } from './replay.ts';
import { type PartitionPlan, pointOf, type RestorePlan } from './restore-plan.ts';

export interface BringOptions {
  /** Where the plan's checkpoint and archive are. */
  readonly repository: Repository;
  readonly plan: Pick<RestorePlan, 'replays'>;
  readonly partition: PartitionPlan;
  /** Its content is replaced. Nobody else may use it meanwhile. */
  readonly engine: Engine;
  /** Also where nothing is replayed, after which it is recounted anyway, its entries are read back: see `restorePartition`. */
  readonly readBack?: boolean | undefined;
  readonly signal: AbortSignal;
  readonly time?: Time | undefined;
  readonly onProgress?: (progress: BringProgress) => void;
}

export interface BringProgress {
  readonly step: 'restore' | 'replay';
  /** 0 to 1, of this step; undefined: nobody knows how much it is. */
  readonly part: number | undefined;
  readonly position?: bigint;
}

/**
 * Resolves with how far the archive brought it; undefined: it is the checkpoint as it is. Rejects with `data_corrupt`
 * naming what is damaged or missing, with what the repository says, with the signal's reason.
 */
export async function bringPartition(options: BringOptions): Promise<Replayed | undefined> {
  const { repository, plan, partition, engine, readBack = false, signal, time = systemTime, onProgress } = options;
  const { manifest, path, segments, through, nanos } = partition;
  const { summary } = manifest;
  const turns = new Turns(time);
  await restorePartition({
    repository,
    manifest,
    target: engine,
    readBack: readBack && !plan.replays,
    signal,
    turn: () => (turns.over ? turns.next() : undefined),
    onProgress: ({ part }) => onProgress?.({ step: 'restore', part }),
  });
  if (!plan.replays) return undefined;
  const expected = { partition: summary.partition };
  const replayed = await replay({
    engine,
    parts: readArchive({ repository, path, segments, after: pointOf(summary), through, expected, signal }),
    nanos,
    signal,
    time,
    onProgress: ({ position }) => onProgress?.({ step: 'replay', part: undefined, position }),
  });
  await proveEngine(engine, signal, time);
  return replayed;
}
