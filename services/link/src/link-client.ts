// A node as the gateway sees it: NodeService over a few TCP connections that are made anew for ever.
//
// What a caller is told when a connection breaks: reads, and writes with an exactly-once identity, are sent
// again until their deadline and then rejected; other writes are rejected with `outcome_unknown` where the
// node may have seen them; what was never sent is `unavailable`, and certainly changed nothing.
import { type BinaryString, type Command, limits, StateStoreError } from '@statestore/core';
import { Backoff } from './backoff.ts';
import { Call, type Repetition, repetitionOf } from './client-call.ts';
import { ClientConnection, type ClientConnectionOptions, connectionDefaults } from './client-connection.ts';
import { CheckpointCourse } from './client-checkpoint.ts';
import { CopyCourse } from './client-copy.ts';
import { ClientStream, type StreamCourse } from './client-stream.ts';
import { WatchCourse } from './client-watch.ts';
import type { CompactResponse } from './codec/store.ts';
import type { Exchange, ExchangeHost, TickerMs } from './exchange.ts';
import { type Method, methods, requestBytesMax } from './methods.ts';
import type {
  ChangeBatch,
  CheckpointItem,
  CheckpointOrder,
  Found,
  FoundMany,
  NodeService,
  NodeStatus,
  Proposed,
  ReadOptions,
  Scan,
  ScanPage,
  StatePart,
  StoreInfo,
  WatchOptions,
} from './node-service.ts';

export interface LinkClientOptions {
  readonly host: string;
  readonly port: number;
  /** Name and version, for messages to people. */
  readonly software?: string;
  /** The node's link token, where it asks for one. */
  readonly token?: string;
  readonly connections?: number;
  /** Deadlines, over all attempts. */
  readonly readTimeoutMs?: number;
  readonly proposeTimeoutMs?: number;
  readonly compactTimeoutMs?: number;
  /** How long a copy may bring nothing while it is waited for. */
  readonly copySilenceMs?: number;
  readonly connectTimeoutMs?: number;
  readonly heartbeatMs?: number;
  readonly silenceMs?: number;
  readonly inFlightMax?: number;
  readonly backoffMinMs?: number;
  readonly backoffMaxMs?: number;
  /**
   * False: what a broken connection leaves behind is rejected at once, for a caller that has another node to
   * ask. Default: reads and exactly-once writes are sent again, watches begun again.
   */
  readonly resends?: boolean;
  /** How long a request waits where there is no connection. Default: limits.linkConnectWaitMs. */
  readonly connectWaitMs?: number;
  /** Called when a connection opened, or one that was open ended. */
  readonly onConnections?: () => void;
}

export interface LinkClient extends NodeService {
  /** Connections over which requests can be sent now. */
  readonly openConnections: number;
  /** Requests and streams in flight or waiting for a connection. */
  readonly inFlight: number;
  /**
   * The longest that an open connection has brought nothing, ms; 0 where none is open. A node that lives
   * answers pings: it is silent for little more than heartbeatMs.
   */
  readonly silentMs: number;
  /** Rejects everything in flight, resolves when every connection is closed. Idempotent. */
  close(): Promise<void>;
}

/** Returns at once and connects in the background, for ever. */
export function connectLink(options: LinkClientOptions): LinkClient {
  return new TcpLinkClient(options);
}

class TcpLinkClient implements LinkClient, ExchangeHost {
  now: TickerMs = 0;
  readonly resends: boolean;
  readonly connectWaitMs: number;
  readonly #options: LinkClientOptions;
  readonly #connectionOptions: ClientConnectionOptions;
  readonly #readTimeoutMs: number;
  readonly #proposeTimeoutMs: number;
  readonly #connections: (ClientConnection | undefined)[];
  readonly #retries: (NodeJS.Timeout | undefined)[];
  readonly #waiting = new Map<Exchange, TickerMs>();
  readonly #ticker: NodeJS.Timeout;
  #down: StateStoreError;
  #closed: StateStoreError | undefined;
  #whenAllClosed: (() => void) | undefined;

