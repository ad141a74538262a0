// The node's side of one watch. It takes the next changes from the service only when the watcher has
// credit for them and the connection is not congested, so a slow watcher holds up nobody but itself.
import type { StateStoreError } from '@statestore/core';
import type { WatchRequest } from './codec/watch.ts';
import { encodeWatchItem } from './codec/watch.ts';
import { frameKind } from './frame.ts';
import type { NodeService } from './node-service.ts';
import type { Outbox } from './outbox.ts';

export class ServerWatch {
  readonly #id: number;
  readonly #outbox: Outbox;
  readonly #abort = new AbortController();
  #creditBytes: number;
  #wake: (() => void) | undefined;

  constructor(id: number, outbox: Outbox, windowBytes: number) {
    this.#id = id;
    this.#outbox = outbox;
    this.#creditBytes = windowBytes;
  }

  /** Sends items until the service ends or `stop` is called. Rejects with what the service threw. */
  async run(service: NodeService, { partition, store, prefix, from }: WatchRequest): Promise<void> {
    const { signal } = this.#abort;
    const options = { store, prefix, signal, ...(from === undefined ? {} : { from }) };
    for await (const batch of service.watch(partition, options)) {
      while (!signal.aborted && (this.#creditBytes <= 0 || this.#outbox.congested)) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      if (signal.aborted) break;
      const payload = encodeWatchItem(batch);
      this.#creditBytes -= payload.length;
      this.#outbox.frame(frameKind.item, this.#id, payload);
    }
    const reason: unknown = signal.reason;
    if (signal.aborted && reason !== stopped) throw reason;
  }

  grant(bytes: number): void {
    this.#creditBytes += bytes;
    this.look();
  }

  /** The outbox may have room again. */
  look(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Ends the watch; `run` rejects with the reason, where there is one. */
  stop(reason?: StateStoreError): void {
    this.#abort.abort(reason ?? stopped);
    this.look();
  }
}

const stopped = Symbol('stopped');
