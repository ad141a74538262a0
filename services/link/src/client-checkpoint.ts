// The course of a partition's part of a checkpoint: what breaks ends it. The node gives it up with the connection,
// and whoever conducts the checkpoint asks another replica.
import { limits, StateStoreError } from '@statestore/core';
import type { StreamCourse } from './client-stream.ts';
import type { CheckpointItem, CheckpointOrder } from './node-service.ts';
import { streams } from './streams.ts';

export class CheckpointCourse implements StreamCourse<CheckpointItem> {
  readonly kind = streams.writeCheckpoint.kind;
  readonly windowBytes = limits.linkCheckpointWindowBytes;
  readonly resumeTimeoutMs: number;
  readonly silenceMs: number;
  readonly #partition: number;
  readonly #order: CheckpointOrder;

  /* oxlint-disable-next-line max-params -- what is asked, and how long for */
  constructor(partition: number, order: CheckpointOrder, silenceMs: number, connectWaitMs: number) {
    this.#partition = partition;
    this.#order = order;
    this.resumeTimeoutMs = connectWaitMs;
    this.silenceMs = silenceMs;
  }

  request(): Uint8Array {
    const { windowBytes } = this;
    return streams.writeCheckpoint.encodeRequest({ ...this.#order, partition: this.#partition, windowBytes });
  }

  decodeItem(bytes: Uint8Array): CheckpointItem {
    return streams.writeCheckpoint.decodeItem(bytes);
  }

  received(): void {}

  /** What the node never saw has not begun. */
  broken(handedOver: boolean, reason: StateStoreError): StateStoreError | undefined {
    if (!handedOver) return undefined;
    const message = `the checkpoint of partition ${this.#partition} broke off: ${reason.message}`;
    return new StateStoreError('unavailable', message, { cause: reason, retryAfterMs: 1000 });
  }

  refused(error: StateStoreError): StateStoreError {
    return error;
  }
}
