// A replica's state out of the repository: from the newest checkpoint that leads to its log, and where that turns out to
// be damaged, or cannot be read, from the next older one. What the replica does before and after is its own (cluster/replica-states.ts).
import type {
  GoodCheckpoint,
  ReadProgress,
  Repository,
  RestoredPartition,
  RestoreTarget,
} from '@statestore/checkpoint';
import { examine, isUnreadable, newestGood, restorePartition, showCheckpoint } from '@statestore/checkpoint';
import type { PartitionLog } from '@statestore/core';
import { limits, slotRanges, StateStoreError } from '@statestore/core';
import type {
  CheckpointManifest,
  PartitionManifest,
  PartitionSummary,
} from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { Turns } from '../copy/turns.ts';
import type { Engine } from '../engine/engine.ts';
import { systemTime, type Time } from '../time.ts';
import { ArchiveBridge } from './archive-bridge.ts';
import { leadsToLog } from './initial-state.ts';
import { crossSplits, type ReplicaSlots, type SplitWay, splitWays } from './restore-through-splits.ts';
import type { ScratchEngine } from './restore-world.ts';

export interface FindCheckpointOptions {
  readonly repository: Repository;
  /** Whose checkpoints. */
  readonly cluster: string;
  readonly partition: number;
  /** That the topology names. */
  readonly log: PartitionLog;
  /** What it has now. */
  readonly bounds: { readonly first: bigint; readonly last: bigint };
  /** Of the topology: a checkpoint, also of another cluster, that this one began with. */
  readonly restoredFrom?: string | undefined;
  /** Of the partition, as the topology has it: those of a checkpoint must lead to them. Undefined: they are known to. */
  readonly reshaped?: ReplicaSlots | undefined;
  /** Batches of the log that may be left to replay; undefined: any number. */
  readonly replayMax?: bigint | undefined;
  /** Where no checkpoint leads to the log: also those that the archive leads on from. */
  readonly archive?: boolean | undefined;
  readonly signal: AbortSignal;
  /** A checkpoint that would do, but is damaged, */
  readonly onDamaged?: ((id: string, why: string) => void) | undefined;
  /** or cannot be read, though the repository answers. */
  readonly onUnreadable?: ((id: string, why: string) => void) | undefined;
}

export interface RestoreReplicaOptions extends FindCheckpointOptions {
  /** Its content is replaced. Nobody else may use it meanwhile. */
  readonly target: RestoreTarget;
  /** Of the target: where what the log lacks may come from the archive. */
  readonly engine?: Engine | undefined;
  /** For states of other partitions, of which this one was made. Undefined: it is not made of any. */
  readonly openScratch?: ((partition: number) => Promise<ScratchEngine>) | undefined;
  readonly time?: Time;
  /** One was found, and is being read; again where it is damaged. */
  readonly onBegin?: ((manifest: PartitionManifest) => void) | undefined;
  readonly onProgress?: ((progress: ReadProgress) => void) | undefined;
  /** One was deleted while it was read. */
  readonly onDeleted?: ((id: string) => void) | undefined;
  /** As `bounds`, asked anew then: a newer one may be of a position that the log did not have before. */
  readonly boundsNow?: (() => Promise<FindCheckpointOptions['bounds']>) | undefined;
}

export type ReplicaRestore =
  | {
      readonly kind: 'restored';
      readonly checkpoint: string;
      readonly state: RestoredPartition;
      readonly incarnation: string;
    }
  /** The target is as it was. */
  | { readonly kind: 'none'; readonly why: string };

/** Rejects with what the repository or the engine says, and with the signal's reason: the target is then as it was. */
export async function restoreReplica(options: RestoreReplicaOptions): Promise<ReplicaRestore> {
  const others: Others = { told: [], unreadable: [] };
  let { bounds } = options;
  for (;;) {
    const restored = await tryAll({ ...options, bounds }, others);
    if (restored !== 'deleted') return restored;
    bounds = (await options.boundsNow?.()) ?? bounds;
  }
}

/** `deleted`: one was, while it was read. Newer ones are there, then. */
async function tryAll(options: RestoreReplicaOptions, others: Others): Promise<ReplicaRestore | 'deleted'> {
  const { told, unreadable } = others;
  for await (const candidate of allCandidates(options, others)) {
    const { good } = candidate;
    const restored = await tryOne(options, candidate);
    if ('kind' in restored) return restored;
    const { id } = good.manifest;
    const why = restored.error.message;
    if (!restored.damaged) {
      cannotBeRead(options, others, id, restored.error);
    } else if (await isDeleted(options, id)) {
      options.onDeleted?.(id);
      return 'deleted';
    } else {
      told.push(`${id}: ${why}`);
      options.onDamaged?.(id, why);
    }
  }
  // Perhaps they can be read later.
  if (unreadable[0] !== undefined) throw unreadable[0];
  return { kind: 'none', why: noneLeads(options, told) };
}

