// Stable error codes: what a client may rely on, in one table. The gateway turns a code into RFC 9457
// problem+json; the link carries it between processes. Nothing judges an error by its text.

export interface ErrorKind {
  /** HTTP status. */
  readonly status: number;
  /** One line, the same for every occurrence (RFC 9457 `title`). */
  readonly title: string;
  /** Whether the same request may succeed later, unchanged. */
  readonly retryable: boolean;
}

export const errorKinds = {
  // What the client sent.
  invalid_key: { status: 400, title: 'The key is not valid', retryable: false },
  invalid_store_name: { status: 400, title: 'The store name is not valid', retryable: false },
  invalid_parameter: { status: 400, title: 'A parameter is not valid', retryable: false },
  invalid_ttl: { status: 400, title: 'The time to live is not valid', retryable: false },
  invalid_body: { status: 400, title: 'The body is not valid', retryable: false },
  invalid_json: { status: 400, title: 'The JSON is not valid', retryable: false },
  invalid_cursor: { status: 400, title: 'The cursor is not valid', retryable: false },
  invalid_condition: { status: 400, title: 'The condition is not valid', retryable: false },
  invalid_request: { status: 400, title: 'The request is not valid HTTP', retryable: false },
  invalid_url: { status: 400, title: 'The URL is not valid', retryable: false },
  not_found: { status: 404, title: 'There is no such entry', retryable: false },
  store_not_found: { status: 404, title: 'There is no such store', retryable: false },
  checkpoint_not_found: { status: 404, title: 'There is no such checkpoint', retryable: false },
  route_not_found: { status: 404, title: 'There is no such route', retryable: false },
  method_not_allowed: { status: 405, title: 'The method is not allowed here', retryable: false },
  not_acceptable: { status: 406, title: 'No such representation', retryable: false },
  request_timeout: { status: 408, title: 'The request took too long to arrive', retryable: true },
  cursor_expired: { status: 410, title: 'The changes after this cursor are gone', retryable: false },
  precondition_failed: { status: 412, title: 'The condition does not hold', retryable: false },
  value_too_large: { status: 413, title: 'The value is too large', retryable: false },
  body_too_large: { status: 413, title: 'The body is too large', retryable: false },
  unsupported_media_type: { status: 415, title: 'The content type is not supported', retryable: false },
  checkpoint_running: { status: 409, title: 'A checkpoint is under way', retryable: true },
  not_a_number: { status: 409, title: 'The value is not an integer', retryable: false },
  out_of_bounds: { status: 409, title: 'The result would be out of bounds', retryable: false },
  not_json: { status: 409, title: 'The value is not JSON', retryable: false },
  value_would_be_too_large: { status: 409, title: 'The result would be too large', retryable: false },
  idempotency_key_reused: { status: 422, title: 'The idempotency key was used for another request', retryable: false },
  cross_slot_transaction: { status: 422, title: 'The keys of a transaction must share a slot', retryable: false },
  headers_too_large: { status: 431, title: 'The headers are too large', retryable: false },
  // What the service can do now.
  too_many_requests: { status: 429, title: 'Too many requests', retryable: true },
  internal: { status: 500, title: 'Internal error', retryable: false },
  no_cluster: { status: 501, title: 'This is one node and not a cluster', retryable: false },
  checkpoints_not_configured: { status: 501, title: 'No repository of checkpoints is set', retryable: false },
  unavailable: { status: 503, title: 'Not available now', retryable: true },
  overloaded: { status: 503, title: 'Too much is waiting', retryable: true },
  shutting_down: { status: 503, title: 'Shutting down', retryable: true },
  moved: { status: 503, title: 'The partition is elsewhere now', retryable: true },
  session_expired: { status: 503, title: 'The exactly-once session has expired', retryable: true },
  outcome_unknown: { status: 504, title: 'Whether the write took effect is not known', retryable: true },
  quota_exceeded: { status: 507, title: 'The quota of the store is used up', retryable: false },
  too_many_stores: { status: 507, title: 'There are too many stores', retryable: false },
  disk_full: { status: 507, title: 'The disk is nearly full', retryable: true },
  // What the operator of the service must mend; these stop the start or a partition.
  partition_halted: { status: 503, title: 'The partition has stopped', retryable: false },
  data_locked: { status: 500, title: 'Another process uses this data', retryable: false },
  data_format: { status: 500, title: 'The data is of another format', retryable: false },
  data_corrupt: { status: 500, title: 'The data is damaged', retryable: false },
  invalid_settings: { status: 500, title: 'The settings are not valid', retryable: false },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorKinds, code);
}

export interface ErrorDetails {
  /** What to do about it. */
  readonly hint?: string;
  /** When it makes sense to try again. */
  readonly retryAfterMs?: number;
  /** Further members of the problem document; JSON values. */
  readonly extra?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** The one exception of StateStore: a stable code, a message that names what was wrong. */
export class StateStoreError extends Error {
  override readonly name = 'StateStoreError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly extra: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = details.hint;
    this.retryAfterMs = details.retryAfterMs;
    this.extra = details.extra;
  }

  get status(): number {
    return errorKinds[this.code].status;
  }

  get retryable(): boolean {
    return errorKinds[this.code].retryable;
  }
}
