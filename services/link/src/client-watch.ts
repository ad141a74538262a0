// The course of a watch: a broken connection is bridged, the watch begins anew after the last item. Only a
// watch "from now on" that has no item yet cannot, since what it missed cannot be known.
import { limits, StateStoreError } from '@statestore/core';
import type { StreamCourse } from './client-stream.ts';
import type { ChangeBatch, WatchOptions } from './node-service.ts';
import { streams } from './streams.ts';

export class WatchCourse implements StreamCourse<ChangeBatch> {
  readonly kind = streams.watch.kind;
  readonly windowBytes = limits.linkWatchWindowBytes;
  /** Nothing may change for days. */
  readonly silenceMs = Infinity;
  readonly resumeTimeoutMs: number;
  readonly #partition: number;
  readonly #options: WatchOptions;
  #from: bigint | undefined;

  constructor(partition: number, options: WatchOptions, resumeTimeoutMs: number) {
    this.#partition = partition;
    this.#options = options;
    this.resumeTimeoutMs = resumeTimeoutMs;
    this.#from = options.from;
  }

  request(): Uint8Array {
    const { store, prefix, generation } = this.#options;
    const { windowBytes } = this;
    const partition = this.#partition;
    return streams.watch.encodeRequest({ partition, store, prefix, from: this.#from, generation, windowBytes });
  }

  decodeItem(bytes: Uint8Array): ChangeBatch {
    return streams.watch.decodeItem(bytes);
  }

  received({ position }: ChangeBatch): void {
    this.#from = position + 1n;
  }

  broken(handedOver: boolean, reason: StateStoreError): StateStoreError | undefined {
    if (this.#from !== undefined || !handedOver) return undefined;
    return new StateStoreError('unavailable', `changes may have been missed: ${reason.message}`, { cause: reason });
  }

  /** What passes (a restart) is bridged as a broken connection is; what stays is told. */
  refused(error: StateStoreError): StateStoreError | undefined {
    const passes = error.code === 'shutting_down' || error.code === 'unavailable' || error.code === 'overloaded';
    return passes && this.#from !== undefined ? undefined : error;
  }
}