async function isDeleted({ repository, signal }: FindCheckpointOptions, id: string): Promise<boolean> {
  const { state } = await showCheckpoint({ repository, signal, id });
  return state === 'deleted' || state === 'none';
}

export type FoundCheckpoint =
  | { readonly kind: 'found'; readonly checkpoint: string; readonly position: bigint }
  | { readonly kind: 'none'; readonly why: string };

/** The one that restoreReplica would begin with. Rejects with what the repository says, and the signal's reason. */
export async function findCheckpoint(options: FindCheckpointOptions): Promise<FoundCheckpoint> {
  const others: Others = { told: [], unreadable: [] };
  for await (const { good } of allCandidates(options, others)) {
    const { position } = partitionOf(good, options)?.summary ?? { position: 0n };
    return { kind: 'found', checkpoint: good.manifest.id, position };
  }
  if (others.unreadable[0] !== undefined) throw others.unreadable[0];
  return { kind: 'none', why: noneLeads(options, others.told) };
}

function noneLeads({ partition }: FindCheckpointOptions, told: readonly string[]): string {
  const why = told.length === 0 ? 'there is none' : told.slice(0, 3).join('; ');
  return `no checkpoint leads to the log of partition ${partition}: ${why}`;
}

/** Undefined: it is made of others. */
function partitionOf(
  { partitions }: GoodCheckpoint,
  { partition }: FindCheckpointOptions,
): PartitionManifest | undefined {
  return partitions.find(({ summary }) => summary?.partition === partition);
}

/** What was found of checkpoints that are none to restore from. */
interface Others {
  readonly told: string[];
  readonly unreadable: StateStoreError[];
}

/**
 * Rejects where it is too many: then it is rather the repository that does not answer, and it is asked again as a whole,
 * the newest first.
 */
/* oxlint-disable-next-line max-params -- which one, and why */
function cannotBeRead(
  { onUnreadable }: FindCheckpointOptions,
  { told, unreadable }: Others,
  id: string,
  error: StateStoreError,
): void {
  told.push(`${id}: ${error.message}`);
  unreadable.push(error);
  if (unreadable.length > limits.checkpointUnreadableMax) throw unreadable[0]!;
  onUnreadable?.(id, error.message);
}

interface Candidate {
  readonly good: GoodCheckpoint;
  /** Undefined: the log has everything after it. */
  readonly bridge: ArchiveBridge | undefined;
  /** Through splits and merges. */
  readonly way?: SplitWay;
}

async function* allCandidates(options: FindCheckpointOptions, others: Others): AsyncGenerator<Candidate, void> {
  const damaged = new Set<string>();
  const onDamaged = (id: string, why: string): void => {
    if (!damaged.has(id)) options.onDamaged?.(id, why);
    damaged.add(id);
  };
  for await (const good of candidates({ ...options, onDamaged }, others)) yield { good, bridge: undefined };
  if (options.archive !== true) return;
  const bridge = await ArchiveBridge.open(options);
  // What it says of them is said better now.
  others.told.length = 0;
  for await (const good of candidates({ ...options, onDamaged }, others, bridge)) yield { good, bridge };
  const { reshaped } = options;
  // Whoever has somebody to copy from does better than to make it of others.
  if (reshaped?.slotsEpoch === undefined || options.replayMax !== undefined) return;
  for await (const way of splitWays({ ...options, reshaped, onDamaged }, others.told))
    yield { good: way.good, bridge: undefined, way };
}

