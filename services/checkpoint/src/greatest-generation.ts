// The greatest generation of any log that a repository has heard of, by manifests of checkpoints and descriptions of
// archived logs. The logs of a restore get a later one: whatever clients were told of before is of an earlier log then
// (docs/decisions/0010-positions-of-a-generation.md).
import { limits } from '@statestore/core';
import { listArchive } from './archived-log.ts';
import { callOf, listIds, readManifest } from './catalog.ts';
import { inParallel } from './in-parallel.ts';
import type { Repository } from './repository.ts';

export interface GreatestGenerationOptions {
  readonly repository: Repository;
  readonly signal: AbortSignal;
}

/** 0 where there is none. Of what can be read; rejects with what the repository says. */
export async function greatestGeneration(options: GreatestGenerationOptions): Promise<number> {
  const { repository, signal } = options;
  const { listed } = await listIds(repository, callOf(options));
  const ofManifests = await inParallel(listed, limits.checkpointReadsMax, async (info) => {
    const read = await readManifest({ repository, signal }, info);
    return read.state === 'complete' ? read.manifest.partitions.map(({ generation }) => generation) : [];
  });
  const { logs } = await listArchive(options);
  const all = [...ofManifests.flat(), ...logs.map(({ log }) => log.generation)];
  return all.reduce((greatest, each) => Math.max(greatest, each), 0);
}
