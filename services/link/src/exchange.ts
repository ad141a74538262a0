// A request as the client keeps it until it is settled, over however many connections that takes.
import type { StateStoreError } from '@statestore/core';

/** Time of the client's ticker, ms: it stands still while this process does, so that a stall of our own expires nothing. */
export type TickerMs = number;

export interface Exchange {
  readonly kind: number;
  readonly bulk: boolean;
  /** The request message. */
  readonly payload: Uint8Array;
  /** When to give up; Infinity: never. */
  readonly deadline: TickerMs;
  /** A frame that answers this. Returns whether the exchange left the connection. */
  receive(kind: number, payload: Uint8Array): boolean;
  /** It is in flight as `id`, and was not at `cancel`'s time. */
  sent(wire: ExchangeWire, id: number): void;
  /** The connection broke. `handedOver`: the node may have seen the request. */
  lost(handedOver: boolean, reason: StateStoreError): void;
  /** The deadline passed, or no connection came in time. */
  expired(handedOver: boolean, reason: StateStoreError): void;
}

/** What an exchange in flight may do with its connection. */
export interface ExchangeWire {
  frame(kind: number, id: number, payload?: Uint8Array): void;
  /** Gives the exchange up: what still comes for it is dropped. */
  forget(id: number): void;
}

/** What an exchange asks of the client. */
export interface ExchangeHost {
  readonly now: TickerMs;
  /** Whether what a broken connection leaves behind is sent again. */
  readonly resends: boolean;
  /** How long what was never sent waits for a connection. */
  readonly connectWaitMs: number;
  /** Sends it when there is a connection, or `expired` at `until`. */
  resubmit(exchange: Exchange, until: TickerMs): void;
  withdraw(exchange: Exchange): void;
}
