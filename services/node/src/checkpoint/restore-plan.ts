// What a restore to any moment begins from: which checkpoint, and through which logs of the archive each partition
// goes on from there. Nothing is restored here (materialise.ts).
import type {
  CatalogOptions,
  GoodCheckpoint,
  History,
  ListedSegment,
  NewestGood,
  PassedOver,
  PathStep,
  Repository,
} from '@statestore/checkpoint';
import { chainToHex, examine, newestGood, RepositoryHistory, showCheckpoint } from '@statestore/checkpoint';
import { limits, StateStoreError } from '@statestore/core';
import type {
  CheckpointManifest,
  PartitionManifest,
  PartitionSummary,
} from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { beforeHole } from './restore-hole.ts';
import { refuseNamesakes } from './restore-lineages.ts';
import { doubtOf, warningOf } from './restore-reach.ts';
import { type ChildPlan, planSplits, splitsOf } from './restore-splits.ts';

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
  /** What is to be told where it ends with what is archived, and not at a batch that is later than wanted. */
  readonly warning: string | undefined;
  /** What is to be told in any case. */
  readonly doubt: string | undefined;
  /** What was split off it on the way. */
  readonly children: readonly ChildPlan[];
}

export interface RestorePlan {
  readonly checkpoint: GoodCheckpoint;
  /** False: the checkpoint is what is wanted, or all there is. */
  readonly replays: boolean;
  /** Whether all there is is wanted, and what cannot be had is only told. */
  readonly isNewest: boolean;
  readonly partitions: readonly PartitionPlan[];
  /** Newer checkpoints that would not do, and why; descriptions in the archive that are damaged. */
  readonly passedOver: readonly string[];
}

/**
 * Rejects with `invalid_parameter` where no good checkpoint leads to that moment, or what was there then is not known;
 * with what the repository says.
 */
export async function planRestore(options: RestorePlanOptions): Promise<RestorePlan> {
  const { repository, moment, signal } = options;
  if (moment.kind === 'checkpoint') return asItIs(options, moment.id);
  const known = await RepositoryHistory.read({ repository, signal });
  const { good, history, passedOver } = await choose(options, known);
  const { segments } = known;
  const nanos = moment.kind === 'time' ? moment.nanos : undefined;
  const sinceNanos = oldestOf(known, good.manifest.cluster);
  const partitions: PartitionPlan[] = [];
  for (const each of good.partitions) {
    const manifest = each as PartitionPlan['manifest'];
    const { summary } = manifest;
    const through = moment.kind === 'position' ? moment.positions.get(summary.partition) : undefined;
    const whole = history.pathFrom(summary.partition, summary, nanos);
    const hole = moment.kind === 'newest' ? beforeHole(summary, whole, segments) : undefined;
    const path = hole?.path ?? whole;
    const reach = { repository, history, summary, path, segments, nanos, sinceNanos, signal };
    const warning = hole?.warning ?? (moment.kind === 'position' ? undefined : await warningOf(reach));
    const positions = moment.kind === 'position' ? moment.positions : undefined;
    const children = planSplits({ ...reach, moment: moment.kind, positions }, path, summary.position);
    partitions.push({ manifest, path, segments, through, nanos, warning, doubt: doubtOf(reach), children });
  }
  const replays = partitions.some((each) => hasMore(each) || misses(each));
  const told = [...passedOver.map(({ id, why }) => `checkpoint ${id}: ${why}`), ...known.damaged];
  return { checkpoint: good, replays, isNewest: moment.kind === 'newest', partitions, passedOver: told };
}

interface Chosen {
  readonly good: GoodCheckpoint;
  readonly history: History;
  readonly passedOver: readonly PassedOver[];
}

