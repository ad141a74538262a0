// The one way to refuse what a repository holds: the object's name, and what is wrong with it.
import { StateStoreError } from '@statestore/core';
import type { ObjectName } from './repository.ts';

export function damaged(name: ObjectName, what: string, cause?: unknown): StateStoreError {
  return new StateStoreError('data_corrupt', `${name}: ${what}`, {
    hint: 'use another checkpoint: an older one, or a copy of this one',
    ...(cause === undefined ? {} : { cause }),
  });
}
