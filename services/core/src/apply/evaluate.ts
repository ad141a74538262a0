// What one operation makes of one entry: conditions, the new value, the new expiry. It sees nothing but
// the entry, the clock and the store's default TTL, and changes nothing.
import type { Condition, Increment, Operation, Ttl } from '../command.ts';
import type { StoredEntry } from '../keyspace/entry.ts';
import { timeMsMax } from '../keyspace/numbers.ts';
import { valueBytesMax } from '../limits.ts';
import type { ResultCode } from '../result.ts';
import { applyMergePatch } from './merge-patch.ts';

export interface Circumstances {
  readonly clockMs: number;
  /** 0: none. */
  readonly defaultTtlMs: number;
}

export type Evaluation =
  | { readonly kind: 'refused'; readonly code: ResultCode }
  /** Done, and nothing changes: a delete of what is absent. */
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'remove' }
  | {
      readonly kind: 'write';
      readonly value: Uint8Array;
      readonly contentType: string;
      readonly expiresAtMs: number;
      /** Increment: the new value. */
      readonly number: bigint;
    };

/** `live`: the entry, undefined where there is none or its time has passed. */
export function conditionHolds(condition: Condition, live: StoredEntry | undefined): boolean {
  switch (condition.kind) {
    case 'none':
      return true;
    case 'absent':
      return live === undefined;
    case 'exists':
      return live !== undefined;
    case 'revision':
      return live !== undefined && live.revision === condition.revision;
  }
}

export function evaluate(operation: Operation, live: StoredEntry | undefined, now: Circumstances): Evaluation {
  switch (operation.kind) {
    case 'put': {
      const { value, contentType } = operation;
      if (value.length > valueBytesMax) return { kind: 'refused', code: 'value_would_be_too_large' };
      const expiresAtMs = expiryOf(operation.ttl, live, now, false);
      return { kind: 'write', value, contentType, expiresAtMs, number: 0n };
    }
    case 'delete':
      return live === undefined ? { kind: 'unchanged' } : { kind: 'remove' };
    case 'increment':
      return increment(operation, live, now);
    case 'append':
      return rewrite(
        joined(live?.value, operation.value),
        live?.contentType ?? operation.contentType,
        operation.ttl,
        live,
        now,
      );
    case 'mergePatch': {
      const patched = applyMergePatch(live?.value, operation.value);
      if (patched.kind === 'not_json') return { kind: 'refused', code: 'not_json' };
      if (patched.kind === 'invalid_patch') return { kind: 'refused', code: 'invalid_json' };
      return rewrite(patched.value, live?.contentType ?? 'application/json', operation.ttl, live, now);
    }
    case 'touch': {
      if (live === undefined) return { kind: 'refused', code: 'not_found' };
      return rewrite(live.value, live.contentType, operation.ttl, live, now);
    }
  }
}

function expiryOf(ttl: Ttl, live: StoredEntry | undefined, now: Circumstances, keepByDefault: boolean): number {
  switch (ttl.kind) {
    case 'never':
      return 0;
    case 'after':
      return after(now, ttl.ms);
    case 'keep':
      if (live !== undefined) return live.expiresAtMs;
      break;
    case 'default':
      if (keepByDefault && live !== undefined) return live.expiresAtMs;
      break;
  }
  return now.defaultTtlMs === 0 ? 0 : after(now, now.defaultTtlMs);
}

/** Gateways bound a TTL to ttlMsMax; one that came past them must not wrap around in the index. */
function after({ clockMs }: Circumstances, ms: number): number {
  return Math.min(clockMs + ms, timeMsMax);
}

/* oxlint-disable-next-line max-params -- the five parts of an entry's new state */
function rewrite(
  value: Uint8Array,
  contentType: string,
  ttl: Ttl,
  live: StoredEntry | undefined,
  now: Circumstances,
): Evaluation {
  if (value.length > valueBytesMax) return { kind: 'refused', code: 'value_would_be_too_large' };
  return { kind: 'write', value, contentType, expiresAtMs: expiryOf(ttl, live, now, true), number: 0n };
}

function joined(before: Uint8Array | undefined, more: Uint8Array): Uint8Array {
  if (before === undefined) return more;
  const bytes = new Uint8Array(before.length + more.length);
  bytes.set(before);
  bytes.set(more, before.length);
  return bytes;
}

const INT64_MAX = 0x7fff_ffff_ffff_ffffn;
const INT64_MIN = -INT64_MAX - 1n;

/** A decimal integer of the signed 64-bit range, or undefined. */
export function parseInteger(value: Uint8Array): bigint | undefined {
  if (value.length === 0 || value.length > 20) return undefined;
  const text = String.fromCharCode(...value);
  if (!/^-?\d{1,19}$/.test(text)) return undefined;
  const number = BigInt(text);
  return number >= INT64_MIN && number <= INT64_MAX ? number : undefined;
}

function increment(operation: Increment, live: StoredEntry | undefined, now: Circumstances): Evaluation {
  const before = live === undefined ? 0n : parseInteger(live.value);
  if (before === undefined) return { kind: 'refused', code: 'not_a_number' };
  const number = before + operation.delta;
  const { min = INT64_MIN, max = INT64_MAX } = operation;
  if (number < min || number > max || number < INT64_MIN || number > INT64_MAX) {
    return { kind: 'refused', code: 'out_of_bounds' };
  }
  const text = number.toString();
  const value = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) value[i] = text.charCodeAt(i);
  const contentType = live?.contentType ?? 'application/json';
  return { kind: 'write', value, contentType, expiresAtMs: expiryOf(operation.ttl, live, now, true), number };
}
