// What time it is by the repository's own clock. Ages of objects are differences of two of its times: no clock of a
// node has a say in what is removed.
import { StateStoreError } from '@statestore/core';
import { collectedName } from './names.ts';
import type { Repository, RepositoryCall } from './repository.ts';

export interface RepositoryClock {
  /** Where it is full: when it last told, or 0, so that everything seems younger than it is and nothing goes too early. */
  readonly nowMs: number;
  /** It takes no more objects. */
  readonly isFull: boolean;
}

export async function repositoryClock(repository: Repository, call: RepositoryCall): Promise<RepositoryClock> {
  let isFull = false;
  try {
    await repository.put(collectedName, Buffer.from('when it was last looked what time it is here\n'), call);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    isFull = true;
  }
  const info = await repository.head(collectedName, call);
  if (info === undefined && !isFull)
    throw new StateStoreError('unavailable', `${collectedName} is not there after it was put`);
  return { nowMs: info?.modifiedAtMs ?? 0, isFull };
}

export function isDiskFull(error: unknown): boolean {
  return error instanceof StateStoreError && error.code === 'disk_full';
}
