// The course of a copied state: what breaks ends it. The snapshot that it came from is gone with the
// connection, and parts of two snapshots are no state; so whoever wants it begins anew.
import { limits, StateStoreError } from '@statestore/core';
import type { StreamCourse } from './client-stream.ts';
import type { StatePart } from './node-service.ts';
import { streams } from './streams.ts';

export class CopyCourse implements StreamCourse<StatePart> {
  readonly kind = streams.copyState.kind;
  readonly windowBytes = limits.linkCopyWindowBytes;
  readonly resumeTimeoutMs: number;
  readonly silenceMs: number;
  readonly #partition: number;

  constructor(partition: number, silenceMs: number, connectWaitMs: number) {
    this.#partition = partition;
    this.resumeTimeoutMs = connectWaitMs;
    this.silenceMs = silenceMs;
  }

  request(): Uint8Array {
    return streams.copyState.encodeRequest({ partition: this.#partition, windowBytes: this.windowBytes });
  }

  decodeItem(bytes: Uint8Array): StatePart {
    return streams.copyState.decodeItem(bytes);
  }

  received(): void {}

  /** What the node never saw has not begun. */
  broken(handedOver: boolean, reason: StateStoreError): StateStoreError | undefined {
    if (!handedOver) return undefined;
    const message = `the copy of partition ${this.#partition} broke off: ${reason.message}`;
    return new StateStoreError('unavailable', message, { cause: reason, retryAfterMs: 1000 });
  }

  refused(error: StateStoreError): StateStoreError {
    return error;
  }
}
