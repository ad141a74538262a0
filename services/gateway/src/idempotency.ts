// A client's Idempotency-Key as the partition remembers it: a hash of where it holds, and a hash of the
// request, so that the key used again for another request is refused instead of answered wrongly.
import { fingerprint, StateStoreError, type Idempotency } from '@statestore/core';
import type { IncomingHttpHeaders } from 'node:http';

const valid = /^[\x21-\x7e]{1,255}$/;

/** Throws `invalid_parameter` where the header is not 1 to 255 visible ASCII characters. */
export function idempotencyKey(headers: IncomingHttpHeaders): string | undefined {
  const key = headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && valid.test(key)) return key;
  throw new StateStoreError('invalid_parameter', 'Idempotency-Key is not 1 to 255 visible ASCII characters', {
    extra: { parameter: 'Idempotency-Key' },
  });
}

/**
 * `scope`: what the key is unique in (kind of request, store, key). `request`: everything else that makes
 * the request what it is. A scope lies in one partition, which is why a key cannot be part of the latter.
 */
export function idempotencyOf(key: string, scope: readonly string[], ...request: (string | Uint8Array)[]): Idempotency {
  const id = Buffer.from([...scope, key].join('\0'), 'utf8');
  // Each part behind its length, so that no two requests give the same bytes.
  const parts = request.flatMap((part) => {
    const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
    return [Buffer.from(`${bytes.length}:`), bytes];
  });
  return { id: fingerprint(id), fingerprint: fingerprint(Buffer.concat(parts)) };
}
