// A checkpoint from its beginning to its manifest: which older one it may take blocks of, and the moment at which
// it is complete, or certainly never will be. The order of every step matters, and is argued in
// docs/decisions/0011-deleting-checkpoints.md. What is in between, the blocks and partitions' manifests, is the
// partition writer's business.
import { create, equals } from '@bufbuild/protobuf';
import { limits, StateStoreError } from '@statestore/core';
import type {
  CheckpointManifest,
  CheckpointTrigger,
  PartitionManifest,
  PartitionSummary,
} from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { CheckpointManifestSchema, PartitionSummarySchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { callOf, type GoodCheckpoint, type GoodOptions, newestGood, type PassedOver } from './catalog.ts';
import { newCheckpointId } from './checkpoint-id.ts';
import { damaged } from './damage.ts';
import { inParallel } from './in-parallel.ts';
import { decodeCheckpointManifest, encodeCheckpointManifest, readPartitionManifest } from './manifest-codec.ts';
import { abandon, createIntent, createTombstone, isAbandoned, isDamage } from './markers.ts';
import { intentName, latestName, manifestName, tombstoneName } from './names.ts';
import { blocksOf, missingBlocks } from './presence.ts';
import type { Repository, RepositoryCall } from './repository.ts';
import { checkpointFormat, equalBytes } from './sealed.ts';
import { withRoom } from './spare-room.ts';

export interface BeginOptions extends Pick<GoodOptions, 'repository' | 'accepts' | 'signal'> {
  readonly cluster: string;
  /** Blocks are taken of one of this lineage; undefined: of any of the cluster. */
  readonly lineage?: string | undefined;
  /** The node that conducts it. */
  readonly conductor: string;
  readonly nowMs: () => number;
  /** So many random bytes. */
  readonly random: (bytes: number) => Uint8Array;
  /** `full`: it takes no blocks of another one. */
  readonly mode: 'auto' | 'full';
}

export interface BegunCheckpoint {
  readonly id: string;
  readonly cluster: string;
  readonly conductor: string;
  readonly startedAtMs: number;
  /** The only one whose blocks it may refer to, beside its own. */
  readonly previous: GoodCheckpoint | undefined;
  /** Newer checkpoints that could not serve as previous one. */
  readonly passedOver: readonly PassedOver[];
}

/** Rejects with `unavailable` where checkpoints are deleted faster than one can be taken as previous one. */
export async function beginCheckpoint(options: BeginOptions): Promise<BegunCheckpoint> {
  const { repository, cluster, conductor, mode } = options;
  const call = callOf(options);
  for (let attempt = 0; attempt < limits.checkpointCommitAttempts; attempt++) {
    const { good, passedOver, greatestId } = await newestGood({ ...options, cluster });
    const previous = mode === 'full' ? undefined : good;
    const startedAtMs = Math.floor(options.nowMs());
    const id = newCheckpointId({ nowMs: startedAtMs, after: greatestId, random: options.random(10) });
    const previousId = previous?.manifest.id;
    if (!(await createIntent(repository, { id, cluster, previous: previousId, conductor, startedAtMs }, call)))
      continue;
    if (previousId === undefined || (await isListed(repository, previousId, call)))
      return { id, cluster, conductor, startedAtMs, previous, passedOver };
    // Nothing else of this id will ever be.
    await repository.remove([intentName(id)], call);
  }
  throw new StateStoreError('unavailable', `${repository.location}: no checkpoint stays long enough to go on from`, {
    retryAfterMs: 1000,
  });
}

async function isListed(repository: Repository, id: string, call: RepositoryCall): Promise<boolean> {
  if ((await repository.head(manifestName(id), call)) === undefined) return false;
  return (await repository.head(tombstoneName(id), call)) === undefined;
}

export interface CommitOptions {
  readonly repository: Repository;
  readonly begun: BegunCheckpoint;
  /** In any order. */
  readonly partitions: readonly PartitionSummary[];
  readonly trigger: CheckpointTrigger;
  readonly version: string;
  /** Which cluster of the name it is of. */
  readonly lineage?: string | undefined;
  /** Of what a restore made it from. */
  readonly parentLineage?: string | undefined;
  readonly nowMs: () => number;
  /** Whether its deadline has passed: it is not completed then. */
  readonly isLate: () => boolean;
  readonly signal?: AbortSignal;
}

export type CommitOutcome =
  | { readonly outcome: 'committed'; readonly manifest: CheckpointManifest }
  /** Somebody else made a checkpoint of this id: this one is not it. */
  | { readonly outcome: 'taken' }
  /** It was silent for so long that its blocks may be gone. */
  | { readonly outcome: 'abandoned' }
  | { readonly outcome: 'late' };

/**
 * Reads every partition's manifest back, looks that everything is there, and only then makes the checkpoint
 * complete. Rejects with `data_corrupt` where something is wrong or missing, naming it, with `outcome_unknown` where
 * the repository does not say whether it is complete, with the signal's reason where it aborts. Then, and after every
 * outcome but `committed` and `taken`: giveUpCheckpoint, which tells what became of it.
 */
export async function commitCheckpoint(options: CommitOptions): Promise<CommitOutcome> {
  const { repository, begun, isLate } = options;
  const call = callOf(options);
  const { id, cluster } = begun;
  if (isLate()) return { outcome: 'late' };
  const manifest = manifestOf(options);
  const bytes = encodeCheckpointManifest(manifest);
  // What nobody could read is not written.
  decodeCheckpointManifest(id, bytes, { cluster });
  const partitions = await readBack(repository, manifest, begun, call);
  await requireBlocks(repository, partitions, call);
  if (isLate()) return { outcome: 'late' };
  const outcome = await createManifest(repository, id, bytes, call);
  if (outcome !== 'created') return { outcome };
  try {
    await lookBack(options, partitions, bytes, call);
  } catch (error) {
    call.signal?.throwIfAborted();
    if (isDamage(error)) throw error;
    const message = `${manifestName(id)}: whether the checkpoint stayed as it was written is not known`;
    throw new StateStoreError('outcome_unknown', message, { cause: error });
  }
  await tidyAfter(repository, id, call);
  return { outcome: 'committed', manifest };
}

/**
 * Makes sure that there will be no such checkpoint, where it is not complete already. Rejects where the repository
 * does not answer; collectGarbage does the same later.
 */
export async function giveUpCheckpoint(
  repository: Repository,
  id: string,
  call: RepositoryCall = {},
): Promise<'abandoned' | 'complete'> {
  const decided = await withRoom(repository, call, () => abandon(repository, id, call));
  await repository.remove([intentName(id)], call);
  return decided;
}

function manifestOf(options: CommitOptions): CheckpointManifest {
  const { begun, partitions, trigger, version, nowMs, lineage = '', parentLineage = '' } = options;
  return create(CheckpointManifestSchema, {
    format: checkpointFormat,
    id: begun.id,
    cluster: begun.cluster,
    startedAtMs: BigInt(Math.floor(begun.startedAtMs)),
    completedAtMs: BigInt(Math.floor(nowMs())),
    trigger,
    conductor: begun.conductor,
    version,
    partitions: partitions.toSorted((a, b) => a.partition - b.partition),
    previous: begun.previous?.manifest.id ?? '',
    lineage,
    parentLineage,
  });
}

async function readBack(
  repository: Repository,
  manifest: CheckpointManifest,
  { id, previous }: BegunCheckpoint,
  call: RepositoryCall,
): Promise<readonly PartitionManifest[]> {
  const taken = previous === undefined ? new Map() : blocksOf(previous.partitions);
  return inParallel(manifest.partitions, limits.checkpointReadsMax, async (listed) => {
    const partition = await readPartitionManifest(repository, manifest, listed, call);
    if (!equals(PartitionSummarySchema, ownPart(partition.summary), ownPart(listed)))
      throw damaged(listed.manifest, `it says other things of its partition than ${manifestName(id)}`);
    for (const [name, { owner }] of blocksOf([partition]))
      if (owner !== id && !taken.has(name))
        throw damaged(listed.manifest, `it takes ${name}, which is neither its own nor of its previous checkpoint`);
    return partition;
  });
}

/** Without what only the cluster's manifest can say. */
function ownPart(summary: PartitionSummary): PartitionSummary {
  const { $typeName: _, $unknown: __, ...rest } = summary;
  const cleared = { storedBytes: 0n, uploadedBytes: 0n, manifest: '', manifestSha256: new Uint8Array() };
  return create(PartitionSummarySchema, { ...rest, ...cleared });
}

async function requireBlocks(
  repository: Repository,
  partitions: readonly PartitionManifest[],
  call: RepositoryCall,
): Promise<void> {
  const [first, ...others] = await missingBlocks(repository, partitions, call);
  if (first === undefined) return;
  throw damaged(first.object, `${first.what}${others.length > 0 ? ` (and ${others.length} others)` : ''}`);
}

/** The moment at which the checkpoint is complete. Said again where it was not answered: who wins, wins once. */
async function createManifest(
  repository: Repository,
  id: string,
  bytes: Uint8Array,
  call: RepositoryCall,
): Promise<'created' | 'taken' | 'abandoned'> {
  for (let attempt = 1; ; attempt++) {
    try {
      if ((await repository.create(manifestName(id), bytes, call)) === 'created') return 'created';
      const there = await repository.get(manifestName(id), call);
      if (there !== undefined && equalBytes(there, bytes)) return 'created';
      return there !== undefined && isAbandoned(there) ? 'abandoned' : 'taken';
    } catch (error) {
      call.signal?.throwIfAborted();
      const mayBeThere = error instanceof StateStoreError && error.retryable;
      if (!mayBeThere) throw error;
      if (attempt < limits.checkpointCommitAttempts) continue;
      const message = `${manifestName(id)}: whether the checkpoint is complete is not known`;
      throw new StateStoreError('outcome_unknown', message, { cause: error });
    }
  }
}

/** What was created is read again, and so is whether all is still there; else nobody is to see it. */
async function lookBack(
  { repository, begun, nowMs }: CommitOptions,
  partitions: readonly PartitionManifest[],
  bytes: Uint8Array,
  call: RepositoryCall,
): Promise<void> {
  const { id } = begun;
  try {
    const there = await repository.get(manifestName(id), call);
    if (there === undefined || !equalBytes(there, bytes))
      throw damaged(manifestName(id), 'what was written is not what is read');
    await requireBlocks(repository, partitions, call);
  } catch (error) {
    if (!isDamage(error)) throw error;
    await createTombstone(repository, { id, deletedAtMs: nowMs(), by: `${begun.conductor}: ${error.message}` }, call);
    throw error;
  }
}

/** Neither is needed: the intent is collected as garbage, `latest` is a hint. */
async function tidyAfter(repository: Repository, id: string, call: RepositoryCall): Promise<void> {
  try {
    await repository.remove([intentName(id)], call);
    await repository.put(latestName, Buffer.from(`${id}\n`), call);
  } catch (error) {
    if (!(error instanceof StateStoreError)) throw error;
  }
}
