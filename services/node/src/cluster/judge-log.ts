// Whether the data that a node has of a replica may follow the log that the topology names. Pure: every case
// is here, and none of them guesses. What is thrown away can be had again from a peer, or it is kept.
import type { PartitionLog } from '@statestore/core';
import type { HaltCause } from '@statestore/link';

/** What the engine holds. */
export interface HeldState {
  /** Applied and stored; 0n: nothing was ever applied. */
  readonly position: bigint;
  /** UUID of the log that it was made from; undefined: of none yet. */
  readonly incarnation: string | undefined;
  /** 32 hexadecimal digits. */
  readonly chain: string;
  /** When the log stored the batch of this position, ns since 1970; undefined: it was not noted. */
  readonly lastNanos?: bigint | undefined;
}

/** What the log's stream says of itself; undefined: there is no such stream. */
export interface FoundLog {
  readonly incarnation: string;
  readonly first: bigint;
  readonly last: bigint;
  /** It takes nothing any more, for ever. */
  readonly sealed?: true;
}

/** What is known of a log from elsewhere. */
export interface LogEvidence {
  /** The greatest position of this log that any replica is known to have applied. */
  readonly heard: bigint;
  /** Whether the log has, at the position that is held, the very batch that was applied; undefined: that cannot be told. */
  readonly holdsLast?: boolean | undefined;
}

/** Whether a log has nothing more to give to a replica at this position, ever: it may not serve from it. */
export function isSpent({ sealed, last }: FoundLog, position: bigint): boolean {
  return sealed === true && last <= position;
}

export type Judgement =
  | { readonly kind: 'follow' }
  /** It is at exactly the position where the recovered log goes on: it takes the log as its own. */
  | { readonly kind: 'adopt' }
  /**
   * It cannot be had from the log: from a peer. `cause`: what a replica with data of its own has halted for until then.
   * `kept`: what it has is of another history. Where that is open, the copy will tell (judge-replaced.ts).
   */
  | { readonly kind: 'copy'; readonly cause: HaltCause; readonly why: string; readonly kept?: boolean }
  /** `ahead`: it has what the recovered log has not. */
  | { readonly kind: 'halt'; readonly cause: HaltCause; readonly why: string; readonly ahead?: boolean };

/* oxlint-disable-next-line max-params -- what is judged, and by what */
export function judgeLog(
  held: HeldState,
  log: PartitionLog,
  found: FoundLog | undefined,
  evidence: LogEvidence,
): Judgement {
  if (held.incarnation !== undefined && held.incarnation !== log.incarnation) return judgeSuccessor(held, log);
  return judgeSame(held, log, found, evidence);
}

/** The data are of another log: the one that this one carries on, an earlier one, or one that nothing is known of. */
function judgeSuccessor(held: HeldState, { continues, incarnation, generation }: PartitionLog): Judgement {
  const others = continues?.incarnation !== held.incarnation;
  // Away through more than one recovery, it can still be an earlier part of this history: the copy will tell.
  if (continues === undefined || (others && held.position > continues.position)) {
    const why = `this replica is of log ${held.incarnation}; log ${incarnation} (generation ${generation}) does not carry it on`;
    return { kind: 'halt', cause: 'log_regressed', why };
  }
  if (others) {
    const why = `this replica is at ${held.position} of log ${held.incarnation}, which log ${incarnation} (generation ${generation}) does not carry on`;
    return { kind: 'copy', cause: 'log_trimmed', why };
  }
  if (held.position > continues.position) {
    const why = `this replica is at ${held.position}, ahead of the recovered log, which carries on after ${continues.position}`;
    return { kind: 'halt', cause: 'log_regressed', why, ahead: true };
  }
  if (held.position < continues.position) {
    const why = `this replica is at ${held.position}, the recovered log carries on after ${continues.position}`;
    return { kind: 'copy', cause: 'log_trimmed', why };
  }
  if (held.chain !== continues.chain) {
    const why = `at ${held.position} its chain is ${held.chain}, the recovered log carries on from ${continues.chain}`;
    return { kind: 'copy', cause: 'diverged', why, kept: true };
  }
  return { kind: 'adopt' };
}

/** As judgeLog, of data that are of this very log, or of none. */
/* oxlint-disable-next-line max-params -- as judgeLog */
export function judgeSame(
  held: HeldState,
  log: PartitionLog,
  found: FoundLog | undefined,
  { heard, holdsLast }: LogEvidence,
): Exclude<Judgement, { readonly kind: 'adopt' }> {
  const regressed = (why: string) => ({ kind: 'halt', cause: 'log_regressed', why }) as const;
  if (found === undefined) return regressed(`the log ${log.incarnation} is gone`);
  if (found.incarnation !== log.incarnation) {
    return regressed(`the log is ${found.incarnation}; the topology names ${log.incarnation}`);
  }
  const { first, last } = found;
  if (last < held.position) return regressed(`the log ends at ${last}, this replica is at ${held.position}`);
  if (last < heard) return regressed(`the log ends at ${last}, another replica was at ${heard}`);
  if (holdsLast === false) {
    return regressed(`at ${held.position} the log has another batch than the one that this replica applied`);
  }
  if (isSpent(found, held.position)) return regressed(`the log ${log.incarnation} is sealed, and ends at ${last}`);
  // Also where the log holds nothing from its beginning on: what came before it is only in other replicas.
  const from = log.continues === undefined ? 1n : log.continues.position + 1n;
  if (held.position === 0n && held.incarnation === undefined && from > 1n) {
    return { kind: 'copy', cause: 'log_trimmed', why: `the log begins at ${from}` };
  }
  if (first > held.position + 1n) {
    return {
      kind: 'copy',
      cause: 'log_trimmed',
      why: `the log begins at ${first}, this replica is at ${held.position}`,
    };
  }
  return { kind: 'follow' };
}
