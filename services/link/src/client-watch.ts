// The gateway's side of one watch: items wait here, at most a window of them, and the node sends more as
// they are taken. A broken connection is bridged: the watch begins anew after the last item. Only a watch
// "from now on" that has no item yet cannot, since what it missed cannot be known.
import { limits, StateStoreError } from '@statestore/core';
import { decodeError } from './codec/error.ts';
import { decodeWatchItem, encodeWatchCredit, encodeWatchRequest } from './codec/watch.ts';
import type { Exchange, ExchangeHost, ExchangeWire, TickerMs } from './exchange.ts';
import { frameKind } from './frame.ts';
import type { ChangeBatch, WatchOptions } from './node-service.ts';

interface Item {
  readonly batch: ChangeBatch;
  readonly bytes: number;
  /** The connection that brought it: credit goes to no other one. */
  readonly attempt: number;
}

export class ClientWatch implements Exchange {
  readonly kind = frameKind.watch;
  readonly bulk = true;
  readonly deadline: TickerMs = Infinity;
  readonly #host: ExchangeHost;
  readonly #partition: number;
  readonly #options: WatchOptions;
  readonly #resumeTimeoutMs: number;
  #from: bigint | undefined;
  #items: Item[] = [];
  #attempt = 0;
  #takenBytes = 0;
  #inFlight: { readonly wire: ExchangeWire; readonly id: number } | undefined;
  #lostAt: TickerMs | undefined;
  #over: { readonly error?: StateStoreError } | undefined;
  #wake: (() => void) | undefined;

  constructor(host: ExchangeHost, partition: number, options: WatchOptions, resumeTimeoutMs: number) {
    this.#host = host;
    this.#partition = partition;
    this.#options = options;
    this.#resumeTimeoutMs = resumeTimeoutMs;
    this.#from = options.from;
  }

  get payload(): Uint8Array {
    const { store, prefix } = this.#options;
    return encodeWatchRequest({
      partition: this.#partition,
      store,
      prefix,
      from: this.#from,
      windowBytes: limits.linkWatchWindowBytes,
    });
  }

  /** The next item; undefined when the watch is over. Rejects with why it failed, after the last item. */
  async next(): Promise<ChangeBatch | undefined> {
    while (this.#items.length === 0) {
      if (this.#over?.error !== undefined) throw this.#over.error;
      if (this.#over !== undefined) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const { batch, bytes, attempt } = this.#items.shift()!;
    if (attempt === this.#attempt) this.#credit(bytes);
    return batch;
  }

  /** Ends the watch here and at the node; items that wait are dropped. Idempotent. */
  stop(): void {
    this.#items = [];
    this.#finish({});
    this.#host.withdraw(this);
    if (this.#inFlight === undefined) return;
    const { wire, id } = this.#inFlight;
    this.#inFlight = undefined;
    wire.forget(id);
    wire.frame(frameKind.cancel, id);
  }

  sent(wire: ExchangeWire, id: number): void {
    this.#inFlight = { wire, id };
    this.#attempt++;
    this.#takenBytes = 0;
  }

  receive(kind: number, payload: Uint8Array): boolean {
    if (kind === frameKind.item) {
      const batch = decodeWatchItem(payload);
      this.#from = batch.position + 1n;
      this.#lostAt = undefined;
      this.#items.push({ batch, bytes: payload.length, attempt: this.#attempt });
      this.#wakeUp();
      return false;
    }
    this.#inFlight = undefined;
    if (kind === frameKind.end) this.#finish({});
    else if (kind === frameKind.failure) this.#failed(decodeError(payload));
    else this.#finish({ error: new StateStoreError('internal', `the node sent a watcher a frame of kind ${kind}`) });
    return true;
  }

  lost(handedOver: boolean, reason: StateStoreError): void {
    this.#inFlight = undefined;
    if (this.#over !== undefined) return;
    if (this.#from === undefined && handedOver) {
      return this.#finish({
        error: new StateStoreError('unavailable', `changes may have been missed: ${reason.message}`, { cause: reason }),
      });
    }
    if (!this.#host.resends) return this.#finish({ error: reason });
    this.#lostAt ??= this.#host.now;
    this.#host.resubmit(this, this.#lostAt + this.#resumeTimeoutMs);
  }

  expired(_handedOver: boolean, reason: StateStoreError): void {
    this.#inFlight = undefined;
    this.#finish({ error: reason });
  }

  /** What passes (a restart) is bridged as a broken connection is; what stays is told. */
  #failed(error: StateStoreError): void {
    const passes = error.code === 'shutting_down' || error.code === 'unavailable' || error.code === 'overloaded';
    if (passes && this.#from !== undefined) this.lost(true, error);
    else this.#finish({ error });
  }

  #credit(bytes: number): void {
    this.#takenBytes += bytes;
    if (this.#takenBytes < limits.linkWatchWindowBytes / 2 || this.#inFlight === undefined) return;
    this.#inFlight.wire.frame(frameKind.credit, this.#inFlight.id, encodeWatchCredit(this.#takenBytes));
    this.#takenBytes = 0;
  }

  #finish(over: { readonly error?: StateStoreError }): void {
    this.#over ??= over;
    this.#wakeUp();
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