/** The newest first; the one that the cluster began with last. */
async function* candidates(
  options: FindCheckpointOptions,
  others: Others,
  bridge?: ArchiveBridge,
): AsyncGenerator<GoodCheckpoint, void> {
  const { repository, cluster, signal, restoredFrom, onDamaged } = options;
  const { told } = others;
  const useless = new Set<string>();
  const accepts = (manifest: CheckpointManifest): string | undefined => {
    const why = objection(manifest, options, bridge);
    if (why !== undefined) useless.add(manifest.id);
    return why;
  };
  let before: string | undefined;
  for (;;) {
    const onUnreadable = (id: string, error: StateStoreError): void => cannotBeRead(options, others, id, error);
    const { good, passedOver } = await newestGood({ repository, cluster, signal, before, accepts, onUnreadable });
    told.push(...passedOver.map(({ id, why }) => `${id}: ${why}`));
    for (const { id, why } of passedOver) if (!useless.has(id)) onDamaged?.(id, why);
    if (good === undefined) break;
    yield good;
    before = good.manifest.id;
  }
  if (restoredFrom === undefined) return;
  const shown = await showCheckpoint({ repository, signal, id: restoredFrom });
  if (shown.state !== 'complete') {
    told.push(`${restoredFrom}, which the cluster began with: it is ${shown.state}`);
    return;
  }
  const why = accepts(shown.manifest);
  const whole = why ?? (await examine({ repository, signal }, shown.manifest));
  if (typeof whole === 'string') told.push(`${restoredFrom}: ${whole}`);
  else yield whole;
}

function objection(
  manifest: CheckpointManifest,
  { partition, log, bounds, reshaped, replayMax }: FindCheckpointOptions,
  bridge?: ArchiveBridge,
): string | undefined {
  const summary = manifest.partitions.find((each) => each.partition === partition);
  if (summary === undefined) return `it has no partition ${partition}`;
  const { incarnation, position } = summary;
  const { first, last } = bounds;
  if (reshaped !== undefined && !leadsToSlots(summary, reshaped)) return `its partition ${partition} has other slots`;
  const leads = leadsToLog(summary, log, bounds);
  // It was tried already.
  if (leads && bridge !== undefined) return 'it cannot be used';
  const why = bridge?.objection(summary);
  if (why !== undefined) return why;
  if (leads || bridge !== undefined) {
    if (replayMax === undefined || last - position <= replayMax) return undefined;
    return `its state is at ${position}: ${last - position} batches would be left to replay`;
  }
  const of = `its state is of log ${incarnation} at ${position}; log ${log.incarnation} has ${first} to ${last}`;
  return incarnation === log.incarnation && position + 1n < first
    ? `${of}: ${position + 1n} to ${first - 1n} are missing`
    : of;
}

/** Whether the log alone leads from the one to the other: slots may have been given away since, but none were taken. */
function leadsToSlots({ slots, slotsEpoch }: PartitionSummary, wanted: ReplicaSlots): boolean {
  const { slotsEpoch: epoch = 0n } = wanted;
  if (slotsEpoch === epoch) return slotRanges.isSameSlots(slots, wanted.slots);
  return slotsEpoch < epoch && slotRanges.contains(slots, wanted.slots) && !slotRanges.isSameSlots(slots, wanted.slots);
}

async function tryOne(
  options: RestoreReplicaOptions,
  { good, bridge, way }: Candidate,
): Promise<ReplicaRestore | { readonly damaged: boolean; readonly error: StateStoreError }> {
  const { repository, target, signal, time = systemTime, onBegin, onProgress } = options;
  const manifest = way === undefined ? partitionOf(good, options)! : way.partitions[0]!.manifest;
  onBegin?.(manifest);
  const turns = new Turns(time);
  const turn = (): Promise<void> | undefined => (turns.over ? turns.next() : undefined);
  const told = onProgress === undefined ? {} : { onProgress };
  try {
    if (way !== undefined) return await throughSplits(options, way, time);
    const summary = manifest.summary!;
    const state = await restorePartition({ repository, manifest, target, signal, turn, ...told });
    const restored = { kind: 'restored', checkpoint: good.manifest.id } as const;
    if (bridge === undefined || options.engine === undefined)
      return { ...restored, state, incarnation: summary.incarnation };
    const { incarnation, ...crossed } = await bridge.cross({ summary, engine: options.engine, signal, time });
    return { ...restored, state: { ...state, ...crossed }, incarnation };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof StateStoreError)) throw error;
    if (error.code === 'data_corrupt' || error.code === 'data_format') return { damaged: true, error };
    if (isUnreadable(error)) return { damaged: false, error };
    throw error;
  }
}

async function throughSplits(options: RestoreReplicaOptions, way: SplitWay, time: Time): Promise<ReplicaRestore> {
  const { engine, openScratch, reshaped, signal } = options;
  if (engine === undefined || openScratch === undefined || reshaped === undefined)
    return { kind: 'none', why: 'there is no room for the states that it is made of' };
  const crossed = await crossSplits({ ...options, reshaped }, engine, { way, openScratch, signal, time });
  const { incarnation, ...state } = crossed;
  return { kind: 'restored', checkpoint: way.good.manifest.id, state, incarnation };
}
