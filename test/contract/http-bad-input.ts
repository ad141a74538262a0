// Bad input over HTTP: each answers a problem with the right status and code, and changes nothing.
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { keyPath, newStore, stateOf, type Call } from './http-client.ts';
import type { ClientOf } from './http-contract.ts';

type Bad = readonly [what: string, method: string, path: string, status: number, code: string, call?: Call];

const s = newStore();
const k = keyPath(s, 'k');
const json = { 'content-type': 'application/json' };
const patch = { 'content-type': 'application/merge-patch+json' };
const big = Buffer.alloc(1024 * 1024 + 1);
const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
const deepObject = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
const operation = (fields: object): Call => ({ headers: json, body: JSON.stringify({ operations: [fields] }) });

const names: readonly Bad[] = [
  ['an empty key', 'PUT', `/v1/stores/${s}/keys/`, 400, 'invalid_key', { body: 'x' }],
  ['a key of 1025 bytes', 'PUT', keyPath(s, 'k'.repeat(1025)), 400, 'invalid_key', { body: 'x' }],
  ['a key of 342 characters and 1026 bytes', 'PUT', keyPath(s, '€'.repeat(342)), 400, 'invalid_key', { body: 'x' }],
  ['a key of 3000 bytes', 'PUT', `/v1/stores/${s}/keys/${'%6B'.repeat(3000)}`, 400, 'invalid_key', { body: 'x' }],
  ['NUL in a key', 'PUT', `/v1/stores/${s}/keys/a%00b`, 400, 'invalid_key', { body: 'x' }],
  ['a line end in a key', 'PUT', `/v1/stores/${s}/keys/a%0Ab`, 400, 'invalid_key', { body: 'x' }],
  ['DEL in a key', 'PUT', `/v1/stores/${s}/keys/a%7Fb`, 400, 'invalid_key', { body: 'x' }],
  ['a C1 control in a key', 'PUT', `/v1/stores/${s}/keys/a%C2%85b`, 400, 'invalid_key', { body: 'x' }],
  ['percent without digits', 'PUT', `/v1/stores/${s}/keys/a%zzb`, 400, 'invalid_url', { body: 'x' }],
  ['percent at the end', 'GET', `/v1/stores/${s}/keys/a%`, 400, 'invalid_url'],
  ['percent-encoding that is not UTF-8', 'PUT', `/v1/stores/${s}/keys/%FF%FE`, 400, 'invalid_url', { body: 'x' }],
  ['a surrogate in UTF-8', 'PUT', `/v1/stores/${s}/keys/%ED%A0%80`, 400, 'invalid_url', { body: 'x' }],
  ['a store name with a slash', 'PUT', '/v1/stores/a%2Fb/keys/k', 400, 'invalid_store_name', { body: 'x' }],
  ['a store name with dots first', 'PUT', '/v1/stores/..%2f..%2fetc/keys/k', 400, 'invalid_store_name', { body: 'x' }],
  ['a store name of 129', 'PUT', `/v1/stores/${'s'.repeat(129)}/keys/k`, 400, 'invalid_store_name', { body: 'x' }],
  ['a store name with a space', 'PUT', '/v1/stores/a%20b/keys/k', 400, 'invalid_store_name', { body: 'x' }],
  ['an empty store name', 'PUT', '/v1/stores//keys/k', 400, 'invalid_store_name', { body: 'x' }],
  ['the store name __proto__', 'PUT', '/v1/stores/__proto__/keys/k', 400, 'invalid_store_name', { body: 'x' }],
];

const ttls: readonly Bad[] = ['NaN', '-1s', '-5', '0s', '0ms', '10', '1.5s', '1e3s', ' 1s', '1S', '999999999999999d', '3651d', 'Infinity', '', '1s1s', '0x10s'].map(
  (ttl) => [`ttl ${JSON.stringify(ttl)}`, 'PUT', `${k}?ttl=${encodeURIComponent(ttl)}`, 400, 'invalid_ttl', { body: 'x' }] as const,
);

