// Bad input over HTTP: each answers a problem with the right status and code, and changes nothing.
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { keyPath, newStore, stateOf, type Call } from './http-client.ts';
import { badBodies } from './http-bad-bodies.ts';
import { badRequests } from './http-bad-requests.ts';
import type { ClientOf } from './http-contract.ts';

const s = newStore();
const k = keyPath(s, 'k');
const json = { 'content-type': 'application/json' };
const operation = (fields: object): Call => ({ headers: json, body: JSON.stringify({ operations: [fields] }) });

export function badInputContract(clientOf: ClientOf): void {
  describe('bad input', () => {
    test.each([...badRequests, ...badBodies].map((bad) => ({ what: bad[0], bad })))('$what', async ({ bad }) => {
      const [, method, path, status, code, call] = bad;
      const client = clientOf();
      const before = await stateOf(client);
      const answer = await client.call(method, path, call);
      expect([answer.status, answer.json?.code]).toEqual([status, code]);
      expect(answer.headers['content-type']).toBe('application/problem+json');
      expect(answer.json).toMatchObject({ type: `https://statestore.io/errors/${code}`, status, retryable: false });
      expect(answer.json.detail.length).toBeGreaterThan(0);
      expect(await stateOf(client)).toEqual(before);
      expect((await client.get('/healthz')).status).toBe(200);
    });

    test('messages name what was wrong', async () => {
      const client = clientOf();
      const detail = async (path: string, call: Call, method = 'PUT') =>
        (await client.call(method, path, call)).json.detail;
      expect(await detail(`${k}?tll=1s`, { body: '' })).toContain('"tll"');
      expect(await detail(`${k}/increment`, { headers: json, body: '{"detla":5}' }, 'POST')).toContain('"detla"');
      expect(await detail(`/v1/stores/${s}/keys/a%00b`, { body: '' })).toContain('U+0000');
      expect(await detail(`/v1/stores/${s}/batch`, operation({ op: 'put', key: 'k' }), 'POST')).toContain(
        'operations[0]',
      );
      expect(await detail(`/v1/stores/${s}/batch`, operation({ op: 'gte', key: 'k' }), 'POST')).toContain(
        'operations[0].op must be one of get, put, delete',
      );
      expect((await client.delete(`/v1/stores/${s}/keys`)).headers.allow).toBe('GET');
    });

    test.each([
      ['bytes that are no HTTP', 'nonsense\r\n\r\n', 400, 'invalid_request'],
      [
        'a head of 20 KiB',
        `GET /v1 HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`,
        431,
        'headers_too_large',
      ],
      [
        'a key of 20 KiB',
        `GET /v1/stores/s/keys/${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
        431,
        'headers_too_large',
      ],
      [
        'both Content-Length and chunked',
        'PUT /v1/stores/s/keys/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        400,
        'invalid_request',
      ],
    ])('%s', async (_what, bytes, status, code) => {
      const client = clientOf();
      const before = await stateOf(client);
      const answer = await raw(client.port, bytes);
      expect(answer.split('\r\n', 1)[0]).toContain(`HTTP/1.1 ${status} `);
      expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))).toMatchObject({ status, code });
      expect(await stateOf(client)).toEqual(before);
    });

    test('a body that ends early changes nothing', async () => {
      const client = clientOf();
      const before = await stateOf(client);
      const socket = connect(client.port, '127.0.0.1');
      socket.write(`PUT ${k} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc`);
      await new Promise((resolve) => setTimeout(resolve, 50));
      socket.destroy();
      expect((await client.get('/healthz')).status).toBe(200);
      expect(await stateOf(client)).toEqual(before);
    });
  });
}

function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.on('data', (part) => (text += part.toString()));
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
  });
}
