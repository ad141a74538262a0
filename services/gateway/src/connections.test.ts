// Slow clients, silent clients, many watchers, and the end: what a connection may cost, and how it closes.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { limits, StateStoreError } from '@statestore/core';
import { afterEach, describe, expect, test } from 'vitest';
import type { GatewayOptions } from './options.ts';
import { startGateway, type Started } from './testing/start.ts';

let it: Started;
const start = async (options: Partial<GatewayOptions> = {}) => (it = await startGateway(options));
afterEach(() => it.gateway.close());

async function open(text: string): Promise<Socket & { received: () => string }> {
  const socket = connect(it.port, '127.0.0.1');
  let received = '';
  socket.on('data', (part) => (received += part.toString()));
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(text);
  return Object.assign(socket, { received: () => received });
}

const ended = (socket: Socket) =>
  new Promise<void>((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
const put = (key: string, body = 'x') => fetch(`${it.baseUrl}/v1/stores/s/keys/${key}`, { method: 'PUT', body });
async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('slow senders', () => {
  const timeouts = { headersMs: 1500, requestMs: 2500, checkMs: 50 };

  test('of a head are answered 408 and cut, and others are served meanwhile', async () => {
    await start({ timeouts });
    const slow = await open('GET /v1 HTTP/1.1\r\nHost: x\r\nX-A: ');
    const drip = setInterval(() => slow.write('a'), 20);
    expect((await put('k')).status).toBe(201);
    await until(() => slow.received() !== '');
    clearInterval(drip);
    await ended(slow);
    expect(slow.received()).toContain('HTTP/1.1 408 ');
    expect(slow.received()).toContain('"code":"request_timeout"');
  });

  test('of a body are answered 408 and cut, and nothing is written', async () => {
    await start({ timeouts });
    const slow = await open('PUT /v1/stores/s/keys/k HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n');
    const drip = setInterval(() => slow.write('a'), 20);
    await until(() => slow.received() !== '');
    clearInterval(drip);
    await ended(slow);
    expect(slow.received()).toContain('HTTP/1.1 408 ');
    expect(it.node.proposed).toBe(0);
  });
});

describe('watchers', () => {
  const head = 'GET /v1/stores/s/watch HTTP/1.1\r\nHost: x\r\n\r\n';

  test('beyond the bound are told to come back', async () => {
    await start({ watchersMax: 2 });
    const two = [await open(head), await open(head)];
    await until(() => two.every((socket) => socket.received().includes('event: ready')));
    const third = await fetch(`${it.baseUrl}/v1/stores/s/watch`);
    expect([third.status, third.headers.get('retry-after')]).toEqual([429, '5']);
    two[0]!.destroy();
    for (;;) {
      const again = await fetch(`${it.baseUrl}/v1/stores/s/watch`);
      await again.body?.cancel();
      if (again.status === 200) break;
    }
    two[1]!.destroy();
  });

  test('get a comment and a newer cursor while nothing happens', async () => {
    await start({ timeouts: { heartbeatMs: 20 } });
    const socket = await open(head);
    await until(() => socket.received().includes(': still here\nid: '));
    socket.destroy();
  });

  test('that do not read are cut off with a bounded buffer', async () => {
    await start({ timeouts: { watcherStallMs: 100 } });
    const socket = await open('GET /v1/stores/s/watch?values=true HTTP/1.1\r\nHost: x\r\n\r\n');
    await until(() => socket.received().includes('event: ready'));
    socket.pause();
    for (let i = 0; i < 30; i++) await put(`k${i}`, 'x'.repeat(1024 * 1024));
    // Read on only after the server gave up: else a quick reader would catch up, rightly.
    const watchers = async (): Promise<string> => (await fetch(`${it.baseUrl}/metrics`)).text();
    await expect.poll(watchers, { timeout: 30_000 }).toMatch(/watchers\S* 0$/m);
    socket.resume();
    await ended(socket);
    expect(socket.received().length).toBeLessThan(25 * 1024 * 1024);
  });

  test('that go before their stream begins are forgotten, and hold up no end', async () => {
    await start();
    const first = await open(head);
    await until(() => first.received().includes('data: {}\n\n'));
    const id = /id: (\S+)/.exec(first.received())![1]!;
    first.destroy();
    for (let i = 0; i < 5; i++) {
      const socket = await open(`GET /v1/stores/s/watch?cursor=${id} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await new Promise((resolve) => setTimeout(resolve, i * 5));
      socket.destroy();
    }
    const metrics = async (): Promise<string> => (await fetch(`${it.baseUrl}/metrics`)).text();
    await expect.poll(metrics, { timeout: 10_000 }).toMatch(/watchers\S* 0$/m);
    const beganMs = performance.now();
    await it.gateway.close();
    expect(performance.now() - beganMs).toBeLessThan(limits.gatewayCloseTimeoutMs / 2);
  });

  test('whose changes are gone are told 410', async () => {
    await start();
    const socket = await open(head);
    await until(() => socket.received().includes('data: {}\n\n'));
    const id = /id: (\S+)/.exec(socket.received())![1]!;
    socket.destroy();
    it.node.changesFrom = 5n;
    const answer = await fetch(`${it.baseUrl}/v1/stores/s/watch?cursor=${id}`);
    expect([answer.status, await answer.json()]).toEqual([410, expect.objectContaining({ code: 'cursor_expired' })]);
  });
});

describe('close', () => {
  test('answers what is in flight, ends watches, and takes no more', async () => {
    await start();
    let release = (): void => {};
    const wait = new Promise<void>((resolve) => (release = resolve));
    it.node.fault = () => ({ wait });
    const watch = await open('GET /v1/stores/s/watch HTTP/1.1\r\nHost: x\r\n\r\n');
    await until(() => watch.received().includes('event: ready'));
    let asked = false;
    it.node.fault = () => {
      asked = true;
      return { wait };
    };
    const writing = put('k');
    await until(() => asked);
    const closing = it.gateway.close();
    await ended(watch);
    expect(watch.received()).not.toContain('event: error');
    expect(watch.received().endsWith('0\r\n\r\n')).toBe(true);
    await expect(fetch(`${it.baseUrl}/v1`)).rejects.toThrow('fetch failed');
    release();
    expect((await writing).status).toBe(201);
    await closing;
  });

  test('does not wait for ever', async () => {
    await start({ timeouts: { closeMs: 50 } });
    it.node.fault = () => ({ wait: new Promise<void>(() => {}) });
    const writing = put('k').then(
      () => 'answered',
      () => 'cut',
    );
    await until(() => it.gateway.app.server.listening);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await it.gateway.close();
    expect(await writing).toBe('cut');
  });
});

test('a handler that takes too long is an unknown outcome', async () => {
  await start({ timeouts: { handlerMs: 50 } });
  it.node.fault = () => ({ wait: new Promise<void>(() => {}) });
  const answer = await fetch(`${it.baseUrl}/v1/stores/s/keys/n/increment`, { method: 'POST' });
  expect([answer.status, await answer.json()]).toEqual([504, expect.objectContaining({ outcome: 'unknown' })]);
});

test('a listing that fails half-way does not look complete', async () => {
  await start();
  const operations = Array.from({ length: 1000 }, (_, i) => ({ op: 'put', key: `k${i}`, value: 'x'.repeat(1000) }));
  await fetch(`${it.baseUrl}/v1/stores/s/batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ operations }),
  });
  let scans = 0;
  const scan = it.node.scan.bind(it.node);
  it.node.scan = (partition, range, options) => {
    if (++scans > 4) throw new StateStoreError('unavailable', 'gone');
    return scan(partition, { ...range, limit: 100 }, options);
  };
  const answer = await fetch(`${it.baseUrl}/v1/stores/s/keys?values=true`, {
    headers: { accept: 'application/x-ndjson' },
  });
  expect(answer.status).toBe(200);
  await expect(answer.text()).rejects.toThrow('terminated');
});
