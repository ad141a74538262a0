// Whose checkpoints a restore begins from where nobody says it: of the only cluster that has any. What earlier restores
// made for the new cluster does not count beside those: it is of the moment that was asked for then. And with which
// checkpoint one that was interrupted had begun.
import { chainToHex, listCheckpoints, type Repository, showCheckpoint } from '@statestore/checkpoint';
import type { LogDescription } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import { CheckpointTrigger } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { RestoreMoment } from './restore-plan.ts';

export interface RestoreSourceOptions {
  readonly source: Repository;
  readonly moment: RestoreMoment;
  /** The new one; undefined: it makes no checkpoints. */
  readonly cluster?: string | undefined;
  readonly signal: AbortSignal;
}

/** Undefined: there is none, or the moment says it. Rejects with `invalid_settings` where there are several. */
export async function sourceClusterOf(options: RestoreSourceOptions): Promise<string | undefined> {
  const { source: repository, moment, cluster, signal } = options;
  if (moment.kind === 'checkpoint' && moment.id !== undefined) return undefined;
  const found = (await listCheckpoints({ repository, signal })).flatMap((each) =>
    each.state === 'complete' ? [each] : [],
  );
  const isMade = (each: (typeof found)[number]): boolean =>
    each.cluster === cluster && each.trigger === CheckpointTrigger.RESTORE;
  const others = found.filter((each) => !isMade(each));
  const names = new Set((others.length > 0 ? others : found).map((each) => each.cluster));
  if (names.size < 2) return [...names][0];
  const message = `${repository.location} has checkpoints of ${[...names].toSorted().join(', ')}`;
  throw new StateStoreError('invalid_settings', message, { hint: 'say whose with --from-cluster' });
}

export interface BegunOptions {
  /** Of the new cluster. */
  readonly repository: Repository;
  readonly cluster: string;
  /** Its first log of a partition. */
  readonly describe: (partition: number) => Promise<LogDescription | undefined>;
  readonly signal: AbortSignal;
}

/** Id of the checkpoint whose states the logs carry on that are there; undefined: there are none, or it is not there. */
export async function begunWith({ repository, cluster, describe, signal }: BegunOptions): Promise<string | undefined> {
  for (const { id } of await listCheckpoints({ repository, cluster, signal })) {
    const shown = await showCheckpoint({ repository, cluster, id, signal });
    if (shown.state !== 'complete') continue;
    for (const { partition, incarnation, position, chain } of shown.manifest.partitions) {
      const continues = (await describe(partition))?.log.continues;
      if (continues === undefined) continue;
      if (continues.incarnation !== incarnation || continues.position !== position) break;
      if (continues.chain === chainToHex(chain)) return id;
    }
  }
  return undefined;
}
