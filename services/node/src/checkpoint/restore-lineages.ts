// Two clusters of one name that both made checkpoints at one time: which of the two a restore is to have is not to be
// guessed. One after the other, as where a cluster was restored under its name, is no question: restore-plan.ts.
import type { RepositoryHistory } from '@statestore/checkpoint';
import { StateStoreError } from '@statestore/core';
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { CheckpointTrigger } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { RestoreMoment } from './restore-plan.ts';

/** Throws `invalid_parameter` where the moment is one of which there are two. `cluster` undefined: nobody knows whose. */
export function refuseNamesakes(
  { checkpoints }: Pick<RepositoryHistory, 'checkpoints'>,
  cluster: string | undefined,
  moment: RestoreMoment,
): void {
  const made = checkpoints.flatMap(({ manifest }) =>
    // What a restore made says nothing of whether it went on.
    manifest === undefined || manifest.cluster !== cluster || manifest.trigger === CheckpointTrigger.RESTORE
      ? []
      : [manifest],
  );
  const [newest] = made;
  if (newest === undefined) return;
  const first = made.findLast(({ lineage }) => lineage === newest.lineage)!;
  const other = made.find(({ lineage }) => lineage !== newest.lineage);
  if (other === undefined || other.id < first.id) return;
  if (moment.kind === 'time' && moment.nanos < first.startedAtMs * 1_000_000n) return;
  const message = `there are two clusters of the name ${newest.cluster}, and both went on: the newest checkpoint of the one is ${told(newest)}, of the other ${told(other)}`;
  throw new StateStoreError('invalid_parameter', message, {
    hint: `--checkpoint ${newest.id} or --checkpoint ${other.id} says which`,
  });
}

function told({ id, conductor, completedAtMs }: CheckpointManifest): string {
  return `${id}, by ${conductor} at ${new Date(Number(completedAtMs)).toISOString()}`;
}