const parameters: readonly Bad[] = [
  ['an unknown parameter', 'PUT', `${k}?tll=1s`, 400, 'invalid_parameter', { body: 'x' }],
  ['a parameter twice', 'PUT', `${k}?ttl=1s&ttl=2s`, 400, 'invalid_parameter', { body: 'x' }],
  ['bad percent-encoding in a parameter', 'PUT', `${k}?ttl=%zz`, 400, 'invalid_url', { body: 'x' }],
  ['__proto__ as a parameter', 'GET', `${k}?__proto__=1`, 400, 'invalid_parameter'],
  ['an unknown consistency', 'GET', `${k}?consistency=maybe`, 400, 'invalid_parameter'],
  ['consistency toString', 'GET', `${k}?consistency=toString`, 400, 'invalid_parameter'],
  ['a parameter of a delete', 'DELETE', `${k}?ttl=1s`, 400, 'invalid_parameter'],
  ['touch without ttl', 'POST', `${k}/touch`, 400, 'invalid_ttl'],
  ...['1000000000', '10001', '0', '-1', 'NaN', '1e3', '', '1.5', ' 5'].map(
    (limit) => [`limit ${JSON.stringify(limit)}`, 'GET', `/v1/stores/${s}/keys?limit=${encodeURIComponent(limit)}`, 400, 'invalid_parameter'] as const,
  ),
  ['reverse=maybe', 'GET', `/v1/stores/${s}/keys?reverse=maybe`, 400, 'invalid_parameter'],
  ['a prefix with NUL', 'GET', `/v1/stores/${s}/keys?prefix=%00`, 400, 'invalid_parameter'],
  ['a cursor that is no cursor', 'GET', `/v1/stores/${s}/keys?cursor=abc`, 400, 'invalid_cursor'],
  ['a cursor of other characters', 'GET', `/v1/stores/${s}/keys?cursor=${encodeURIComponent('"><script>')}`, 400, 'invalid_cursor'],
  ['a watch with no cursor', 'GET', `/v1/stores/${s}/watch?cursor=AAAA`, 400, 'invalid_cursor'],
  ['a partition that is not there', 'POST', '/v1/compact?partition=99', 400, 'invalid_parameter'],
];

