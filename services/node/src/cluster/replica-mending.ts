// Whether what halted a replica is over, by its cause. What is not in this table needs a person, or another log.
import type { PartitionLog } from '@statestore/core';
import type { HaltCause } from '@statestore/link';
import type { FoundLog, HeldState } from './judge-log.ts';
import { isSpent } from './judge-log.ts';
import { unlessAborted } from './pause.ts';

export interface MendQuestion {
  readonly cause: HaltCause;
  /** Other nodes whose replica runs on the log. */
  readonly sources: number;
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
  // Of a newer version, or damaged: neither passes by itself.
  log_corrupt: () => false,
  log_regressed: (question) => isWhole(question),
};

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
