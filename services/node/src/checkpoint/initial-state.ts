// A checkpoint as the state that a cluster begins with, and whether a checkpoint is of use to a replica: both follow from
// which log its states are of, and where.
import { chainToHex } from '@statestore/checkpoint';
import type { InitialState } from '@statestore/cluster';
import type { PartitionLog } from '@statestore/core';
import type { CheckpointManifest, PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';

export function initialStateOf(
  { id, partitions }: CheckpointManifest,
  made: Pick<InitialState, 'generation' | 'lineage'> = {},
): InitialState {
  return {
    checkpoint: id,
    ...made,
    partitions: partitions.map((summary) => {
      const { partition, slotsEpoch } = summary;
      const slots = summary.slots.map(({ start, end }) => ({ start, end }));
      const seen = slotsEpoch === 0n ? {} : { slotsEpoch };
      return { partition, slots, ...seen, continues: continuesOf(summary) };
    }),
  };
}

function continuesOf({ incarnation, position, chain }: PartitionSummary): PartitionLog['continues'] {
  // Nothing was ever written to it: its log begins at the beginning, too.
  return position === 0n ? undefined : { incarnation, position, chain: chainToHex(chain) };
}

/**
 * Whether a replica that is restored from this can follow the log, which has records from `first` to `last`: its state
 * is one that the log had, and everything after it is there; or it is the very state that the log carries on.
 */
export function leadsToLog(
  summary: Pick<PartitionSummary, 'incarnation' | 'position' | 'chain'>,
  { incarnation, continues }: PartitionLog,
  { first, last }: { readonly first: bigint; readonly last: bigint },
): boolean {
  const { position } = summary;
  if (position + 1n < first || position > last) return false;
  if (summary.incarnation === incarnation) return true;
  return (
    continues?.incarnation === summary.incarnation &&
    continues.position === position &&
    continues.chain === chainToHex(summary.chain)
  );
}
