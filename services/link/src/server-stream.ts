// The node's side of one stream. It takes the next item from the service only when the receiver has
// credit for it and the connection is not congested, so a slow receiver holds up nobody but itself.
import type { StateStoreError } from '@statestore/core';
import { frameKind } from './frame.ts';
import type { NodeService } from './node-service.ts';
import type { Outbox } from './outbox.ts';
import { sendInParts } from './parts.ts';
import type { StreamMethod, StreamRequest } from './streams.ts';

export class ServerStream {
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
  async run(method: StreamMethod<StreamRequest, unknown>, service: NodeService, request: StreamRequest): Promise<void> {
    const { signal } = this.#abort;
    for await (const item of method.run(service, request, signal)) {
      while (!signal.aborted && (this.#creditBytes <= 0 || this.#outbox.congested)) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      if (signal.aborted) break;
      const payload = method.encodeItem(item);
      this.#creditBytes -= payload.length;
      sendInParts(this.#outbox, frameKind.item, this.#id, payload);
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

  /** Ends the stream; `run` rejects with the reason, where there is one. */
  stop(reason?: StateStoreError): void {
    this.#abort.abort(reason ?? stopped);
    this.look();
  }
}

const stopped = Symbol('stopped');
