// The receiver's side of one stream: items wait here, at most a window of them, and the node sends more as
// they are taken. What a break means is the stream's own affair: its course says whether it is asked
// for anew (client-watch.ts) or over (client-copy.ts).
import { StateStoreError } from '@statestore/core';
import { encodeCredit } from './codec/credit.ts';
import { decodeError } from './codec/error.ts';
import type { Exchange, ExchangeHost, ExchangeWire, TickerMs } from './exchange.ts';
import { frameKind } from './frame.ts';
import { PartJoiner } from './parts.ts';

export interface StreamCourse<Item> {
  readonly kind: number;
  readonly windowBytes: number;
  /** The node says something at least this often while items are waited for, or the stream is over; Infinity: it need not. */
  readonly silenceMs: number;
  /** How long it waits for a connection on which to be asked for, at first and anew. */
  readonly resumeTimeoutMs: number;
  /** The request message, as it is to be sent now. */
  request(): Uint8Array;
  decodeItem(bytes: Uint8Array): Item;
  /** An item arrived. */
  received(item: Item): void;
  /** The connection broke; `handedOver`: the node may have seen the request. Gives why it is over; undefined: ask anew. */
  broken(handedOver: boolean, reason: StateStoreError): StateStoreError | undefined;
  /** The node ended it with this. Gives why it is over; undefined: ask anew. */
  refused(error: StateStoreError): StateStoreError | undefined;
}

interface Waiting<Item> {
  readonly item: Item;
  readonly bytes: number;
  /** The attempt that brought it: credit goes to no other one. */
  readonly attempt: number;
}

export class ClientStream<Item> implements Exchange {
  readonly kind: number;
  readonly bulk = true;
  readonly #host: ExchangeHost;
  readonly #course: StreamCourse<Item>;
  readonly #parts = new PartJoiner();
  #items: Waiting<Item>[] = [];
  #attempt = 0;
  #takenBytes = 0;
  #inFlight: { readonly wire: ExchangeWire; readonly id: number } | undefined;
  #lostAt: TickerMs | undefined;
  /** When it last came on, here or there. */
  #movedAt: TickerMs;
  #over: { readonly error?: StateStoreError } | undefined;
  #wake: (() => void) | undefined;

  constructor(host: ExchangeHost, course: StreamCourse<Item>) {
    this.#host = host;
    this.#course = course;
    this.kind = course.kind;
    this.#movedAt = host.now;
  }

  get payload(): Uint8Array {
    return this.#course.request();
  }

  /** Items that wait here are a slow receiver's, not a silent node's. */
  get deadline(): TickerMs {
    return this.#items.length > 0 ? Infinity : this.#movedAt + this.#course.silenceMs;
  }

  /** The next item; undefined when the stream is over. Rejects with why it failed, after the last item. */
  async next(): Promise<Item | undefined> {
    while (this.#items.length === 0) {
      if (this.#over?.error !== undefined) throw this.#over.error;
      if (this.#over !== undefined) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const { item, bytes, attempt } = this.#items.shift()!;
    this.#movedAt = this.#host.now;
    if (attempt === this.#attempt) this.#credit(bytes);
    return item;
  }

  /** Ends the stream here and at the node; items that wait are dropped. Idempotent. */
  stop(): void {
    this.#items = [];
    this.#finish({});
    this.#host.withdraw(this);
    this.#cancel();
  }

  sent(wire: ExchangeWire, id: number): void {
    this.#inFlight = { wire, id };
    this.#attempt++;
    this.#takenBytes = 0;
    this.#movedAt = this.#host.now;
    this.#parts.clear();
  }

  receive(kind: number, payload: Uint8Array): boolean {
    this.#movedAt = this.#host.now;
    if (kind === frameKind.part && this.#parts.add(payload)) return false;
    if (kind === frameKind.item) {
      this.#item(this.#parts.join(payload));
      return false;
    }
    if (kind === frameKind.end) this.#finish({});
    else if (kind === frameKind.failure) this.#failed(decodeError(payload));
    else {
      this.#cancel();
      this.#finish({
        error: new StateStoreError('internal', `the node sent a stream a frame of kind ${kind}, or too many`),
      });
    }
    this.#inFlight = undefined;
    return true;
  }

  #item(message: Uint8Array): void {
    const item = this.#course.decodeItem(message);
    this.#course.received(item);
    this.#lostAt = undefined;
    this.#items.push({ item, bytes: message.length, attempt: this.#attempt });
    this.#wakeUp();
  }

  lost(handedOver: boolean, reason: StateStoreError): void {
    this.#inFlight = undefined;
    this.#askAnew(this.#course.broken(handedOver, reason), reason);
  }

  #failed(error: StateStoreError): void {
    this.#askAnew(this.#course.refused(error), error);
  }

  expired(_handedOver: boolean, reason: StateStoreError): void {
    this.#cancel();
    this.#finish({ error: reason });
  }

  /** Unless it is over: because of `final`, or of anything where this client sends nothing again. */
  #askAnew(final: StateStoreError | undefined, reason: StateStoreError): void {
    if (this.#over !== undefined) return;
    if (final !== undefined) return this.#finish({ error: final });
    if (!this.#host.resends) return this.#finish({ error: reason });
    this.#lostAt ??= this.#host.now;
    this.#host.resubmit(this, this.#lostAt + this.#course.resumeTimeoutMs);
  }

  /** The node need not send what nobody takes any more. */
  #cancel(): void {
    if (this.#inFlight === undefined) return;
    const { wire, id } = this.#inFlight;
    this.#inFlight = undefined;
    wire.forget(id);
    wire.frame(frameKind.cancel, id);
  }

  #credit(bytes: number): void {
    this.#takenBytes += bytes;
    if (this.#takenBytes < this.#course.windowBytes / 2 || this.#inFlight === undefined) return;
    this.#inFlight.wire.frame(frameKind.credit, this.#inFlight.id, encodeCredit(this.#takenBytes));
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
