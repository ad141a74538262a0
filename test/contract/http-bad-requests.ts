// Requests that are wrong in their path, query, headers or route.
import { type Call, keyPath, newStore } from './http-client.ts';

/** A request, and the problem that answers it. */
export type Bad = readonly [what: string, method: string, path: string, status: number, code: string, call?: Call];

const s = newStore();
const k = keyPath(s, 'k');
const json = { 'content-type': 'application/json' };

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

const ttls: readonly Bad[] = [
  'NaN',
  '-1s',
  '-5',
  '0s',
  '0ms',
  '10',
  '1.5s',
  '1e3s',
  ' 1s',
  '1S',
  '999999999999999d',
  '3651d',
  'Infinity',
  '',
  '1s1s',
  '0x10s',
].map(
  (ttl) =>
    [
      `ttl ${JSON.stringify(ttl)}`,
      'PUT',
      `${k}?ttl=${encodeURIComponent(ttl)}`,
      400,
      'invalid_ttl',
      { body: 'x' },
    ] as const,
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
    (limit) =>
      [
        `limit ${JSON.stringify(limit)}`,
        'GET',
        `/v1/stores/${s}/keys?limit=${encodeURIComponent(limit)}`,
        400,
        'invalid_parameter',
      ] as const,
  ),
  ['reverse=maybe', 'GET', `/v1/stores/${s}/keys?reverse=maybe`, 400, 'invalid_parameter'],
  ['a prefix with NUL', 'GET', `/v1/stores/${s}/keys?prefix=%00`, 400, 'invalid_parameter'],
  ['a cursor that is no cursor', 'GET', `/v1/stores/${s}/keys?cursor=abc`, 400, 'invalid_cursor'],
  [
    'a cursor of other characters',
    'GET',
    `/v1/stores/${s}/keys?cursor=${encodeURIComponent('"><script>')}`,
    400,
    'invalid_cursor',
  ],
  ['a watch with no cursor', 'GET', `/v1/stores/${s}/watch?cursor=AAAA`, 400, 'invalid_cursor'],
  ['a partition that is not there', 'POST', '/v1/compact?partition=99', 400, 'invalid_parameter'],
];

const headers: readonly Bad[] = [
  ...['1', 'W/"1"', '"1", "2"', '"abc"', '""', '"-1"', '"01"', '"99999999999999999999"', '"1', '*, "1"'].map(
    (etag) =>
      [`If-Match: ${etag}`, 'PUT', k, 400, 'invalid_condition', { body: 'x', headers: { 'if-match': etag } }] as const,
  ),
  [
    'If-None-Match with an ETag on a write',
    'PUT',
    k,
    400,
    'invalid_condition',
    { body: 'x', headers: { 'if-none-match': '"1"' } },
  ],
  [
    'both conditional headers',
    'PUT',
    k,
    400,
    'invalid_condition',
    { body: 'x', headers: { 'if-match': '"1"', 'if-none-match': '*' } },
  ],
  [
    'both conditional headers on a delete',
    'DELETE',
    k,
    400,
    'invalid_condition',
    { headers: { 'if-match': '*', 'if-none-match': '*' } },
  ],
  ['an empty Idempotency-Key', 'PUT', k, 400, 'invalid_parameter', { body: 'x', headers: { 'idempotency-key': '' } }],
  [
    'an Idempotency-Key of 256',
    'PUT',
    k,
    400,
    'invalid_parameter',
    { body: 'x', headers: { 'idempotency-key': 'i'.repeat(256) } },
  ],
  [
    'an Idempotency-Key with a space',
    'PUT',
    k,
    400,
    'invalid_parameter',
    { body: 'x', headers: { 'idempotency-key': 'a b' } },
  ],
  [
    'a content type that is none',
    'PUT',
    k,
    415,
    'unsupported_media_type',
    { body: 'x', headers: { 'content-type': 'nonsense' } },
  ],
  [
    'a content type of 300',
    'PUT',
    k,
    415,
    'unsupported_media_type',
    { body: 'x', headers: { 'content-type': `text/${'x'.repeat(300)}` } },
  ],
  [
    'a content encoding',
    'PUT',
    k,
    415,
    'unsupported_media_type',
    { body: 'x', headers: { 'content-encoding': 'gzip' } },
  ],
  [
    'a batch as text',
    'POST',
    `/v1/stores/${s}/batch`,
    415,
    'unsupported_media_type',
    { body: '{}', headers: { 'content-type': 'text/plain' } },
  ],
  [
    'a transaction as a form',
    'POST',
    `/v1/stores/${s}/transactions`,
    415,
    'unsupported_media_type',
    { body: 'a=1', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
  ],
  [
    'an increment as text',
    'POST',
    `${k}/increment`,
    415,
    'unsupported_media_type',
    { body: '1', headers: { 'content-type': 'text/plain' } },
  ],
  ['a listing as XML', 'GET', `/v1/stores/${s}/keys`, 406, 'not_acceptable', { headers: { accept: 'text/xml' } }],
  [
    'a watch as JSON',
    'GET',
    `/v1/stores/${s}/watch`,
    406,
    'not_acceptable',
    { headers: { accept: 'application/json' } },
  ],
];

const routes: readonly Bad[] = [
  ['an unknown route', 'GET', '/v2', 404, 'route_not_found'],
  ['an unknown route with a body', 'POST', '/v1/nothing', 404, 'route_not_found', { headers: json, body: '{' }],
  ['a key with a bare slash', 'PUT', `/v1/stores/${s}/keys/a/b`, 404, 'route_not_found', { body: 'x' }],
  ['a method that a key has not', 'POST', k, 405, 'method_not_allowed', { body: 'x' }],
  ['a method that few know, without a content type', 'QUERY', k, 405, 'method_not_allowed'],
  ['a method that a listing has not', 'DELETE', `/v1/stores/${s}/keys`, 405, 'method_not_allowed'],
];

export const badRequests: readonly Bad[] = [...names, ...ttls, ...parameters, ...headers, ...routes];
