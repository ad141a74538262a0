// A replica's state out of a checkpoint of before its partition was split off, or of before it took another one's slots: no
// checkpoint leads to its log then, but one of its source does. That one is brought to the split, and what the replica's own
// log does not have any more is replayed; all of it by the archive, and in engines that are thrown away. The way for when
// nobody else has the state: what it takes is what the partitions have that it comes of.
import type { GoodCheckpoint, KnownLog, ListedSegment, PathStep, RestoredPartition } from '@statestore/checkpoint';
import { coverageOf, examine, RepositoryHistory } from '@statestore/checkpoint';
import type { PartitionLog, SlotRange } from '@statestore/core';
import { binaryFromBytes, hashToHex, incarnationKey, limits, StateStoreError } from '@statestore/core';
import type { CheckpointManifest, PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { Time } from '../time.ts';
import type { PartitionPlan } from './restore-plan.ts';
import type { FindCheckpointOptions } from './restore-replica.ts';
import { type ChildPlan, planSplits } from './restore-splits.ts';
import { RestoreWorld, type ScratchEngine } from './restore-world.ts';

/** What splits and merges the topology knows of a partition. */
export interface ReplicaSlots {
  readonly slots: readonly SlotRange[];
  /** Undefined: it was never reshaped. */
  readonly slotsEpoch?: bigint | undefined;
  /** Of a partition that was split off. */
  readonly origin?: KnownLog['origin'];
}

export interface SplitWay {
  readonly good: GoodCheckpoint;
  readonly partitions: readonly PartitionPlan[];
  /** From one that the checkpoint has to the one that is wanted, each split off the one before. */
  readonly line: readonly (PartitionPlan | ChildPlan)[];
}

export interface CrossSplitsOptions {
  readonly way: SplitWay;
  readonly openScratch: (partition: number) => Promise<ScratchEngine>;
  readonly signal: AbortSignal;
  readonly time: Time;
}

export interface CrossedSplits extends RestoredPartition {
  /** UUID of the log that the state is of. */
  readonly incarnation: string;
}

type Options = FindCheckpointOptions & { readonly reshaped: ReplicaSlots };

/** The newest checkpoints first; those that are damaged are passed over. Rejects with what the repository says. */
export async function* splitWays(options: Options, told: string[]): AsyncGenerator<SplitWay, void> {
  const { repository, cluster, signal, onDamaged } = options;
  const known = await RepositoryHistory.read({ repository, signal });
  let looks = 0;
  for (const { id, manifest } of known.checkpoints) {
    if (manifest === undefined || manifest.cluster !== cluster) continue;
    if (looks++ === limits.checkpointCandidatesMax) return;
    const way = wayFrom(options, known, manifest);
    if (typeof way === 'string') {
      told.push(`${id}: ${way}`);
      continue;
    }
    const good = await examine({ repository, signal }, manifest);
    if (typeof good !== 'string') {
      const manifests = new Map(good.partitions.map((each) => [each.summary!.partition, each]));
      const partitions = way.partitions.map((each) =>
        Object.assign(each, { manifest: manifests.get(partitionOf(each))! }),
      );
      yield { good, partitions: partitions as PartitionPlan[], line: way.line };
      continue;
    }
    told.push(`${id}: ${good}`);
    onDamaged?.(id, good);
  }
}

type Draft = Omit<PartitionPlan, 'manifest'> & { manifest: Pick<PartitionManifest, 'summary'> };

function partitionOf({ manifest }: Draft): number {
  return manifest.summary!.partition;
}

/** In words why it does not lead there, as far as names say. */
function wayFrom(
  options: Options,
  known: RepositoryHistory,
  manifest: CheckpointManifest,
): { readonly partitions: readonly Draft[]; readonly line: SplitWay['line'] } | string {
  const { repository, cluster, partition, log, bounds, reshaped, signal } = options;
  // It may not be archived yet; whatever is archived, it is the one that is followed.
  const own = {
    ...log,
    cluster,
    partition,
    origin: reshaped.origin,
    beganNanos: BigInt(Number.MAX_SAFE_INTEGER) * 1000n,
  };
  const history = known.of(cluster, [own]);
  const { segments } = known;
  const ends = { through: undefined, nanos: undefined, warning: undefined, doubt: undefined };
  try {
    const partitions = manifest.partitions.map((summary): Draft => {
      const path = history.pathFrom(summary.partition, summary, undefined);
      const asked = { repository, history, segments, moment: 'newest', positions: undefined, sinceNanos: 0n } as const;
      const children = planSplits({ ...asked, nanos: undefined, signal }, path, summary.position);
      return { ...ends, manifest: { summary }, path, segments, children };
    });
    for (const root of partitions) {
      const line = lineTo(root as PartitionPlan, log);
      const why = line && gapOn(line, bounds.first - 1n);
      if (line !== undefined) return why ?? { partitions, line };
    }
  } catch (error) {
    if (error instanceof StateStoreError && error.code === 'invalid_parameter') return error.message;
    throw error;
  }
  return `nothing of it leads to log ${log.incarnation}`;
}

function lineTo(from: PartitionPlan | ChildPlan, log: PartitionLog): (PartitionPlan | ChildPlan)[] | undefined {
  if (from.path.at(-1)?.incarnation === log.incarnation) return [from];
  for (const child of from.children) {
    const line = lineTo(child, log);
    if (line !== undefined) return [from, ...line];
  }
  return undefined;
}

function gapOn(line: SplitWay['line'], to: bigint): string | undefined {
  for (const [at, each] of line.entries()) {
    const from = 'manifest' in each ? each.manifest.summary.position : each.position;
    const next = line[at + 1];
    // The hand-over comes after the fence.
    const until = next === undefined ? to : (next as ChildPlan).position + 1n;
    const reached = archivedTo(each.path, each.segments, from);
    if (reached < until) return `what comes after ${reached} is not archived, and is needed up to ${until}`;
  }
  return undefined;
}

function archivedTo(
  path: readonly PathStep[],
  segments: ReadonlyMap<string, readonly ListedSegment[]>,
  from: bigint,
): bigint {
  let position = from;
  for (const { incarnation, through } of path) {
    const { spans } = coverageOf(segments.get(incarnation) ?? []);
    const span = spans.find(({ first, last }) => first <= position + 1n && last > position);
    if (span !== undefined) position = through !== undefined && span.last > through ? through : span.last;
    if (through !== undefined && position < through) return position;
  }
  return position;
}

/** Into `engine`. Rejects with `data_corrupt` where the way does not lead to what the topology says. */
export async function crossSplits(
  { repository, bounds, reshaped }: Options,
  engine: ScratchEngine['engine'],
  { way, openScratch, signal, time }: CrossSplitsOptions,
): Promise<CrossedSplits> {
  const { partitions, line } = way;
  const wanted = line.at(-1)!;
  const world = new RestoreWorld({
    repository,
    signal,
    time,
    plan: {
      partitions,
      replays: true,
      isNewest: false,
    },
    openScratch: (partition, origin) =>
      origin === wanted
        ? Promise.resolve({
            engine,
            dispose: () => Promise.resolve(),
          })
        : openScratch(partition),
  });
  const { slotsEpoch = 0n } = reshaped;
  try {
    const state = await world.bringOne(
      line,
      (now) => now.position >= bounds.first - 1n && now.slotsEpoch >= slotsEpoch,
    );
    const { position, entries, chain, stateHash } = state;
    if (position < bounds.first - 1n || position > bounds.last || state.slotsEpoch !== slotsEpoch) {
      const message = `what is archived leads to position ${position} and slots of epoch ${state.slotsEpoch}; the log has ${bounds.first} to ${bounds.last}, the topology epoch ${slotsEpoch}`;
      throw new StateStoreError('data_corrupt', message);
    }
    const kept = engine.get(incarnationKey);
    const incarnation = kept === undefined ? '' : binaryFromBytes(kept);
    return {
      position,
      entries,
      records: entries,
      chain: hashToHex(chain),
      stateHash: hashToHex(stateHash),
      incarnation,
    };
  } finally {
    await world.close();
  }
}
