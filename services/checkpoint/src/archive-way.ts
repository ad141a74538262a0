// The way from a checkpoint through the archive to the newest batch of its partition that is archived.
import { StateStoreError } from '@statestore/core';
import type { PathStart, PathStep } from './archive-path.ts';
import type { History } from './history.ts';

/** A state of a partition. */
export interface WayStart extends PathStart {
  readonly partition: number;
}

/** To the log that is written to now; to the end of its own where that one does not carry it on. */
export function wayFrom(history: History, from: WayStart): readonly PathStep[] {
  try {
    return history.pathFrom(from.partition, from, undefined);
  } catch (error) {
    if (!(error instanceof StateStoreError) || error.code !== 'invalid_parameter') throw error;
    return [{ incarnation: from.incarnation, through: undefined }];
  }
}
