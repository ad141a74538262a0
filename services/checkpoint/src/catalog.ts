// What checkpoints a repository has, and the newest one that can be used. Listed is what has a manifest and is
// not deleted; manifests are listed first, deletions after, so that what is told was so at one moment.
import { limits, StateStoreError } from '@statestore/core';
import type {
  CheckpointManifest,
  CheckpointTrigger,
  PartitionManifest,
} from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { newestFirst, requireCheckpointId } from './checkpoint-id.ts';
import { damaged } from './damage.ts';
import { inParallel } from './in-parallel.ts';
import { decodeCheckpointManifest, readPartitionManifest } from './manifest-codec.ts';
import { hasSizeOfAbandoned, isAbandoned, isDamage } from './markers.ts';
import { checkpointsPrefix, deletedPrefix, manifestName, tombstoneName } from './names.ts';
import { parseName } from './parse-names.ts';
import { missingBlocks } from './presence.ts';
import type { ObjectInfo, Repository, RepositoryCall } from './repository.ts';

export interface CatalogOptions {
  readonly repository: Repository;
  /** Checkpoints of another cluster count as damaged; undefined: any cluster's will do. */
  readonly cluster?: string | undefined;
  /** Only those of this one count, where the newest good one is looked for; undefined: of any. */
  readonly lineage?: string | undefined;
  readonly signal?: AbortSignal;
}

export type ListedCheckpoint = CompleteCheckpoint | DamagedCheckpoint;

export interface CompleteCheckpoint {
  readonly state: 'complete';
  readonly id: string;
  readonly cluster: string;
  /** Empty: its version did not say. */
  readonly lineage: string;
  readonly startedAtMs: number;
  readonly completedAtMs: number;
  /** When the repository got its manifest, by its own clock. */
  readonly storedAtMs: number;
  readonly trigger: CheckpointTrigger;
  readonly conductor: string;
  readonly version: string;
  /** The checkpoint that unchanged blocks were taken from. */
  readonly previous: string | undefined;
  readonly partitions: number;
  readonly totals: CheckpointTotals;
}

export interface CheckpointTotals {
  readonly entries: bigint;
  /** Of keys and values of entries. */
  readonly bytes: bigint;
  /** Of all objects that a restore reads, and of what was uploaded for this checkpoint. */
  readonly storedBytes: bigint;
  readonly uploadedBytes: bigint;
}

export interface DamagedCheckpoint {
  readonly state: 'damaged';
  readonly id: string;
  /** When the repository got its manifest. */
  readonly modifiedAtMs: number;
  /** Names the object and what is wrong with it. */
  readonly damage: StateStoreError;
}

export interface ListOptions extends CatalogOptions {
  /** By id: whole ones that were read a moment ago and are not read again; what is read is added. */
  readonly known?: Map<string, CompleteCheckpoint>;
}

/** The newest first. */
export async function listCheckpoints(options: ListOptions): Promise<ListedCheckpoint[]> {
  const { repository, known } = options;
  const { listed } = await listIds(repository, callOf(options));
  const found = await inParallel(listed, limits.checkpointReadsMax, async (info) => {
    const before = known?.get(info.id);
    if (before?.storedAtMs === info.modifiedAtMs) return [before];
    const manifest = await readManifest(options, info);
    if (manifest.state !== 'complete') return manifest.state === 'damaged' ? [manifest] : [];
    const complete = described(manifest.manifest, info);
    known?.set(info.id, complete);
    return [complete];
  });
  return found.flat();
}

export type ShownCheckpoint =
  | (CompleteCheckpoint & { readonly manifest: CheckpointManifest })
  | DamagedCheckpoint
  | { readonly state: 'deleted' | 'none'; readonly id: string };

/** `none`: it is not complete, or there never was any. */
export async function showCheckpoint(options: CatalogOptions & { readonly id: string }): Promise<ShownCheckpoint> {
  const { repository } = options;
  const id = requireCheckpointId(options.id);
  const call = callOf(options);
  const info = await repository.head(manifestName(id), call);
  if ((await repository.head(tombstoneName(id), call)) !== undefined) return { state: 'deleted', id };
  if (info === undefined) return { state: 'none', id };
  const found = await readManifest(options, { ...info, id });
  if (found.state === 'damaged') return found;
  if (found.state === 'complete') return { ...described(found.manifest, info), manifest: found.manifest };
  return { state: 'none', id };
}

