// The bound on what a gateway works on: who is refused, that a refusal has changed nothing, and that every
// request gives its place back, however it ends.
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { startGateway, type Started } from './testing/start.ts';

let it: Started;
afterEach(() => it.gateway.close());

const url = (key: string): string => `${it.baseUrl}/v1/stores/s/keys/${key}`;
async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${it.baseUrl}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
}
const inFlight = () => metric('state_requests_in_flight');

describe('requests', () => {
  test('past the bound are told to come back, before anything is done; probes are answered', async () => {
    it = await startGateway({ inFlight: { requests: 3, bytes: 1000 } });
    const { promise, resolve: open } = Promise.withResolvers<void>();
    it.node.readGate = promise;
    const reads = [1, 2, 3].map((i) => fetch(url(`k${i}`)));
    await expect.poll(inFlight).toBe(3);
    const refused = await fetch(url('k'), { method: 'PUT', body: 'x' });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
    expect(await refused.json()).toMatchObject({ code: 'too_many_requests', retryable: true });
    expect((await fetch(`${it.baseUrl}/v1/stores/s/keys`)).status).toBe(429);
    expect([(await fetch(`${it.baseUrl}/healthz`)).status, (await fetch(`${it.baseUrl}/readyz`)).status]).toEqual([
      200, 200,
    ]);
    open();
    expect((await Promise.all(reads)).map(({ status }) => status)).toEqual([404, 404, 404]);
    expect((await fetch(url('k'), { method: 'PUT', body: 'x' })).status).toBe(201);
    expect([it.node.proposed, await inFlight(), await metric('state_requests_refused_total')]).toEqual([1, 0, 2]);
  });

  test('give their place back whether they succeed, fail or are cut off', async () => {
    it = await startGateway({ inFlight: { requests: 5, bytes: 10_000 } });
    const put = { method: 'PUT', body: 'x' };
    for (let i = 0; i < 20; i++) {
      expect((await fetch(url('k'), { method: 'PUT', body: 'x' })).status).toBeLessThan(202);
      expect((await fetch(url('none'))).status).toBe(404);
      expect((await fetch(url('k'), { ...put, headers: { 'if-none-match': '*' } })).status).toBe(412);
      expect((await fetch(`${it.baseUrl}/v1/stores/s/keys?limit=x`)).status).toBe(400);
    }
    it.node.readGate = new Promise(() => {});
    for (let i = 0; i < 5; i++) {
      const gone = new AbortController();
      const read = fetch(url('k'), { signal: gone.signal }).catch(() => undefined);
      await expect.poll(inFlight).toBe(1);
      gone.abort();
      await read;
      await expect.poll(inFlight).toBe(0);
    }
    expect(await metric('state_request_bytes_in_flight')).toBe(0);
  });

  test('that stream for ever are counted apart', async () => {
    it = await startGateway({ inFlight: { requests: 1, bytes: 1000 } });
    const watch = await fetch(`${it.baseUrl}/v1/stores/s/watch`);
    expect([watch.status, await inFlight()]).toEqual([200, 0]);
    expect((await fetch(url('k'), { method: 'PUT', body: 'x' })).status).toBe(201);
    await watch.body?.cancel();
  });
});

describe('bytes of bodies', () => {
  const send = (head: string): ReturnType<typeof connect> => {
    const socket = connect(it.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`PUT /v1/stores/s/keys/slow HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`);
    return socket;
  };

  test('are counted as they are announced, and one request is always taken', async () => {
    it = await startGateway({ inFlight: { requests: 100, bytes: 1000 } });
    const large = await fetch(url('large'), { method: 'PUT', body: 'x'.repeat(5000) });
    expect(large.status).toBe(201);
    const slow = send('Content-Length: 900');
    await expect.poll(() => metric('state_request_bytes_in_flight')).toBe(900);
    expect((await fetch(url('k'), { method: 'PUT', body: 'x'.repeat(101) })).status).toBe(429);
    expect((await fetch(url('k'), { method: 'PUT', body: 'x'.repeat(100) })).status).toBe(201);
    expect((await fetch(url('k'))).status).toBe(200);
    slow.destroy();
    await expect.poll(() => metric('state_request_bytes_in_flight')).toBe(0);
    expect((await fetch(url('k'), { method: 'PUT', body: 'x'.repeat(101) })).status).toBe(200);
  });

  test('of unknown length count as the longest value', async () => {
    it = await startGateway({ inFlight: { requests: 100, bytes: 2 * 1024 * 1024 - 1 } });
    const slow = send('Transfer-Encoding: chunked');
    await expect.poll(() => metric('state_request_bytes_in_flight')).toBe(1024 * 1024);
    const other = send('Transfer-Encoding: chunked');
    const answer = await new Promise<string>((resolve) => other.once('data', (data) => resolve(String(data))));
    expect(answer).toContain('HTTP/1.1 429 ');
    slow.destroy();
    other.destroy();
  });
});
