// What a replica's refusal means for the request: one table for each kind of request, with a line for
// every error code there is, so that a new code cannot be forgotten.
//
// The rule holds where it is certain that no attempt of a write took effect. Where one may have, a refusal
// by another replica says nothing of it: the write is tried on until somebody knows, or time is up.
import type { ErrorCode, ResultCode } from '@statestore/core';

export type RequestKind = 'read' | 'write';

/**
 * `again`: another replica now; when all have said so, a pause, then all of them once more, until time is up.
 * `once`: another replica now; when all have said so, that is the answer.
 * `final`: that is the answer.
 */
export type Next = 'again' | 'once' | 'final';

export interface Rule {
  readonly next: Next;
  /** Whether the replica is avoided for a while. */
  readonly avoid: boolean;
}

const again: Rule = { next: 'again', avoid: true };
const once: Rule = { next: 'once', avoid: true };
const final: Rule = { next: 'final', avoid: false };

const ofTheRequest = {
  invalid_key: final,
  invalid_store_name: final,
  invalid_parameter: final,
  invalid_ttl: final,
  invalid_body: final,
  invalid_json: final,
  invalid_cursor: final,
  invalid_condition: final,
  invalid_request: final,
  invalid_url: final,
  not_found: final,
  store_not_found: final,
  checkpoint_not_found: final,
  checkpoint_running: final,
  checkpoints_not_configured: final,
  no_cluster: final,
  route_not_found: final,
  method_not_allowed: final,
  not_acceptable: final,
  request_timeout: final,
  cursor_expired: final,
  precondition_failed: final,
  value_too_large: final,
  body_too_large: final,
  unsupported_media_type: final,
  not_a_number: final,
  out_of_bounds: final,
  not_json: final,
  value_would_be_too_large: final,
  idempotency_key_reused: final,
  cross_slot_transaction: final,
  headers_too_large: final,
  too_many_requests: final,
  session_expired: final,
  quota_exceeded: final,
  too_many_stores: final,
  invalid_settings: final,
} as const satisfies Partial<Record<ErrorCode, Rule>>;

/** Of the node or the replica, and not of the request: another one may do better. */
const ofTheReplica = {
  unavailable: again,
  /** The same stamp goes to another replica; apply takes it once. */
  outcome_unknown: again,
  shutting_down: again,
  moved: again,
  /** Where all replicas have halted, only recovery helps, and a client should be told so at once. */
  partition_halted: once,
  data_locked: once,
  data_format: once,
  data_corrupt: once,
} as const satisfies Partial<Record<ErrorCode, Rule>>;

export const rules: Readonly<Record<RequestKind, Readonly<Record<ErrorCode, Rule>>>> = {
  write: {
    ...ofTheRequest,
    ...ofTheReplica,
    // Back-pressure. Every replica proposes to the same log, and has to apply all of it: passing the write on
    // would only multiply the load that is refused here.
    overloaded: final,
    // Every replica must store the write, this one too: another one that takes it would fill this disk.
    disk_full: final,
    // A defect, somewhere past the point where anybody can tell what was done.
    internal: final,
  },
  read: {
    ...ofTheRequest,
    ...ofTheReplica,
    // A read costs only whoever answers it.
    overloaded: { next: 'once', avoid: false },
    // A strong read needs the log.
    disk_full: { next: 'once', avoid: false },
    internal: once,
  },
};

/** Results that say "not this time" and leave it open whether an attempt before took effect. */
export function leavesOpen(code: ResultCode): boolean {
  return code === 'session_expired' || code === 'already_answered' || code === 'overloaded';
}