/** A checkpoint of which all manifests were read and fit, and all blocks are there in their size. */
export interface GoodCheckpoint {
  readonly manifest: CheckpointManifest;
  /** In the order of the manifest's partitions. */
  readonly partitions: readonly PartitionManifest[];
}

export interface GoodOptions extends CatalogOptions {
  /** Why this one will not do, though it is good; undefined: it will. */
  readonly accepts?: ((manifest: CheckpointManifest, info: ListedObject) => string | undefined) | undefined;
  /** Only those newer than this one, */
  readonly after?: string | undefined;
  /** and older than this one. */
  readonly before?: string | undefined;
  /** Told of one that cannot be read though it is listed, and that is passed over then; undefined: that rejects. */
  readonly onUnreadable?: ((id: string, error: StateStoreError) => void) | undefined;
}

export interface NewestGood {
  readonly good: GoodCheckpoint | undefined;
  /** Newer ones, in order, that will not do. */
  readonly passedOver: readonly PassedOver[];
  /** Greatest id that was ever used, as far as it is known here. */
  readonly greatestId: string | undefined;
}

export interface PassedOver {
  readonly id: string;
  /** Names the object where it is one that is wrong. */
  readonly why: string;
}

/**
 * Looks from the newest to the oldest, closely at checkpointCandidatesMax of those that would do. Rejects where the
 * repository does not answer.
 */
export async function newestGood(options: GoodOptions): Promise<NewestGood> {
  const { after = '', before, repository } = options;
  const { listed, greatestId } = await listIds(repository, callOf(options));
  const within = listed.filter(({ id }) => id > after && (before === undefined || id < before));
  const passedOver: PassedOver[] = [];
  let looks = 0;
  for (const info of within) {
    if (looks === limits.checkpointCandidatesMax) break;
    const looked = await lookCloser(options, info);
    if (looked === undefined) continue;
    if ('manifest' in looked) return { good: looked, passedOver, greatestId };
    passedOver.push({ id: info.id, why: looked.why });
    if (looked.isDamaged) looks++;
  }
  return { good: undefined, passedOver, greatestId };
}

/** The checkpoint, or why it will not do; undefined where there is none any more, or it is none of the cluster's. */
async function lookCloser(
  options: GoodOptions,
  info: ListedObject,
): Promise<GoodCheckpoint | { readonly why: string; readonly isDamaged: boolean } | undefined> {
  const { cluster, lineage, signal, onUnreadable, accepts } = options;
  try {
    const found = await readManifest({ ...options, cluster: undefined }, info);
    if (found.state === 'damaged') return { why: found.damage.message, isDamaged: true };
    if (found.state !== 'complete') return undefined;
    if (cluster !== undefined && found.manifest.cluster !== cluster) return undefined;
    if (lineage !== undefined && found.manifest.lineage !== lineage) return undefined;
    const refused = accepts?.(found.manifest, info);
    if (refused !== undefined) return { why: refused, isDamaged: false };
    const whole = await examine(options, found.manifest);
    return typeof whole === 'string' ? { why: whole, isDamaged: true } : whole;
  } catch (error) {
    if (onUnreadable === undefined || signal?.aborted === true || !isUnreadable(error)) throw error;
    onUnreadable(info.id, error);
    return undefined;
  }
}

/** Whether it is the repository that said so of an object, and not that the object is damaged. */
export function isUnreadable(error: unknown): error is StateStoreError {
  return error instanceof StateStoreError && (error.code === 'unavailable' || error.code === 'invalid_settings');
}

