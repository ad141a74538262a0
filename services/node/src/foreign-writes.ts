// The one way into a partition's engine beside its log: foreign records, which are no part of the state. They are staged
// for a merge, or cleaned up after a split.
import type { BinaryString, PartitionState, StateReader } from '@statestore/core';
import { OwnRecords, StateStoreError } from '@statestore/core';

/** Throws `precondition_failed` where any of these records is the state's own now, or would be. */
export function checkForeign(
  partition: number,
  state: Readonly<PartitionState>,
  reader: StateReader,
  keys: Iterable<BinaryString>,
): void {
  const own = OwnRecords.of(state, reader);
  for (const key of keys) {
    if (own !== undefined && !own.has(key)) continue;
    throw new StateStoreError(
      'precondition_failed',
      `partition ${partition}: a record of kind ${key.charCodeAt(0)} is its own at position ${state.position}, and only its log may change it`,
    );
  }
}
