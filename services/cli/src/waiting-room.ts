// Holds the port of a process that cannot serve yet: it says that it lives, and what it waits for. Whoever
// runs it must not take it for dead, nor send it work.
import { createServer } from 'node:http';
import type { StateStoreError } from '@statestore/core';
import { portTaken } from './listen.ts';

export interface WaitingRoom {
  /** Frees the port. Twice is once. */
  close(): Promise<void>;
}

/** Rejects with `unavailable` where the port cannot be had. */
export function openWaitingRoom(host: string, port: number, waitsFor: string): Promise<WaitingRoom> {
  const server = createServer((request, response) => {
    const alive = request.url === '/healthz';
    const body = alive
      ? { status: 'ok' }
      : { type: 'about:blank', status: 503, code: 'unavailable', title: 'Not available now', detail: waitsFor };
    response.writeHead(alive ? 200 : 503, {
      'content-type': alive ? 'application/json' : 'application/problem+json',
      connection: 'close',
      ...(alive ? {} : { 'retry-after': '1' }),
    });
    response.end(JSON.stringify(body));
    request.resume();
  });
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closed ??= new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
    return closed;
  };
  return new Promise((resolve, reject: (error: StateStoreError) => void) => {
    server.once('error', (error) => reject(portTaken(host, port, error)));
    server.listen(port, host, () => resolve({ close }));
  });
}
