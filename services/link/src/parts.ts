// Messages that are too large for one frame: all but their last frame are of kind `part`.
import { limits, StateStoreError } from '@statestore/core';
import { frameKind } from './frame.ts';
import type { Outbox } from './outbox.ts';

/** Sends a message; its last frame is of this kind. Throws `body_too_large` where it passes the bound. */
export function sendInParts(outbox: Outbox, kind: number, id: number, payload: Uint8Array): void {
  if (payload.length > limits.linkAnswerBytesMax) {
    const message = `a message has ${payload.length} bytes; it may have ${limits.linkAnswerBytesMax}`;
    throw new StateStoreError('body_too_large', message);
  }
  let at = 0;
  for (; payload.length - at > limits.linkPartBytes; at += limits.linkPartBytes) {
    outbox.frame(frameKind.part, id, payload.subarray(at, at + limits.linkPartBytes));
  }
  outbox.frame(kind, id, at === 0 ? payload : payload.subarray(at));
}

/** Puts together again what was sent so. */
export class PartJoiner {
  #parts: Uint8Array[] = [];

  /** Whether it may go on: false where the message passes the bound. */
  add(part: Uint8Array): boolean {
    this.#parts.push(part);
    return this.#parts.length * limits.linkPartBytes <= limits.linkAnswerBytesMax;
  }

  /** The message that ends with this. */
  join(last: Uint8Array): Uint8Array {
    if (this.#parts.length === 0) return last;
    const parts = [...this.#parts, last];
    this.#parts = [];
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  /** What came so far belongs to a message that will not be ended. */
  clear(): void {
    this.#parts = [];
  }
}