const headers: readonly Bad[] = [
  ...['1', 'W/"1"', '"1", "2"', '"abc"', '""', '"-1"', '"01"', '"99999999999999999999"', '"1', '*, "1"'].map(
    (etag) => [`If-Match: ${etag}`, 'PUT', k, 400, 'invalid_condition', { body: 'x', headers: { 'if-match': etag } }] as const,
  ),
  ['If-None-Match with an ETag on a write', 'PUT', k, 400, 'invalid_condition', { body: 'x', headers: { 'if-none-match': '"1"' } }],
  ['both conditional headers', 'PUT', k, 400, 'invalid_condition', { body: 'x', headers: { 'if-match': '"1"', 'if-none-match': '*' } }],
  ['both conditional headers on a delete', 'DELETE', k, 400, 'invalid_condition', { headers: { 'if-match': '*', 'if-none-match': '*' } }],
  ['an empty Idempotency-Key', 'PUT', k, 400, 'invalid_parameter', { body: 'x', headers: { 'idempotency-key': '' } }],
  ['an Idempotency-Key of 256', 'PUT', k, 400, 'invalid_parameter', { body: 'x', headers: { 'idempotency-key': 'i'.repeat(256) } }],
  ['an Idempotency-Key with a space', 'PUT', k, 400, 'invalid_parameter', { body: 'x', headers: { 'idempotency-key': 'a b' } }],
  ['a content type that is none', 'PUT', k, 415, 'unsupported_media_type', { body: 'x', headers: { 'content-type': 'nonsense' } }],
  ['a content type of 300', 'PUT', k, 415, 'unsupported_media_type', { body: 'x', headers: { 'content-type': `text/${'x'.repeat(300)}` } }],
  ['a content encoding', 'PUT', k, 415, 'unsupported_media_type', { body: 'x', headers: { 'content-encoding': 'gzip' } }],
  ['a batch as text', 'POST', `/v1/stores/${s}/batch`, 415, 'unsupported_media_type', { body: '{}', headers: { 'content-type': 'text/plain' } }],
  ['a transaction as a form', 'POST', `/v1/stores/${s}/transactions`, 415, 'unsupported_media_type', { body: 'a=1', headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
  ['an increment as text', 'POST', `${k}/increment`, 415, 'unsupported_media_type', { body: '1', headers: { 'content-type': 'text/plain' } }],
  ['a listing as XML', 'GET', `/v1/stores/${s}/keys`, 406, 'not_acceptable', { headers: { accept: 'text/xml' } }],
  ['a watch as JSON', 'GET', `/v1/stores/${s}/watch`, 406, 'not_acceptable', { headers: { accept: 'application/json' } }],
];

const bodies: readonly Bad[] = [
  ['a value over the limit', 'PUT', k, 413, 'value_too_large', { body: big }],
  ['the same without Content-Length', 'PUT', k, 413, 'value_too_large', { body: big, chunked: true }],
  ['a value of 6 MiB without Content-Length', 'PUT', k, 413, 'value_too_large', { body: Buffer.alloc(6 * 1024 * 1024), chunked: true }],
  ['an append over the limit', 'POST', `${k}/append`, 413, 'value_too_large', { body: big }],
  ['a batch over the limit', 'POST', `/v1/stores/${s}/batch`, 413, 'body_too_large', { headers: json, body: Buffer.alloc(8 * 1024 * 1024 + 1, ' ') }],
  ['a value over the limit in a batch', 'POST', `/v1/stores/${s}/batch`, 413, 'value_too_large', operation({ op: 'put', key: 'k', value: 'x'.repeat(1024 * 1024 + 1) })],
  ['settings over the limit', 'PUT', `/v1/stores/${s}/settings`, 413, 'body_too_large', { headers: json, body: `{"defaultTtl":"${' '.repeat(70_000)}"}` }],
  ['JSON 100,000 deep', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_body', { headers: json, body: deep }],
  ['objects 100,000 deep', 'POST', `/v1/stores/${s}/transactions`, 400, 'invalid_body', { headers: json, body: deepObject }],
  ['a patch 100,000 deep in a transaction', 'POST', `/v1/stores/${s}/transactions`, 400, 'invalid_json', { headers: json, body: `{"operations":[{"op":"mergePatch","key":"k","patch":${deepObject}}]}` }],
  ['a patch 100,000 deep', 'PATCH', k, 400, 'invalid_json', { headers: patch, body: deepObject }],
  ['an increment 10,000 deep', 'POST', `${k}/increment`, 400, 'invalid_body', { headers: json, body: `{"delta":${'['.repeat(10_000)}${']'.repeat(10_000)}}` }],
  ['a patch that is not JSON', 'PATCH', k, 400, 'invalid_json', { headers: patch, body: '{"a":' }],
  ['a patch that is not UTF-8', 'PATCH', k, 400, 'invalid_json', { headers: patch, body: Buffer.from('7b2261223a22ff227d', 'hex') }],
  ['__proto__ in a patch', 'PATCH', k, 400, 'invalid_json', { headers: patch, body: '{"__proto__":{"x":1}}' }],
  ['__proto__ in a batch', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_json', { headers: json, body: '{"operations":[{"op":"put","key":"k","value":"x","__proto__":{}}]}' }],
  ['constructor.prototype', 'POST', `${k}/increment`, 400, 'invalid_json', { headers: json, body: '{"constructor":{"prototype":{"x":1}}}' }],
  ['JSON that is not UTF-8', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_json', { headers: json, body: Buffer.from('7b22ff223a317d', 'hex') }],
  ['no JSON', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_json', { headers: json, body: 'nonsense' }],
  ['an empty body', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_json', { headers: json, body: '' }],
  ['an array for an object', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_body', { headers: json, body: '[]' }],
  ['an unknown field', 'POST', `${k}/increment`, 400, 'invalid_body', { headers: json, body: '{"detla":5}' }],
  ['an unknown field of settings', 'PUT', `/v1/stores/${s}/settings`, 400, 'invalid_body', { headers: json, body: '{"quota":5}' }],
  ['an unknown field of an operation', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_body', operation({ op: 'put', key: 'k', value: 'x', tll: '1s' })],
  ['a field of another operation', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_body', operation({ op: 'delete', key: 'k', value: 'x' })],
  ['an unknown operation', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_body', operation({ op: 'increment', key: 'k' })],
  ['an empty key in a batch', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_key', operation({ op: 'put', key: '', value: 'x' })],
  ['an unpaired surrogate in a key', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_key', { headers: json, body: '{"operations":[{"op":"put","key":"\\ud800","value":"x"}]}' }],
  ['an unpaired surrogate in a value', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_body', { headers: json, body: '{"operations":[{"op":"put","key":"k","value":"\\udc00"}]}' }],
  ['bad base64', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_body', operation({ op: 'put', key: 'k', value: 'a_b', encoding: 'base64' })],
  ['a number for a value', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_body', operation({ op: 'put', key: 'k', value: 5 })],
  ['a bad ttl in a batch', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_ttl', operation({ op: 'put', key: 'k', value: 'x', ttl: '-1s' })],
  ['both conditions in a batch', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_condition', operation({ op: 'put', key: 'k', value: 'x', ifMatch: '*', ifNoneMatch: '*' })],
  ['no operations', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_body', { headers: json, body: '{"operations":[]}' }],
  ['1001 operations', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_body', { headers: json, body: JSON.stringify({ operations: Array.from({ length: 1001 }, (_, i) => ({ op: 'delete', key: `k${i}` })) }) }],
  ['a delta past 2^53 as a number', 'POST', `${k}/increment`, 400, 'invalid_body', { headers: json, body: '{"delta":9007199254740993}' }],
  ['a delta past 64 bits', 'POST', `${k}/increment`, 400, 'invalid_body', { headers: json, body: '{"delta":"9223372036854775808"}' }],
  ['a delta with a fraction', 'POST', `${k}/increment`, 400, 'invalid_body', { headers: json, body: '{"delta":1.5}' }],
  ['a delta of 1e999', 'POST', `${k}/increment`, 400, 'invalid_body', { headers: json, body: '{"delta":1e999}' }],
  ['a negative quota', 'PUT', `/v1/stores/${s}/settings`, 400, 'invalid_body', { headers: json, body: '{"quotaEntries":-1}' }],
  ['a bad default ttl', 'PUT', `/v1/stores/${s}/settings`, 400, 'invalid_ttl', { headers: json, body: '{"defaultTtl":"soon"}' }],
  ['garbage as a binary batch', 'POST', `/v1/stores/${s}/batch`, 400, 'invalid_body', { headers: { 'content-type': 'application/vnd.statestore.batch+protobuf' }, body: Buffer.from('ffffffff', 'hex') }],
];

const routes: readonly Bad[] = [
  ['an unknown route', 'GET', '/v2', 404, 'route_not_found'],
  ['an unknown route with a body', 'POST', '/v1/nothing', 404, 'route_not_found', { headers: json, body: '{' }],
  ['a key with a bare slash', 'PUT', `/v1/stores/${s}/keys/a/b`, 404, 'route_not_found', { body: 'x' }],
  ['a method that a key has not', 'POST', k, 405, 'method_not_allowed', { body: 'x' }],
  ['a method that a listing has not', 'DELETE', `/v1/stores/${s}/keys`, 405, 'method_not_allowed'],
];

export function badInputContract(clientOf: ClientOf): void {
  describe('bad input', () => {
    test.each([...names, ...ttls, ...parameters, ...headers, ...bodies, ...routes].map((bad) => ({ what: bad[0], bad })))('$what', async ({ bad }) => {
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
      const detail = async (path: string, call: Call, method = 'PUT') => (await client.call(method, path, call)).json.detail;
      expect(await detail(`${k}?tll=1s`, { body: '' })).toContain('"tll"');
      expect(await detail(`${k}/increment`, { headers: json, body: '{"detla":5}' }, 'POST')).toContain('"detla"');
      expect(await detail(`/v1/stores/${s}/keys/a%00b`, { body: '' })).toContain('U+0000');
      expect(await detail(`/v1/stores/${s}/batch`, operation({ op: 'put', key: 'k' }), 'POST')).toContain('operations[0]');
      expect((await client.delete(`/v1/stores/${s}/keys`)).headers.allow).toBe('GET');
    });

    test.each([
      ['bytes that are no HTTP', 'nonsense\r\n\r\n', 400, 'invalid_request'],
      ['a head of 20 KiB', `GET /v1 HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
      ['a key of 20 KiB', `GET /v1/stores/s/keys/${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431, 'headers_too_large'],
      ['both Content-Length and chunked', 'PUT /v1/stores/s/keys/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400, 'invalid_request'],
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
