// What the machinery around a node asks over HTTP: is it alive, can it serve, how is it doing.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { limits, StateStoreError } from '@statestore/core';
import type { Registry } from 'prom-client';

export interface MetricsServerOptions {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  readonly registry: Registry;
  /** Undefined: it is ready; else why it is not. */
  readonly notReady: () => string | undefined;
}

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Rejects with `invalid_settings` where it cannot listen. */
export async function openMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const { host, port } = options;
  const server = createServer((request, response) => void answer(options, request, response));
  server.headersTimeout = limits.metricsTimeoutMs;
  server.requestTimeout = limits.metricsTimeoutMs;
  server.maxConnections = limits.metricsConnectionsMax;
  await listen(server, host, port);
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      const message = `the metrics of the node cannot be served on ${host}:${port}: ${cause.message}`;
      reject(new StateStoreError('invalid_settings', message, { cause }));
    });
    server.listen(port, host, resolve);
  });
}

/** Never rejects. */
async function answer(
  { registry, notReady }: MetricsServerOptions,
  { method, url }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const send = (status: number, body: string, contentType = 'text/plain; charset=utf-8'): void => {
    response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
    response.end(method === 'HEAD' ? undefined : body);
  };
  if (method !== 'GET' && method !== 'HEAD') return send(405, 'GET or HEAD\n');
  switch (url?.split('?', 1)[0]) {
    case '/healthz':
      return send(200, 'ok\n');
    case '/readyz': {
      const why = notReady();
      return why === undefined ? send(200, 'ready\n') : send(503, `${why}\n`);
    }
    case '/metrics':
      try {
        return send(200, await registry.metrics(), registry.contentType);
      } catch (error) {
        return send(500, `the metrics cannot be collected: ${String(error)}\n`);
      }
    default:
      return send(404, 'there are /metrics, /healthz and /readyz\n');
  }
}
