// Why a partition stopped: a cause for machines, which decides what is to be done about it, and a reason
// for people.
import { StateStoreError } from '@statestore/core';
import type { HaltCause } from '@statestore/link';
import type { SubscriptionEnd } from './log/log.ts';

export interface Halt {
  readonly cause: HaltCause;
  readonly reason: StateStoreError;
}

export function haltOf(partition: number, cause: HaltCause, why: string, error?: unknown): Halt {
  return { cause, reason: new StateStoreError('partition_halted', `partition ${partition}: ${why}`, { cause: error }) };
}

export function haltOfFailure(partition: number, what: 'engine' | 'log', error: unknown): Halt {
  const why = error instanceof Error ? `: ${error.message}` : '';
  return haltOf(partition, `${what}_failed`, `the ${what} failed${why}`, error);
}

/** What the end of a log's subscription means for a replica that has applied everything up to `applied`. */
export function haltOfEnd(
  partition: number,
  applied: bigint,
  end: Exclude<SubscriptionEnd, { readonly kind: 'closed' }>,
): Halt {
  switch (end.kind) {
    case 'trimmed': {
      const why = `the log begins at ${end.first}, this replica is at ${applied}: it needs a checkpoint`;
      return haltOf(partition, 'log_trimmed', why);
    }
    case 'regressed': {
      if (end.sealed === true) {
        return haltOf(partition, 'log_regressed', `the log ${end.incarnation} is sealed, and ends at ${applied}`);
      }
      const why = `the log ends at ${end.last} (incarnation ${end.incarnation}), this replica is at ${applied}: the log lost something`;
      return haltOf(partition, 'log_regressed', why);
    }
    case 'corrupt': {
      const reason = end.cause instanceof Error ? end.cause.message : 'it cannot be read';
      return haltOf(partition, 'log_corrupt', `a batch after ${applied} cannot be applied: ${reason}`, end.cause);
    }
  }
}
