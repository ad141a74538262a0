// The way from a checkpoint through the archive to the newest batch of its partition that is archived.
import { StateStoreError } from '@statestore/core';
import type { PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { PathStep } from './archive-path.ts';
import type { History } from './history.ts';

/** To the log that is written to now; to the end of the checkpoint's own where that one does not carry it on. */
export function wayFrom(history: History, summary: PartitionSummary): readonly PathStep[] {
  try {
    return history.pathFrom(summary.partition, summary, undefined);
  } catch (error) {
    if (!(error instanceof StateStoreError) || error.code !== 'invalid_parameter') throw error;
    return [{ incarnation: summary.incarnation, through: undefined }];
  }
}