/** The newest good one that leads to the moment. Those that are only later than it cost no look. */
async function choose(
  { repository, moment, signal, cluster }: RestorePlanOptions,
  known: RepositoryHistory,
): Promise<Chosen> {
  refuseNamesakes(known, cluster, moment);
  const histories = new Map<string, History>();
  const passedOver: PassedOver[] = [];
  const later: PassedOver[] = [];
  let looks = 0;
  for (const { id, manifest, ...listed } of known.checkpoints) {
    if (looks === limits.checkpointCandidatesMax) break;
    if (manifest === undefined) {
      passedOver.push({ id, why: (listed as PassedOver).why });
      continue;
    }
    if (cluster !== undefined && manifest.cluster !== cluster) continue;
    const tooLate = isLater(manifest, moment);
    if (tooLate !== undefined) {
      later.push({ id, why: tooLate });
      continue;
    }
    const history = histories.get(manifest.cluster) ?? known.of(manifest.cluster);
    histories.set(manifest.cluster, history);
    let why = objection(manifest, moment, history);
    if (why === undefined) {
      looks++;
      const whole = await examine({ repository, signal }, manifest);
      if (typeof whole !== 'string') return { good: whole, history, passedOver };
      why = whole;
    }
    passedOver.push({ id, why });
  }
  const told = [...passedOver, ...later].map(({ id, why }) => `checkpoint ${id}: ${why}`);
  throw noneGood(repository, [...told, ...known.damaged]);
}

/** Time of the oldest state of a cluster that is kept. */
function oldestOf({ checkpoints }: RepositoryHistory, cluster: string): bigint {
  const own = checkpoints.flatMap(({ manifest }) => (manifest?.cluster === cluster ? [manifest] : []));
  return (own.at(-1)?.partitions ?? []).reduce((most, { clockNanos }) => (clockNanos > most ? clockNanos : most), 0n);
}

/** Whether anything is archived beyond the checkpoint. */
function hasMore({ path, segments, manifest }: PartitionPlan): boolean {
  const { position } = manifest.summary;
  return path.some(({ incarnation, through }) => {
    if (through !== undefined && through <= position) return false;
    return segments.get(incarnation)?.some(({ last }) => last > position) === true;
  });
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
    return {
      manifest,
      path: [],
      segments: new Map(),
      through: undefined,
      nanos: undefined,
      warning: undefined,
      doubt: undefined,
      children: [],
    };
  });
  return { checkpoint: good, replays: false, isNewest: false, partitions, passedOver: told };
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

/** Why it is of a later moment, or of none that can be compared; undefined: it is not. */
function isLater({ partitions }: CheckpointManifest, moment: RestoreMoment): string | undefined {
  for (const { partition, clockNanos, position } of partitions) {
    if (moment.kind === 'time' && clockNanos > moment.nanos) return `partition ${partition} is of a later time`;
    if (moment.kind !== 'position') continue;
    const wanted = moment.positions.get(partition);
    // One without may have been merged into another one by then.
    if (wanted !== undefined && position > wanted) return `partition ${partition} is at ${position}, after ${wanted}`;
  }
  return undefined;
}

/** Why it does not lead there; undefined: it does. Throws `invalid_parameter` where the history cannot be told. */
function objection({ partitions }: CheckpointManifest, moment: RestoreMoment, history: History): string | undefined {
  const nanos = moment.kind === 'time' ? moment.nanos : undefined;
  for (const { partition, incarnation } of partitions) history.endAt(partition, nanos, incarnation);
  const known = new Set(partitions.map(({ partition }) => partition));
  for (const summary of partitions) {
    try {
      const path = history.pathFrom(summary.partition, summary, nanos);
      for (const each of splitsOf(history, path, { from: summary.position, nanos })) known.add(each);
    } catch (error) {
      if (error instanceof StateStoreError) return `partition ${summary.partition}: ${error.message}`;
      throw error;
    }
  }
  const other =
    moment.kind === 'position' ? [...moment.positions.keys()].find((named) => !known.has(named)) : undefined;
  return other === undefined ? undefined : `it has no partition ${other}, of which a position was named`;
}

/** Where a partition's manifest is in its log. */
export function pointOf({ position, chain }: PartitionSummary): { readonly position: bigint; readonly chain: string } {
  return { position, chain: chainToHex(chain) };
}
