// The format of batches, and what is said of one that is too new.
import { StateStoreError } from '../errors.ts';

/** Raised when an old replica could no longer apply a batch as a new one does. */
export const batchFormat = 1;

export function newerFormat(what: string): StateStoreError {
  return new StateStoreError('data_format', `${what} is not known to this version, which knows up to ${batchFormat}`, {
    hint: 'run a version at least as new as the one that wrote it',
  });
}
