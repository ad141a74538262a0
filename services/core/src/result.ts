// What apply tells a client. Refusals that every replica judges alike are results, not exceptions.

/** Codes of a result, in the order of their numbers on the wire: append only. */
export const resultCodes = [
  'done',
  'not_found',
  'precondition_failed',
  'not_a_number',
  'out_of_bounds',
  'not_json',
  'value_would_be_too_large',
  'quota_exceeded',
  'idempotency_key_reused',
  'session_expired',
  /** A transaction's operation that was not run because another one failed. */
  'not_run',
  /** The result of this counter was answered before and forgotten: a retry that came too late. */
  'already_answered',
  /** The patch is not JSON. */
  'invalid_json',
  'overloaded',
  'too_many_stores',
  /** The key's slot is another partition's, or is about to be: nothing was done, ask whoever has it by a newer topology. */
  'moved',
] as const;

export type ResultCode = (typeof resultCodes)[number];

/** Of one operation. */
export interface OperationResult {
  readonly code: ResultCode;
  /**
   * Revision of the entry after the operation; of the entry that stood in the way where a condition
   * failed; 0 where there is none. After a delete: the revision of the deletion.
   */
  readonly revision: bigint;
  /** Whether the entry existed before. */
  readonly existed: boolean;
  /** Increment: the new value. */
  readonly number: bigint;
  /** Size of the value afterwards, bytes. */
  readonly sizeBytes: number;
  /** Milliseconds since 1970; 0: never. */
  readonly expiresAtMs: number;
}

/** Of one command. */
export interface CommandResult {
  /**
   * `done` also where single operations of a non-atomic mutate failed: see theirs. For an atomic
   * one, the code of the first failure.
   */
  readonly code: ResultCode;
  /** One per operation of a mutate, in order; empty where the whole command was refused unread. */
  readonly operations: readonly OperationResult[];
  /** Clear: entries removed. Sweep: expired entries removed (those that were to be counted). */
  readonly count: number;
  /** Sweep: whether more is due. */
  readonly more: boolean;
  /** Sweep: records removed, of every kind. */
  readonly removed: number;
  /** AdjustAllowance: what was given (positive) or taken (negative). Configure: what is in use. */
  readonly entries: number;
  readonly bytes: number;
  /** Atomic mutate that failed: index into checks, then (after all checks) into operations. */
  readonly failedIndex: number;
}

/** What apply made of a command, and where. */
export interface AppliedResult extends CommandResult {
  /** Of the batch that it was applied in. */
  readonly position: bigint;
  /** Of the log that the position is of; undefined: it has none. */
  readonly generation?: number | undefined;
}

const empty: readonly OperationResult[] = [];

export function commandResult(code: ResultCode, more: Partial<CommandResult> = {}): CommandResult {
  return { code, operations: empty, count: 0, more: false, removed: 0, entries: 0, bytes: 0, failedIndex: 0, ...more };
}

export function operationResult(code: ResultCode, more: Partial<OperationResult> = {}): OperationResult {
  return { code, revision: 0n, existed: false, number: 0n, sizeBytes: 0, expiresAtMs: 0, ...more };
}
