// The checkpoints that a log may be trimmed below: the newest that are old enough and of which every block was read and
// is whole. Those that share a broken block are named, also newer ones: none of them is to be relied on, nor made use of
// by the next one.
import { limits } from '@statestore/core';
import type { CheckpointManifest, PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { BlockProofs, ProvingOptions } from './block-proofs.ts';
import { callOf, examine, listIds, newestGood, readManifest, showCheckpoint } from './catalog.ts';
import { inParallel } from './in-parallel.ts';
import { readPartitionManifest } from './manifest-codec.ts';
import { isDamage } from './markers.ts';
import { blocksOf } from './presence.ts';
import type { ObjectName } from './repository.ts';
import { repositoryClock } from './repository-clock.ts';

export interface ProvenOptions extends ProvingOptions {
  readonly cluster: string;
  /** Those of others of its name count for nothing; undefined: all do. */
  readonly lineage?: string | undefined;
  readonly proofs: BlockProofs;
  /** How long ago its manifest was stored at least, by the repository's clock. */
  readonly marginMs: number;
  /** Ids of checkpoints that were damaged when somebody read them: they are read again, too. */
  readonly suspects?: Iterable<string> | undefined;
}

export interface ProvenCheckpoint {
  readonly manifest: CheckpointManifest;
  /** By the repository's clock, as `nowMs`. */
  readonly storedAtMs: number;
}

export interface Proven {
  /** The newest first; two where there are two. */
  readonly good: readonly ProvenCheckpoint[];
  readonly nowMs: number;
  /** Of listed checkpoints of the cluster, by id: those with a block that is not what it should be, and which. */
  readonly damaged: ReadonlyMap<string, string>;
}

/** Rejects where the repository does not answer. */
export async function provenCheckpoints(options: ProvenOptions): Promise<Proven> {
  const { repository, cluster, lineage, proofs, marginMs, signal } = options;
  const { nowMs } = await repositoryClock(repository, callOf(options));
  const good: ProvenCheckpoint[] = [];
  const needed = new Set<ObjectName>();
  const broken = new Set<ObjectName>();
  let before: string | undefined;
  while (good.length < limits.checkpointsKeptMin) {
    let storedAtMs = 0;
    const found = await newestGood({
      repository,
      cluster,
      lineage,
      before,
      ...(signal === undefined ? {} : { signal }),
      accepts: (_, info) => {
        storedAtMs = info.modifiedAtMs;
        return nowMs - storedAtMs >= marginMs ? undefined : 'it was just made';
      },
    });
    if (found.good === undefined) break;
    const { manifest, partitions } = found.good;
    before = manifest.id;
    for (const name of blocksOf(partitions).keys()) needed.add(name);
    const wrong = await proofs.prove(partitions, options);
    for (const name of wrong) broken.add(name);
    if (wrong.length === 0) good.push({ manifest, storedAtMs });
  }
  for (const id of options.suspects ?? []) {
    if (good.some(({ manifest }) => manifest.id === id)) continue;
    const shown = await showCheckpoint({ repository, cluster, id, ...callOf(options) });
    if (!('manifest' in shown)) continue;
    const whole = await examine({ repository, ...callOf(options) }, shown.manifest);
    // What is missing stops clearing up, and is told of there.
    if (typeof whole === 'string') continue;
    for (const name of blocksOf(whole.partitions).keys()) needed.add(name);
    for (const name of await proofs.prove(whole.partitions, options)) broken.add(name);
  }
  proofs.keepOnly(needed);
  return { good, nowMs, damaged: broken.size === 0 ? new Map() : await checkpointsWith(options, broken) };
}

async function checkpointsWith(
  options: ProvenOptions,
  broken: ReadonlySet<ObjectName>,
): Promise<ReadonlyMap<string, string>> {
  const { repository, cluster, proofs } = options;
  const call = callOf(options);
  const { listed } = await listIds(repository, call);
  const damaged = new Map<string, string>();
  await inParallel(listed, limits.checkpointReadsMax, async (info) => {
    const found = await readManifest({ repository, ...call }, info);
    if (found.state !== 'complete' || found.manifest.cluster !== cluster) return;
    for (const summary of found.manifest.partitions) {
      let partition: PartitionManifest;
      try {
        partition = await readPartitionManifest(repository, found.manifest, summary, call);
      } catch (error) {
        // It is told of elsewhere.
        if (isDamage(error)) return;
        throw error;
      }
      const name = [...blocksOf([partition]).keys()].find((each) => broken.has(each));
      if (name === undefined) continue;
      damaged.set(info.id, proofs.damaged.get(name) ?? name);
      return;
    }
  });
  return damaged;
}
