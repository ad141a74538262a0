// The connection to NATS that a process shares among all it does there. It waits for the first server and
// reconnects for ever, since logs, topology and registry all mend themselves once it is back; a server
// that is frozen is left within two seconds. What was asked while it was away is its asker's matter.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { NatsConnectionImpl } from '@nats-io/nats-core/internal';
import type { NatsConnection, NodeConnectionOptions, TlsOptions } from '@nats-io/transport-node';
import { connect, credsAuthenticator } from '@nats-io/transport-node';
import { limits, StateStoreError } from '@statestore/core';

export type { Msg, MsgHdrs, NatsConnection } from '@nats-io/transport-node';
export { createInbox } from '@nats-io/transport-node';

export type NatsStatus =
  | { readonly kind: 'connected'; readonly server: string }
  | { readonly kind: 'disconnected'; readonly server: string }
  /** No server could be reached; tried again. Only before the first connection. */
  | { readonly kind: 'waiting'; readonly cause: unknown }
  /** The server complained: of permissions, for example. */
  | { readonly kind: 'error'; readonly cause: unknown };

/** How one proves who one is; what is not given is not used. Files are read anew for each connection. */
export interface NatsCredentials {
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  /** Path of a .creds file. */
  readonly credsFile?: string;
  readonly tls?: TlsOptions;
}

export interface NatsConnectOptions extends NatsCredentials {
  /**
   * `nats://host:port` of each server, at least one. Only these are used, and not what servers say of
   * their cluster: those addresses need not be reachable from here, and go stale when pods move.
   */
  readonly servers: readonly string[];
  /** Shown in the server's monitoring. */
  readonly name: string;
  readonly onStatus?: (status: NatsStatus) => void;
  /** How long to wait for the first connection. Default: for ever. */
  readonly waitMs?: number;
  /** Gives up waiting for the first connection. */
  readonly signal?: AbortSignal;
}

/** Rejects with `invalid_settings` at once, with `unavailable` after `waitMs` or when `signal` says so. */
export async function connectNats(options: NatsConnectOptions): Promise<NatsConnection> {
  const { onStatus, waitMs = Infinity, signal } = options;
  for (const server of requireServers(options.servers)) requireUrl(server);
  const backoff = new Backoff();
  const settings = settingsOf(options, backoff);
  const deadlineMs = performance.now() + waitMs;
  for (;;) {
    let cause: unknown;
    try {
      const connection = await connect(settings);
      if (signal?.aborted !== true) return watched(connection, backoff, onStatus);
      await connection.close();
    } catch (error) {
      cause = error;
    }
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0 || signal?.aborted === true) {
      throw new StateStoreError('unavailable', `no nats-server of ${options.servers.join(', ')} could be reached`, {
        retryAfterMs: limits.natsReconnectMsMax,
        cause,
      });
    }
    onStatus?.({ kind: 'waiting', cause });
    await pause(Math.min(backoff.nextMs(), leftMs), signal);
  }
}

async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch {
    // Its caller looks at the signal itself.
  }
}

function requireServers(servers: readonly string[]): readonly string[] {
  if (servers.length > 0) return servers;
  throw new StateStoreError('invalid_settings', 'there is no NATS server; there must be one at least');
}

function requireUrl(server: string): void {
  if (URL.canParse(`http://${server.replace(/^\w+:\/\//, '')}`)) return;
  throw new StateStoreError(
    'invalid_settings',
    `a NATS server is ${JSON.stringify(server)}; it may be nats://host:port`,
  );
}

function settingsOf(options: NatsConnectOptions, backoff: Backoff): NodeConnectionOptions {
  const { servers, name, user, pass, token, credsFile, tls } = options;
  return {
    servers: [...servers],
    name,
    timeout: limits.natsDialTimeoutMs,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => backoff.nextMs(),
    // Credentials that are being replaced are refused for a while.
    ignoreAuthErrorAbort: true,
    ignoreClusterUpdates: true,
    pingInterval: limits.natsPingMs,
    maxPingOut: 2,
    noAsyncTraces: true,
    ...(user === undefined ? {} : { user }),
    ...(pass === undefined ? {} : { pass }),
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined ? {} : { tls }),
    ...(credsFile === undefined
      ? {}
      : { authenticator: (nonce?: string) => credsAuthenticator(readFileSync(credsFile))(nonce) }),
  };
}

/** Between two attempts at the same server: doubling, less up to half at random, so that clients come one by one. */
class Backoff {
  #ms: number = limits.natsReconnectMsMin;

  nextMs(): number {
    const ms = this.#ms;
    this.#ms = Math.min(ms * 2, limits.natsReconnectMsMax);
    return ms * (1 - Math.random() / 2);
  }

  reset(): void {
    this.#ms = limits.natsReconnectMsMin;
  }
}

interface Watch {
  connected: boolean;
  readonly listeners: Set<() => void>;
}

const watches = new WeakMap<NatsConnection, Watch>();

function watched(
  connection: NatsConnection,
  backoff: Backoff,
  onStatus?: (status: NatsStatus) => void,
): NatsConnection {
  const watch: Watch = { connected: true, listeners: new Set() };
  watches.set(connection, watch);
  backoff.reset();
  onStatus?.({ kind: 'connected', server: connection.getServer() });
  void follow(connection, watch, backoff, onStatus);
  return connection;
}

/* oxlint-disable-next-line max-params -- what it follows, and for whom */
async function follow(
  connection: NatsConnection,
  watch: Watch,
  backoff: Backoff,
  onStatus?: (status: NatsStatus) => void,
): Promise<void> {
  for await (const status of connection.status()) {
    switch (status.type) {
      case 'staleConnection':
        dropSocket(connection);
        break;
      case 'disconnect':
        watch.connected = false;
        onStatus?.({ kind: 'disconnected', server: status.server });
        break;
      case 'reconnect':
        watch.connected = true;
        backoff.reset();
        onStatus?.({ kind: 'connected', server: status.server });
        break;
      case 'error':
        onStatus?.({ kind: 'error', cause: status.error });
        continue;
      case 'close':
        watch.connected = false;
        break;
      default:
        continue;
    }
    for (const listener of watch.listeners) listener();
  }
}

/**
 * nats.js would first wait until what was written before has left the process, which for a frozen server
 * with full buffers is never.
 */
function dropSocket(connection: NatsConnection): void {
  if (connection instanceof NatsConnectionImpl) {
    void connection.protocol.transport.close(new Error('the nats-server did not answer pings'));
  }
}

/** Whether something that is published now is likely to leave the process. */
export function isConnected(connection: NatsConnection): boolean {
  return watches.get(connection)?.connected ?? !connection.isClosed();
}

/**
 * Calls back when the connection was lost, came back or was closed: `isConnected` says which. Returns how
 * to end that. Only for connections of `connectNats`.
 */
export function onConnectionChange(connection: NatsConnection, listener: () => void): () => void {
  const watch = watches.get(connection);
  if (watch === undefined) throw new TypeError('the connection was not made by connectNats');
  watch.listeners.add(listener);
  return () => watch.listeners.delete(listener);
}
