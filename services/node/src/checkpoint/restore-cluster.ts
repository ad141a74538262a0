// A new cluster out of a checkpoint: the moment that is wanted becomes a checkpoint that its nodes can read, where it is
// none already. What then makes a topology of it is the coordinator's (services/cluster initialise).
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { MaterialiseOptions } from './materialise.ts';
import { materialise } from './materialise.ts';
import { planRestore, type RestoreMoment } from './restore-plan.ts';
import { type PartitionReach, reachedOf } from './restore-reach.ts';
import { sourceClusterOf } from './restore-source.ts';
import { openScratchState } from './scratch-engine.ts';

export interface PrepareRestoreOptions extends Omit<MaterialiseOptions, 'plan' | 'openScratch'> {
  /** Whose checkpoints; undefined: of the only cluster whose are in the source, but for those that are made for this one. */
  readonly sourceCluster?: string | undefined;
  readonly moment: RestoreMoment;
  /** Folder for states that are being brought to the moment: it has to have room for one, or all with other partitions. */
  readonly scratchPath: string;
  /** What it begins from, before anything is done. */
  readonly onPlanned?: (plan: {
    readonly manifest: CheckpointManifest;
    readonly passedOver: readonly string[];
  }) => void;
}

export interface PreparedRestore {
  /** In `into`: what the cluster begins with. */
  readonly manifest: CheckpointManifest;
  /** Whether it was made for this. */
  readonly isNew: boolean;
  /** Time of the newest batch in it, ns since 1970; 0n where it has none. */
  readonly clockNanos: bigint;
  /** By partition at the moment, how far each was brought, and whether that is the moment that was wanted. */
  readonly reached: readonly PartitionReach[];
}

/** Rejects as planRestore and materialise do. */
export async function prepareRestore(options: PrepareRestoreOptions): Promise<PreparedRestore> {
  const { source, into, moment, partitions, signal, scratchPath } = options;
  const cluster = options.sourceCluster ?? (await sourceClusterOf(options));
  const plan = await planRestore({ repository: source, cluster, moment, signal });
  const { manifest } = plan.checkpoint;
  options.onPlanned?.({ manifest, passedOver: plan.passedOver });
  const isOther = partitions !== undefined && partitions !== manifest.partitions.length;
  const isThere = into === source || (into.kind === source.kind && into.location === source.location);
  // One of another cluster goes when that one says so, and what the new one archives would lead from none of its own.
  const isOwn = manifest.cluster === options.cluster;
  if (!plan.replays && !isOther && isThere && isOwn) {
    const reached = plan.partitions.map((each) => reachedOf(each.manifest.summary, each, undefined));
    return { manifest, isNew: false, clockNanos: clockOf(manifest), reached };
  }
  const made = await materialise({ ...options, plan, openScratch: () => openScratchState(scratchPath) });
  return { manifest: made.manifest, isNew: true, clockNanos: clockOf(made.manifest), reached: made.reached };
}

function clockOf({ partitions }: CheckpointManifest): bigint {
  return partitions.reduce((greatest, { clockNanos }) => (clockNanos > greatest ? clockNanos : greatest), 0n);
}
