// One connection to a node: handshake, ids, heartbeat, deadlines. It lives once: when it breaks, everything
// in flight is told so (Exchange.lost), and link-client.ts makes another.
import { connect, type Socket } from 'node:net';
import { limits, StateStoreError } from '@statestore/core';
import { decodeError } from './codec/error.ts';
import type { Exchange, ExchangeWire, TickerMs } from './exchange.ts';
import { type Frame, FrameDecoder, frameKind } from './frame.ts';
import { encodeHello, preamble, preambleBytes, preambleProblem } from './handshake.ts';
import { Outbox } from './outbox.ts';
import { PendingTable } from './pending-table.ts';

export interface ClientConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly software: string;
  readonly token: string;
  readonly connectTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly silenceMs: number;
  readonly inFlightMax: number;
}

export interface ClientConnectionEvents {
  /** The node said hello: requests may be sent. */
  opened(): void;
  /** For ever; `reason` says why. Called before the exchanges in flight are told. */
  closed(reason: StateStoreError): void;
}

type Phase = 'preamble' | 'hello' | 'open' | 'draining' | 'closed';

interface InFlight {
  readonly exchange: Exchange;
  /** Number of its frame in the outbox. */
  readonly frame: number;
}

export class ClientConnection implements ExchangeWire {
  readonly #options: ClientConnectionOptions;
  readonly #events: ClientConnectionEvents;
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #outbox: Outbox;
  readonly #pending: PendingTable<InFlight>;
  #phase: Phase = 'preamble';
  #reason: StateStoreError | undefined;
  #silentMs = 0;
  #pingedMs = 0;

  constructor(options: ClientConnectionOptions, events: ClientConnectionEvents) {
    this.#options = options;
    this.#events = events;
    this.#pending = new PendingTable(options.inFlightMax);
    const { host, port } = options;
    this.#socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 });
    this.#outbox = new Outbox(this.#socket, () => {});
    this.#outbox.raw(preamble());
    this.#outbox.frame(frameKind.hello, 0, encodeHello({ software: options.software, token: options.token }));
    this.#socket.on('data', (chunk: Buffer) => this.#received(chunk));
    this.#socket.on('error', (cause) => this.destroy(this.#unavailable(cause.message, cause)));
    this.#socket.on('close', () => this.#closed());
  }

  get open(): boolean {
    return this.#phase === 'open';
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  /** Since the last byte came, ms of the ticker. */
  get silentMs(): number {
    return this.#silentMs;
  }

  /** Sends a request; false where it cannot, and nothing has happened. */
  send(exchange: Exchange): boolean {
    if (this.#phase !== 'open') return false;
    const id = this.#pending.add({ exchange, frame: this.#outbox.frames + 1 });
    if (id === undefined) return false;
    exchange.sent(this, id);
    this.#outbox.frame(exchange.kind, id, exchange.payload);
    return true;
  }

  frame(kind: number, id: number, payload?: Uint8Array): void {
    if (this.#phase === 'open' || this.#phase === 'draining') this.#outbox.frame(kind, id, payload);
  }

  forget(id: number): void {
    this.#pending.delete(id);
    this.#endIfDrained();
  }

  /** Once per tick: looks for requests whose time is over, and for a peer that is dead. */
  tick(now: TickerMs, elapsedMs: number): void {
    for (const [id, { exchange, frame }] of this.#pending.entries()) {
      if (exchange.deadline > now) continue;
      this.#pending.delete(id);
      exchange.expired(frame <= this.#outbox.framesHandedOver, this.#unavailable('no answer came in time'));
    }
    this.#endIfDrained();
    this.#silentMs += elapsedMs;
    const connecting = this.#phase === 'preamble' || this.#phase === 'hello';
    const patienceMs = connecting ? this.#options.connectTimeoutMs : this.#options.silenceMs;
    if (this.#silentMs > patienceMs) this.destroy(this.#unavailable(`it was silent for ${patienceMs} ms`));
    else if (!connecting && this.#silentMs - this.#pingedMs >= this.#options.heartbeatMs) {
      this.#pingedMs = this.#silentMs;
      this.#outbox.frame(frameKind.ping, 0);
    }
  }

  destroy(reason: StateStoreError): void {
    this.#reason ??= reason;
    this.#socket.destroy();
  }

  #unavailable(what: string, cause?: unknown, hint?: string): StateStoreError {
    const { host, port } = this.#options;
    return new StateStoreError('unavailable', `node ${host}:${port}: ${what}`, {
      cause,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  #closed(): void {
    this.#phase = 'closed';
    const reason = this.#reason ?? this.#unavailable('the connection was closed');
    this.#events.closed(reason);
    for (const [id, { exchange, frame }] of this.#pending.entries()) {
      this.#pending.delete(id);
      exchange.lost(frame <= this.#outbox.framesHandedOver, reason);
    }
  }

  #received(chunk: Buffer): void {
    this.#silentMs = 0;
    this.#pingedMs = 0;
    this.#decoder.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    try {
      if (this.#phase === 'preamble' && !this.#greeted()) return;
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next()) this.#handle(frame);
    } catch (error) {
      this.destroy(
        error instanceof StateStoreError
          ? this.#unavailable(error.message, error, error.hint)
          : this.#unavailable('it sent what cannot be read', error),
      );
    }
    this.#endIfDrained();
  }

  #greeted(): boolean {
    const received = this.#decoder.take(preambleBytes);
    if (received === undefined) return false;
    const problem = preambleProblem(received);
    if (problem !== undefined) throw problem;
    this.#phase = 'hello';
    return true;
  }

  #handle({ kind, id, payload }: Frame): void {
    const inFlight = this.#pending.get(id);
    if (kind >= frameKind.answer) {
      // None: it was given up, or the watch was cancelled.
      if (inFlight !== undefined && inFlight.exchange.receive(kind, payload)) this.#pending.delete(id);
    } else if (kind === frameKind.refused) {
      const { message, hint } = decodeError(payload);
      this.destroy(this.#unavailable(`it refused the connection: ${message}`, undefined, hint));
    } else if (kind === frameKind.goodbye) {
      if (this.#phase === 'open') this.#phase = 'draining';
    } else if (kind === frameKind.hello && this.#phase === 'hello') {
      this.#phase = 'open';
      this.#events.opened();
    }
  }

  /** After a goodbye it is the client that closes, when it has all its answers: so none is lost. */
  #endIfDrained(): void {
    if (this.#phase === 'draining' && this.#pending.size === 0) this.#outbox.end();
  }
}

/** The defaults of limits.ts. */
export const connectionDefaults = {
  software: 'statestore',
  token: '',
  connectTimeoutMs: limits.linkConnectTimeoutMs,
  heartbeatMs: limits.linkHeartbeatMs,
  silenceMs: limits.linkSilenceMs,
  inFlightMax: limits.linkInFlightMax,
} as const;
