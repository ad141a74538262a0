// Whether what halted a replica is over, by its cause. What is not in this table needs a person, or another log.
import { type PartitionLog, StateStoreError } from '@statestore/core';
import type { HaltCause } from '@statestore/link';
import type { FoundLog, HeldState } from './judge-log.ts';
import { isSpent } from './judge-log.ts';
import { unlessAborted } from './pause.ts';

export interface MendQuestion {
  readonly cause: HaltCause;
  /** Other nodes whose replica runs on the log. */
  readonly sources: number;
  /** Whether one of them has applied the batch that this replica stopped at. */
  readonly passed: boolean;
  /** What it stopped with. */
  readonly reason?: StateStoreError | undefined;
  /** Whether a checkpoint leads to the log. */
  readonly mayRestore: () => Promise<boolean>;
  readonly facts: HeldState;
  readonly log: PartitionLog;
  readonly heard: bigint;
  readonly findLog: () => Promise<FoundLog | undefined>;
  /** Whether the log has the last batch that was applied here; undefined where that cannot be told. */
  readonly holdsLast: (found: FoundLog) => Promise<boolean | undefined>;
  readonly signal: AbortSignal;
}

const mending: Readonly<Record<HaltCause, (question: MendQuestion) => boolean | Promise<boolean>>> = {
  // The process ends; the next one begins anew.
  engine_failed: () => false,
  log_failed: () => true,
  log_trimmed: ({ sources, mayRestore }) => sources > 0 || mayRestore(),
  diverged: ({ sources, mayRestore }) => sources > 0 || mayRestore(),
  // Where nobody gets past the batch, it is damaged, and does not pass by itself. Where others do, it was this replica's
  // engine, its memory or its way to the log; of a newer version, what comes next could not be applied either.
  log_corrupt: ({ passed, reason }) => passed && !isOfNewerVersion(reason),
  log_regressed: (question) => isWhole(question),
};

function isOfNewerVersion(reason: StateStoreError | undefined): boolean {
  return reason?.cause instanceof StateStoreError && reason.cause.code === 'data_format';
}

/** Never rejects but with the signal's reason. */
export async function isMendable(question: MendQuestion): Promise<boolean> {
  try {
    return await mending[question.cause](question);
  } catch {
    question.signal.throwIfAborted();
    // Nobody could be asked: it will be asked again.
    return false;
  }
}

/**
 * The log was only answered for wrongly. To be as long as before is not enough: it may have lost its end and
 * grown again. One that is sealed is only good for what this replica has not read of it yet: at its end the
 * replica stops again.
 */
async function isWhole({ facts, log, heard, findLog, holdsLast, signal }: MendQuestion): Promise<boolean> {
  // Of another log: only one that carries it on will do.
  if (facts.incarnation !== undefined && facts.incarnation !== log.incarnation) return false;
  const found = await unlessAborted(findLog(), signal);
  if (found?.incarnation !== log.incarnation) return false;
  if (found.last < facts.position || found.last < heard) return false;
  if (isSpent(found, facts.position)) return false;
  if (facts.position === 0n) return true;
  return found.first <= facts.position && ((await holdsLast(found)) ?? true);
}
