// Deletion, by hand or since it was kept for long enough: a checkpoint is unlisted, nothing more; its objects go
// later (collect-garbage.ts). One goes only while a newer one is there that is whole, so the newest of all can
// never go, whatever several deleters know of each other.
import type { StateStoreError } from '@statestore/core';
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import {
  callOf,
  type CatalogOptions,
  type CompleteCheckpoint,
  examine,
  listCheckpoints,
  newestGood,
  type PassedOver,
  showCheckpoint,
} from './catalog.ts';
import { createTombstone } from './markers.ts';
import { repositoryClock } from './repository-clock.ts';
import { retired, type RetentionPolicy } from './retention.ts';

export interface DeleteOptions extends CatalogOptions {
  /** Who, or what: for people. */
  readonly by: string;
  readonly nowMs: () => number;
}

export type DeleteOutcome =
  | { readonly outcome: 'deleted' | 'already_deleted' | 'none' }
  /** `why`: what is missing for it to go. */
  | { readonly outcome: 'refused'; readonly why: string };

export async function deleteCheckpoint(options: DeleteOptions & { readonly id: string }): Promise<DeleteOutcome> {
  const { repository, id, by, nowMs, cluster } = options;
  const shown = await showCheckpoint(options);
  if (shown.state === 'none') return { outcome: 'none' };
  if (shown.state === 'deleted') return { outcome: 'already_deleted' };
  const whole = shown.state === 'complete' && typeof (await examine(options, shown.manifest)) !== 'string';
  // A damaged one is no loss while there is any that is good; its own cluster is not to be known.
  const of = shown.state === 'complete' ? shown.cluster : cluster;
  const { good } = await newestGood({ ...options, cluster: of, ...(whole ? { after: id } : {}) });
  if (good === undefined) {
    const why = whole ? 'it is the newest good checkpoint' : 'there is no good checkpoint beside it';
    return { outcome: 'refused', why };
  }
  const made = await createTombstone(repository, { id, deletedAtMs: nowMs(), by }, callOf(options));
  return { outcome: made ? 'deleted' : 'already_deleted' };
}

export interface RetentionOptions extends DeleteOptions {
  readonly cluster: string;
  readonly policy: RetentionPolicy;
  /** Whether a block of this one was found to be broken: it counts for nothing, and stays, as others that are damaged. */
  readonly isDamaged?: (id: string) => boolean;
}

export interface RetentionReport {
  /** The oldest first. */
  readonly deleted: readonly string[];
  /** The one because of which others may go; undefined: there is none that is good, and none goes. */
  readonly newestGood: string | undefined;
  /** Newer than that one, and not good: they neither count nor go. */
  readonly passedOver: readonly PassedOver[];
  /** Cannot be read, or of another cluster: for people to look at. */
  readonly damaged: readonly { readonly id: string; readonly damage: StateStoreError }[];
}

/** Deletes what the policy lets go. Only the cluster's own complete checkpoints: those of its name, and of its lineage. */
export async function applyRetention(options: RetentionOptions): Promise<RetentionReport> {
  const { repository, policy, nowMs, by, lineage: own, isDamaged = () => false } = options;
  const call = callOf(options);
  const accepts = ({ id }: CheckpointManifest) => (isDamaged(id) ? 'a block of it is damaged' : undefined);
  const { good, passedOver } = await newestGood({ ...options, accepts });
  const listed = await listCheckpoints(options);
  const damaged = listed.flatMap((each) => (each.state === 'damaged' ? [each] : []));
  const newest = good?.manifest.id;
  const isOwn = ({ lineage }: CompleteCheckpoint): boolean => own === undefined || lineage === own;
  const deleted: string[] = [];
  if (newest !== undefined) {
    const complete = listed.flatMap((each) =>
      each.state === 'complete' && each.id <= newest && isOwn(each) && !isDamaged(each.id) ? [each] : [],
    );
    const isAgeAsked = policy.maxAgeMs !== undefined || policy.settling !== undefined;
    const repositoryMs = isAgeAsked ? (await repositoryClock(repository, call)).nowMs : 0;
    for (const id of retired(complete, policy, repositoryMs)) {
      // Ascending: what is left is at every moment what a longer policy would have kept.
      if (id >= newest) continue;
      await createTombstone(repository, { id, deletedAtMs: nowMs(), by }, call);
      deleted.push(id);
    }
  }
  return { deleted, newestGood: newest, passedOver, damaged };
}
