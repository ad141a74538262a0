// What the tests of the link's faults share: servers over services that a test makes up, clients, proxies,
// connections by hand. Whatever was opened is closed by `closeAll`.
import { connect, type Socket } from 'node:net';
import {
  type Command,
  commandResult,
  defaultTtl,
  noCondition,
  operationResult,
  StateStoreError,
} from '@statestore/core';
import {
  connectLink,
  type Entry,
  type Found,
  type LinkClient,
  type LinkClientOptions,
  type LinkServer,
  type LinkServerOptions,
  type NodeService,
  serveLink,
} from '@statestore/link';
import { FrameDecoder, frameHeaderBytes, frameKind, writeFrameHeader } from '../../services/link/src/frame.ts';
import { encodeHello, preamble } from '../../services/link/src/handshake.ts';
import { FaultyProxy, type FaultyProxyOptions } from './faulty-proxy.ts';

export const session = { consistency: 'session' } as const;
export const store = 'carts';

const closers: (() => Promise<unknown>)[] = [];

/** To be done after the test, the last one first. */
export function whenDone(close: () => Promise<unknown>): void {
  closers.push(close);
}

/** For `afterEach`. */
export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0).toReversed()) await close();
}

/** A service of which each test tells what it does. */
export function fake(methods: Partial<NodeService>): NodeService {
  return methods as NodeService;
}

export async function serve(service: NodeService, more: Partial<LinkServerOptions> = {}): Promise<LinkServer> {
  const server = await serveLink({ service, host: '127.0.0.1', port: 0, closeTimeoutMs: 1000, ...more });
  closers.push(() => server.close());
  return server;
}

export function client(port: number, more: Partial<LinkClientOptions> = {}): LinkClient {
  const link = connectLink({ host: '127.0.0.1', port, backoffMinMs: 5, backoffMaxMs: 20, ...more });
  closers.push(() => link.close());
  return link;
}

export async function proxy(options: FaultyProxyOptions): Promise<FaultyProxy> {
  const opened = await FaultyProxy.open(options);
  closers.push(() => opened.close());
  return opened;
}

export function putCommand(key: string, stamp?: Command['stamp']): Command {
  const operation = {
    kind: 'put',
    key,
    condition: noCondition,
    value: new Uint8Array(10),
    contentType: '',
    ttl: defaultTtl,
  } as const;
  const body = { kind: 'mutate', store, atomic: false, checks: [], operations: [operation] } as const;
  return stamp === undefined ? { body } : { stamp, body };
}

export function keyOf({ body }: Command): string {
  return body.kind === 'mutate' ? body.operations[0]!.key : '';
}

export function stamp(counter: number): NonNullable<Command['stamp']> {
  return { session: 's'.repeat(16), counter, firstUnanswered: 1, opens: counter === 1 };
}

export const position = 5n;
export const done = {
  ...commandResult('done', { operations: [operationResult('done', { revision: 7n })] }),
  position,
};
export const entryOf = (key: string): Entry => ({
  value: Uint8Array.from(Buffer.from(`value of ${key}`)),
  contentType: '',
  revision: 1n,
  expiresAtMs: 0,
});

export const foundOf = (key: string): Found => ({ entry: entryOf(key), position });

export async function outcome(promise: unknown): Promise<string> {
  try {
    await promise;
    return 'done';
  } catch (error) {
    if (error instanceof StateStoreError) return error.code;
    throw error;
  }
}

export const forever = (): Promise<never> => new Promise(() => {});

export function frame(kind: number, id: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(frameHeaderBytes + payload.length);
  writeFrameHeader(bytes, 0, kind, id, payload.length);
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

/** A connection by hand, past the handshake. */
export async function rawClient(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  closers.push(async () => void socket.destroy());
  socket.on('error', () => {});
  socket.write(Buffer.concat([preamble(), frame(frameKind.hello, 0, encodeHello({ software: 'test', token: '' }))]));
  await new Promise((resolve) => socket.once('data', resolve));
  return socket;
}

/** Waits for a frame of a kind. The handshake is over: only whole frames come. */
export function frames(socket: Socket): (kind: number) => Promise<{ kind: number; payload: Uint8Array }> {
  const decoder = new FrameDecoder();
  socket.on('data', (chunk: Buffer) => decoder.push(chunk));
  return async (kind) => {
    for (;;) {
      const next = decoder.next();
      if (next?.kind === kind) return next;
      if (next === undefined) await new Promise((resolve) => socket.once('data', resolve));
    }
  };
}