  constructor(options: LinkClientOptions) {
    const { host, port } = options;
    this.#options = options;
    this.resends = options.resends ?? true;
    this.connectWaitMs = options.connectWaitMs ?? limits.linkConnectWaitMs;
    this.#connectionOptions = { ...connectionDefaults, ...options };
    this.#readTimeoutMs = options.readTimeoutMs ?? limits.linkReadTimeoutMs;
    this.#proposeTimeoutMs = options.proposeTimeoutMs ?? limits.proposeTimeoutMs;
    this.#down = new StateStoreError('unavailable', `node ${host}:${port}: not connected yet`, { retryAfterMs: 1000 });
    const count = options.connections ?? limits.linkConnections;
    this.#connections = Array.from({ length: count }, () => undefined);
    this.#retries = Array.from({ length: count }, () => undefined);
    const { backoffMinMs: minMs, backoffMaxMs: maxMs } = options;
    for (let slot = 0; slot < count; slot++) {
      this.#connect(
        slot,
        new Backoff({ ...(minMs === undefined ? {} : { minMs }), ...(maxMs === undefined ? {} : { maxMs }) }),
      );
    }
    this.#ticker = setInterval(() => this.#tick(), limits.linkTickMs);
    this.#ticker.unref();
  }

  get openConnections(): number {
    return this.#connections.filter((connection) => connection?.open === true).length;
  }

  get inFlight(): number {
    return this.#connections.reduce((sum, connection) => sum + (connection?.inFlight ?? 0), this.#waiting.size);
  }

  get silentMs(): number {
    let longest = 0;
    for (const connection of this.#connections) {
      if (connection?.open === true && connection.silentMs > longest) longest = connection.silentMs;
    }
    return longest;
  }

  propose(partition: number, command: Command, generation?: number): Promise<Proposed> {
    const request = { partition, command, generation };
    return this.#call(methods.propose, request, repetitionOf(command), this.#proposeTimeoutMs);
  }

  get(partition: number, store: string, key: BinaryString, options: ReadOptions): Promise<Found> {
    return this.#call(methods.get, { partition, store, key, options }, 'repeatable', this.#readTimeoutMs);
  }

  getMany(partition: number, store: string, keys: readonly BinaryString[], options: ReadOptions): Promise<FoundMany> {
    return this.#call(methods.getMany, { partition, store, keys, options }, 'repeatable', this.#readTimeoutMs);
  }

  scan(partition: number, scan: Scan, options: ReadOptions): Promise<ScanPage> {
    return this.#call(methods.scan, { partition, scan, options }, 'repeatable', this.#readTimeoutMs);
  }

  store(partition: number, store: string): Promise<StoreInfo | undefined> {
    return this.#call(methods.store, { partition, store }, 'repeatable', this.#readTimeoutMs);
  }

  stores(partition: number): Promise<readonly StoreInfo[]> {
    return this.#call(methods.stores, { partition }, 'repeatable', this.#readTimeoutMs);
  }

  sync(partition: number): Promise<void> {
    return this.#call(methods.sync, { partition }, 'repeatable', this.#readTimeoutMs);
  }

  compact(partition: number): Promise<CompactResponse> {
    return this.#call(
      methods.compact,
      { partition },
      'repeatable',
      this.#options.compactTimeoutMs ?? limits.linkCompactTimeoutMs,
    );
  }

  status(): Promise<NodeStatus> {
    return this.#call(methods.status, undefined, 'repeatable', this.#readTimeoutMs);
  }

  watch(partition: number, options: WatchOptions): AsyncIterable<ChangeBatch> {
    return this.#stream(new WatchCourse(partition, options, this.#readTimeoutMs), options.signal);
  }

  copyState(partition: number, { signal }: { readonly signal: AbortSignal }): AsyncIterable<StatePart> {
    const silenceMs = this.#options.copySilenceMs ?? limits.linkCopySilenceMs;
    return this.#stream(new CopyCourse(partition, silenceMs, this.connectWaitMs), signal);
  }

  writeCheckpoint(
    partition: number,
    { signal, ...order }: CheckpointOrder & { readonly signal: AbortSignal },
  ): AsyncIterable<CheckpointItem> {
    const silenceMs = this.#options.copySilenceMs ?? limits.linkCopySilenceMs;
    return this.#stream(new CheckpointCourse(partition, order, silenceMs, this.connectWaitMs), signal);
  }

  async *#stream<Item>(course: StreamCourse<Item>, signal: AbortSignal): AsyncGenerator<Item, void> {
    if (signal.aborted) return;
    const stream = new ClientStream(this, course);
    const stop = (): void => stream.stop();
    signal.addEventListener('abort', stop, { once: true });
    try {
      this.#submit(stream);
      for (;;) {
        const item = await stream.next();
        if (item === undefined) return;
        yield item;
      }
    } finally {
      signal.removeEventListener('abort', stop);
      stream.stop();
    }
  }

  #call<Request, Answer>(
    method: Method<Request, Answer>,
    request: Request,
    repetition: Repetition,
    timeoutMs: number,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const payload = method.encodeRequest(request);
      if (payload.length > requestBytesMax) {
        throw new StateStoreError(
          'body_too_large',
          `a request to a node has ${payload.length} bytes; it may have ${requestBytesMax}`,
        );
      }
      this.#submit(
        new Call(this, method as Method<never, Answer>, payload, { repetition, timeoutMs }, { resolve, reject }),
      );
    });
  }

  #submit(exchange: Exchange): void {
    if (this.#closed !== undefined) return exchange.expired(false, this.#closed);
    if (this.#send(exchange)) return;
    if (this.openConnections === 0)
      return this.resubmit(exchange, Math.min(exchange.deadline, this.now + this.connectWaitMs));
    exchange.expired(false, this.#overloaded());
  }

  /** Small requests prefer the first connection, large answers the last: neither waits for the other. */
  #send(exchange: Exchange): boolean {
    const last = this.#connections.length - 1;
    for (let i = 0; i <= last; i++) {
      if (this.#connections[exchange.bulk ? last - i : i]?.send(exchange) === true) return true;
    }
    return false;
  }

  #overloaded(): StateStoreError {
    const { host, port } = this.#options;
    return new StateStoreError('overloaded', `node ${host}:${port}: ${this.inFlight} requests are in flight`, {
      retryAfterMs: 100,
    });
  }

  resubmit(exchange: Exchange, until: TickerMs): void {
    if (this.#closed !== undefined) exchange.expired(false, this.#closed);
    else if (until <= this.now) exchange.expired(false, this.#down);
    else if (this.#waiting.size >= this.#connectionOptions.inFlightMax) exchange.expired(false, this.#overloaded());
    else this.#waiting.set(exchange, until);
  }

  withdraw(exchange: Exchange): void {
    this.#waiting.delete(exchange);
  }

  #tick(): void {
    this.now += limits.linkTickMs;
    for (const connection of this.#connections) connection?.tick(this.now, limits.linkTickMs);
    this.#sendWaiting();
    for (const [exchange, until] of this.#waiting) {
      if (until > this.now) continue;
      this.#waiting.delete(exchange);
      exchange.expired(false, this.#down);
    }
  }

  #sendWaiting(): void {
    for (const exchange of this.#waiting.keys()) {
      if (!this.#send(exchange)) return;
      this.#waiting.delete(exchange);
    }
  }

  #connect(slot: number, backoff: Backoff): void {
    this.#retries[slot] = undefined;
    let wasOpen = false;
    this.#connections[slot] = new ClientConnection(this.#connectionOptions, {
      opened: () => {
        wasOpen = true;
        backoff.reset();
        this.#sendWaiting();
        this.#options.onConnections?.();
      },
      closed: (reason) => {
        this.#connections[slot] = undefined;
        const retryAfterMs = backoff.next();
        this.#down = new StateStoreError(reason.code, reason.message, {
          ...(reason.hint === undefined ? {} : { hint: reason.hint }),
          retryAfterMs,
        });
        if (this.#closed === undefined)
          this.#retries[slot] = setTimeout(() => this.#connect(slot, backoff), retryAfterMs);
        else if (this.#connections.every((connection) => connection === undefined)) this.#whenAllClosed?.();
        if (wasOpen) this.#options.onConnections?.();
      },
    });
  }

  async close(): Promise<void> {
    if (this.#closed === undefined) {
      const { host, port } = this.#options;
      this.#closed = new StateStoreError('shutting_down', `the link to node ${host}:${port} was closed`);
      clearInterval(this.#ticker);
      for (const retry of this.#retries) clearTimeout(retry);
    }
    const waiting = [...this.#waiting.keys()];
    this.#waiting.clear();
    for (const exchange of waiting) exchange.expired(false, this.#closed);
    if (this.#connections.every((connection) => connection === undefined)) return;
    const closed = new Promise<void>((resolve) => {
      const before = this.#whenAllClosed;
      this.#whenAllClosed = () => {
        before?.();
        resolve();
      };
    });
    for (const connection of this.#connections) connection?.destroy(this.#closed);
    await closed;
  }
}
