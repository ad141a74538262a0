// Serves a NodeService to gateways over TCP. What a connection does is in server-connection.ts; this
// file accepts, counts and closes them.
import { createServer, type Server, type Socket } from 'node:net';
import { limits, StateStoreError } from '@statestore/core';
import type { NodeService } from './node-service.ts';
import { ServerConnection } from './server-connection.ts';

export interface LinkServerOptions {
  readonly service: NodeService;
  readonly host: string;
  /** 0: any free one; LinkServer.port tells which. */
  readonly port: number;
  /** Name and version, for messages to people. */
  readonly software?: string;
  /** Shared secret that clients must know; empty: none. */
  readonly token?: string;
  /** Requests in flight on one connection. */
  readonly inFlightMax?: number;
  readonly silenceMs?: number;
  /** How long `close` waits for what is in flight. */
  readonly closeTimeoutMs?: number;
}

export interface LinkServer {
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  /** Requests and streams in flight on all connections. */
  readonly inFlight: number;
  /**
   * Takes no new connections and answers new requests `shutting_down`; resolves when what was in flight
   * is answered and every connection closed, at the latest after closeTimeoutMs. Idempotent. The
   * service stays open.
   */
  close(): Promise<void>;
}

const tickMs = 1000;

/** Rejects with `unavailable` where the port cannot be opened. */
export async function serveLink(options: LinkServerOptions): Promise<LinkServer> {
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 });
  await listen(server, options.host, options.port);
  return new TcpLinkServer(server, options);
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause: Error): void =>
      reject(new StateStoreError('unavailable', `cannot listen on ${host}:${port}: ${cause.message}`, { cause }));
    server.once('error', failed);
    server.listen(port, host, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

class TcpLinkServer implements LinkServer {
  readonly host: string;
  readonly port: number;
  readonly #server: Server;
  readonly #options: LinkServerOptions;
  readonly #connections = new Set<ServerConnection>();
  readonly #ticker: NodeJS.Timeout;
  #closed: Promise<void> | undefined;
  #whenEmpty: (() => void) | undefined;

  constructor(server: Server, options: LinkServerOptions) {
    this.#server = server;
    this.#options = options;
    this.host = options.host;
    const address = server.address();
    this.port = typeof address === 'object' && address !== null ? address.port : options.port;
    server.maxConnections = limits.linkServerConnectionsMax;
    server.on('connection', (socket) => this.#accept(socket));
    this.#ticker = setInterval(() => {
      for (const connection of this.#connections) connection.tick(tickMs);
    }, tickMs);
    this.#ticker.unref();
  }

  get connections(): number {
    return this.#connections.size;
  }

  get inFlight(): number {
    let sum = 0;
    for (const connection of this.#connections) sum += connection.inFlight;
    return sum;
  }

  #accept(socket: Socket): void {
    const {
      service,
      software = 'statestore',
      token = '',
      inFlightMax = limits.linkInFlightMax,
      silenceMs = limits.linkSilenceMs,
    } = this.#options;
    const connection = new ServerConnection(socket, { service, software, token, inFlightMax, silenceMs });
    this.#connections.add(connection);
    socket.once('close', () => {
      this.#connections.delete(connection);
      if (this.#connections.size === 0) this.#whenEmpty?.();
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const ended = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const empty =
      this.#connections.size === 0 ? undefined : new Promise<void>((resolve) => (this.#whenEmpty = resolve));
    for (const connection of this.#connections) connection.drain();
    const timeout = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, this.#options.closeTimeoutMs ?? limits.linkCloseTimeoutMs);
    await ended;
    await empty;
    clearTimeout(timeout);
    clearInterval(this.#ticker);
  }
}
