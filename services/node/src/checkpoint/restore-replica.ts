// A replica's state out of the repository: from the newest checkpoint that leads to its log, and where that turns out to
// be damaged from the next older one. What the replica does before and after is its own (cluster/replica-states.ts).
import type {
  GoodCheckpoint,
  ReadProgress,
  Repository,
  RestoredPartition,
  RestoreTarget,
} from '@statestore/checkpoint';
import { examine, newestGood, restorePartition, showCheckpoint } from '@statestore/checkpoint';
import type { PartitionLog } from '@statestore/core';
import { StateStoreError } from '@statestore/core';
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { Turns } from '../copy/turns.ts';
import { systemTime, type Time } from '../time.ts';
import { leadsToLog } from './initial-state.ts';

export interface RestoreReplicaOptions {
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
  /** Its content is replaced. Nobody else may use it meanwhile. */
  readonly target: RestoreTarget;
  readonly signal: AbortSignal;
  readonly time?: Time;
  readonly onProgress?: (progress: ReadProgress) => void;
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
  const told: string[] = [];
  for await (const good of candidates(options, told)) {
    const restored = await tryOne(options, good);
    if (typeof restored !== 'string') return restored;
    told.push(`${good.manifest.id}: ${restored}`);
  }
  const why = told.length === 0 ? 'there is none' : told.slice(0, 3).join('; ');
  return { kind: 'none', why: `no checkpoint leads to the log of partition ${options.partition}: ${why}` };
}

/** The newest first; the one that the cluster began with last. `told`: why others are none. */
async function* candidates(options: RestoreReplicaOptions, told: string[]): AsyncGenerator<GoodCheckpoint, void> {
  const { repository, cluster, signal, restoredFrom } = options;
  const accepts = (manifest: CheckpointManifest): string | undefined => objection(manifest, options);
  let before: string | undefined;
  for (;;) {
    const { good, passedOver } = await newestGood({ repository, cluster, signal, before, accepts });
    told.push(...passedOver.map(({ id, why }) => `${id}: ${why}`));
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
  { partition, log, bounds }: RestoreReplicaOptions,
): string | undefined {
  const summary = manifest.partitions.find((each) => each.partition === partition);
  if (summary === undefined) return `it has no partition ${partition}`;
  if (leadsToLog(summary, log, bounds)) return undefined;
  return `its state is of log ${summary.incarnation} at ${summary.position}; log ${log.incarnation} has ${bounds.first} to ${bounds.last}`;
}

async function tryOne(
  { repository, partition, target, signal, time = systemTime, onProgress }: RestoreReplicaOptions,
  good: GoodCheckpoint,
): Promise<ReplicaRestore | string> {
  const manifest = good.partitions.find(({ summary }) => summary?.partition === partition)!;
  const turns = new Turns(time);
  const turn = (): Promise<void> | undefined => (turns.over ? turns.next() : undefined);
  const told = onProgress === undefined ? {} : { onProgress };
  try {
    const state = await restorePartition({ repository, manifest, target, signal, turn, ...told });
    return { kind: 'restored', checkpoint: good.manifest.id, state, incarnation: manifest.summary!.incarnation };
  } catch (error) {
    const isDamaged =
      error instanceof StateStoreError && (error.code === 'data_corrupt' || error.code === 'data_format');
    if (!isDamaged) throw error;
    return error.message;
  }
}
