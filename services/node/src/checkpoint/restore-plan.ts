// What a restore to any moment begins from: which checkpoint, and through which logs of the archive each partition
// goes on from there. Nothing is restored here (materialise.ts).
import type {
  CatalogOptions,
  GoodCheckpoint,
  NewestGood,
  ListedSegment,
  PathStep,
  Repository,
} from '@statestore/checkpoint';
import {
  branchesOf,
  chainToHex,
  examine,
  listArchive,
  newestGood,
  pathTo,
  showCheckpoint,
  tipAt,
} from '@statestore/checkpoint';
import { StateStoreError } from '@statestore/core';
import type {
  CheckpointManifest,
  PartitionManifest,
  PartitionSummary,
} from '@statestore/core/gen/statestore/v1/checkpoint_pb';

export type RestoreMoment =
  /** A checkpoint as it is; undefined: the newest good one. */
  | { readonly kind: 'checkpoint'; readonly id: string | undefined }
  /** The greatest position up to which no batch was stored later than this, ns since 1970: what the state's own clock says. */
  | { readonly kind: 'time'; readonly nanos: bigint }
  /** Of each partition. */
  | { readonly kind: 'position'; readonly positions: ReadonlyMap<number, bigint> }
  /** As far as the archive goes. */
  | { readonly kind: 'newest' };

export interface RestorePlanOptions {
  readonly repository: Repository;
  /** Whose checkpoints and logs; undefined: any, for a repository of one. */
  readonly cluster?: string | undefined;
  readonly moment: RestoreMoment;
  readonly signal: AbortSignal;
}

export interface PartitionPlan {
  readonly manifest: PartitionManifest & { readonly summary: PartitionSummary };
  readonly path: readonly PathStep[];
  readonly segments: ReadonlyMap<string, readonly ListedSegment[]>;
  /** Undefined: as far as the path leads, but for `nanos`. */
  readonly through: bigint | undefined;
  readonly nanos: bigint | undefined;
}

export interface RestorePlan {
  readonly checkpoint: GoodCheckpoint;
  /** False: the checkpoint is what is wanted, or all there is. */
  readonly replays: boolean;
  readonly partitions: readonly PartitionPlan[];
  /** Newer checkpoints that would not do, and why; descriptions in the archive that are damaged. */
  readonly passedOver: readonly string[];
}

/** Rejects with `invalid_parameter` where no good checkpoint leads to that moment, with what the repository says. */
export async function planRestore(options: RestorePlanOptions): Promise<RestorePlan> {
  const { repository, moment, signal, cluster } = options;
  if (moment.kind === 'checkpoint') return asItIs(options, moment.id);
  const archive = await listArchive({ repository, signal });
  const known = await branchesOf(repository, archive.logs, signal);
  const lead = (summary: PartitionSummary, of: string): PathStep[] => {
    const nanos = moment.kind === 'time' ? moment.nanos : undefined;
    const own = known.filter(({ log }) => log.cluster === of && log.partition === summary.partition);
    const tip = tipAt(own, nanos)?.incarnation ?? summary.incarnation;
    return pathTo(known, summary, tip);
  };
  const { good, passedOver } = await newestGood({
    repository,
    cluster,
    signal,
    accepts: (manifest) => objection(manifest, moment, lead),
  });
  const told = [...passedOver.map(({ id, why }) => `checkpoint ${id}: ${why}`), ...archive.damaged];
  if (good === undefined) throw noneGood(repository, told);
  const segments = new Map(archive.logs.map((listed) => [listed.log.incarnation, listed.segments]));
  const partitions = good.partitions.map((manifest): PartitionPlan => {
    const { summary } = manifest as PartitionPlan['manifest'];
    const through = moment.kind === 'position' ? moment.positions.get(summary.partition) : undefined;
    const nanos = moment.kind === 'time' ? moment.nanos : undefined;
    const path = lead(summary, good.manifest.cluster);
    return { manifest: manifest as PartitionPlan['manifest'], path, segments, through, nanos };
  });
  const replays = partitions.some((each) => hasMore(each) || misses(each));
  return { checkpoint: good, replays, partitions, passedOver: told };
}

/** Whether anything is archived beyond the checkpoint. */
function hasMore({ path, segments, manifest }: PartitionPlan): boolean {
  const { position } = manifest.summary;
  return path.some(({ incarnation }) => segments.get(incarnation)?.some(({ last }) => last > position) === true);
}

/** Whether it is to go further than the checkpoint. */
function misses({ through, manifest }: PartitionPlan): boolean {
  return through !== undefined && through > manifest.summary.position;
}

async function asItIs(
  { repository, cluster, signal }: RestorePlanOptions,
  id: string | undefined,
): Promise<RestorePlan> {
  const catalog = { repository, cluster, signal };
  const { good, passedOver } = await (id === undefined ? newestGood(catalog) : named(catalog, id));
  const told = passedOver.map((each) => `checkpoint ${each.id}: ${each.why}`);
  if (good === undefined) throw noneGood(repository, told);
  const partitions = good.partitions.map((each): PartitionPlan => {
    const manifest = each as PartitionPlan['manifest'];
    return { manifest, path: [], segments: new Map(), through: undefined, nanos: undefined };
  });
  return { checkpoint: good, replays: false, partitions, passedOver: told };
}

async function named(catalog: CatalogOptions, id: string): Promise<Pick<NewestGood, 'good' | 'passedOver'>> {
  const shown = await showCheckpoint({ ...catalog, id });
  if (shown.state === 'damaged') return { good: undefined, passedOver: [{ id, why: shown.damage.message }] };
  if (shown.state !== 'complete') {
    const why = shown.state === 'deleted' ? 'it was deleted' : 'there is no such checkpoint';
    return { good: undefined, passedOver: [{ id, why }] };
  }
  const whole = await examine(catalog, shown.manifest);
  if (typeof whole === 'string') return { good: undefined, passedOver: [{ id, why: whole }] };
  return { good: whole, passedOver: [] };
}

function noneGood({ location }: Repository, told: readonly string[]): StateStoreError {
  const why = told.length === 0 ? 'it has none' : told.slice(0, 3).join('; ');
  return new StateStoreError('invalid_parameter', `${location}: no checkpoint leads to what is wanted: ${why}`, {
    hint: '`statestore checkpoint list` shows what there is',
  });
}

/** Why a checkpoint does not lead there; undefined: it does. */
function objection(
  { partitions, cluster }: CheckpointManifest,
  moment: RestoreMoment,
  lead: (summary: PartitionSummary, cluster: string) => readonly PathStep[],
): string | undefined {
  for (const summary of partitions) {
    const { partition, clockNanos, position } = summary;
    if (moment.kind === 'time' && clockNanos > moment.nanos) return `partition ${partition} is of a later time`;
    if (moment.kind === 'position') {
      const wanted = moment.positions.get(partition);
      if (wanted === undefined) return `it has a partition ${partition}, of which no position was named`;
      if (position > wanted) return `partition ${partition} is at ${position}, after ${wanted}`;
    }
    try {
      lead(summary, cluster);
    } catch (error) {
      if (error instanceof StateStoreError) return `partition ${partition}: ${error.message}`;
      throw error;
    }
  }
  return undefined;
}

/** Where a partition's manifest is in its log. */
export function pointOf({ position, chain }: PartitionSummary): { readonly position: bigint; readonly chain: string } {
  return { position, chain: chainToHex(chain) };
}
