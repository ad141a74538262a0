// Cursors of listings and watches: opaque to clients, and signed, so that one that was made up, altered,
// or taken from another listing is refused instead of answering something else.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { StateStoreError } from '@statestore/core';

const macBytes = 16;
const pattern = /^[A-Za-z0-9_-]+$/;

export class CursorSigner {
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    if (key.length < 16) {
      throw new StateStoreError('invalid_settings', `the cursor key has ${key.length} bytes; it has 16 or more`);
    }
    this.#key = key;
  }

  /** `scope` names the listing: everything that must be the same when the cursor comes back. */
  sign(scope: readonly string[], content: Uint8Array): string {
    return Buffer.concat([this.#mac(scope, content), content]).toString('base64url');
  }

  /** The content. Throws `invalid_cursor`. */
  open(scope: readonly string[], cursor: string): Buffer {
    const bytes = pattern.test(cursor) ? Buffer.from(cursor, 'base64url') : Buffer.alloc(0);
    if (bytes.length < macBytes || bytes.toString('base64url') !== cursor) {
      throw new StateStoreError('invalid_cursor', 'the cursor is not one that this service gave');
    }
    const content = bytes.subarray(macBytes);
    if (!timingSafeEqual(bytes.subarray(0, macBytes), this.#mac(scope, content))) {
      throw new StateStoreError('invalid_cursor', 'the cursor was altered, or belongs to another request', {
        hint: 'Send a cursor back with the same store and parameters as the request that gave it.',
      });
    }
    return content;
  }

  #mac(scope: readonly string[], content: Uint8Array): Buffer {
    const hmac = createHmac('sha256', this.#key);
    for (const part of scope) hmac.update(`${Buffer.byteLength(part)}:`).update(part);
    return hmac.update('|').update(content).digest().subarray(0, macBytes);
  }
}