/** The whole checkpoint, or the first thing that is wrong with it, in words. */
export async function examine(options: CatalogOptions, manifest: CheckpointManifest): Promise<GoodCheckpoint | string> {
  const { repository } = options;
  const call = callOf(options);
  try {
    const partitions = await inParallel(manifest.partitions, limits.checkpointReadsMax, (summary) =>
      readPartitionManifest(repository, manifest, summary, call),
    );
    const missing = await missingBlocks(repository, partitions, call);
    const [first] = missing;
    if (first === undefined) return { manifest, partitions };
    return `${first.object}: ${first.what}${missing.length > 1 ? ` (and ${missing.length - 1} others)` : ''}`;
  } catch (error) {
    if (isDamage(error)) return error.message;
    throw error;
  }
}

export interface ListedObject extends ObjectInfo {
  readonly id: string;
}

export interface ListedIds {
  /** The newest first; some may be abandoned. */
  readonly listed: readonly ListedObject[];
  readonly greatestId: string | undefined;
}

/** What has a manifest and is not deleted, and the greatest id of anything. */
export async function listIds(repository: Repository, call: RepositoryCall): Promise<ListedIds> {
  const withManifest: ListedObject[] = [];
  for await (const info of repository.list(checkpointsPrefix, call)) {
    const parsed = parseName(info.name);
    if (parsed?.kind === 'manifest') withManifest.push({ ...info, id: parsed.id });
  }
  const deleted = await deletedCheckpoints(repository, call);
  let greatestId: string | undefined;
  for (const id of [...withManifest.map(({ id }) => id), ...deleted])
    if (greatestId === undefined || id > greatestId) greatestId = id;
  return { listed: withManifest.filter(({ id }) => !deleted.has(id)).toSorted(newestFirst), greatestId };
}

/** Ids of those that were deleted not too long ago: of a listing of small objects, whatever else there is. */
export async function deletedCheckpoints(
  repository: Repository,
  call: RepositoryCall = {},
): Promise<ReadonlySet<string>> {
  const deleted = new Set<string>();
  for await (const info of repository.list(deletedPrefix, call)) {
    const parsed = parseName(info.name);
    if (parsed?.kind === 'tombstone') deleted.add(parsed.id);
  }
  return deleted;
}

export type FoundManifest =
  | { readonly state: 'complete'; readonly manifest: CheckpointManifest; readonly bytes: Uint8Array }
  | DamagedCheckpoint
  | { readonly state: 'abandoned' | 'gone' };

export async function readManifest(
  { repository, cluster, signal }: CatalogOptions,
  { id, name, sizeBytes, modifiedAtMs }: ListedObject,
): Promise<FoundManifest> {
  try {
    const max = limits.checkpointClusterManifestBytesMax;
    if (sizeBytes > max) throw damaged(name, `it has ${sizeBytes} bytes; it may have ${max}`);
    const bytes = await repository.get(name, signal === undefined ? {} : { signal });
    if (bytes === undefined) return { state: 'gone' };
    if (hasSizeOfAbandoned(sizeBytes) && isAbandoned(bytes)) return { state: 'abandoned' };
    return { state: 'complete', manifest: decodeCheckpointManifest(id, bytes, { cluster }), bytes };
  } catch (error) {
    if (isDamage(error)) return { state: 'damaged', id, modifiedAtMs, damage: error };
    throw error;
  }
}

function described(manifest: CheckpointManifest, { modifiedAtMs }: ObjectInfo): CompleteCheckpoint {
  const { id, cluster, lineage, trigger, conductor, version, partitions } = manifest;
  const totals = { entries: 0n, bytes: 0n, storedBytes: 0n, uploadedBytes: 0n };
  for (const each of partitions)
    for (const what of Object.keys(totals) as (keyof CheckpointTotals)[]) totals[what] += each[what];
  return {
    state: 'complete',
    id,
    cluster,
    lineage,
    startedAtMs: Number(manifest.startedAtMs),
    completedAtMs: Number(manifest.completedAtMs),
    storedAtMs: modifiedAtMs,
    trigger,
    conductor,
    version,
    previous: manifest.previous === '' ? undefined : manifest.previous,
    partitions: partitions.length,
    totals,
  };
}

export function callOf({ signal }: { readonly signal?: AbortSignal | undefined }): RepositoryCall {
  return signal === undefined ? {} : { signal };
}
