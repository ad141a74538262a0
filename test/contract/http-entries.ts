// One entry over HTTP.
import { describe, expect, test } from 'vitest';
import { keyPath, newStore, until } from './http-client.ts';
import type { ClientOf } from './http-contract.ts';

export function entriesContract(clientOf: ClientOf): void {
  describe('one entry', () => {
    test('is read back byte for byte, with its content type and ETag', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i * 7);
      const made = await client.put(path, bytes, { 'content-type': 'image/x-test; v=1' });
      expect([made.status, made.body.length]).toEqual([201, 0]);
      const read = await client.get(path);
      expect(read.status).toBe(200);
      expect(read.headers).toMatchObject({
        'content-type': 'image/x-test; v=1',
        etag: made.headers.etag,
        'content-length': '70000',
      });
      expect(read.body.equals(bytes)).toBe(true);
      expect(read.headers['statestore-expires-at']).toBeUndefined();
    });

    test('JSON is kept as the bytes it came as, and no content type is octets', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      const text = ' {"b":1,"a":1e2,"a":2}\n';
      await client.put(path, text, { 'content-type': 'application/json' });
      expect((await client.get(path)).text).toBe(text);
      await client.put(path, '');
      const empty = await client.get(path);
      expect([empty.status, empty.body.length, empty.headers['content-type']]).toEqual([
        200,
        0,
        'application/octet-stream',
      ]);
    });

    test('what a browser would run scripts of is sandboxed, and nothing else is', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      for (const type of ['text/html; charset=utf-8', 'image/svg+xml', 'application/xhtml+xml', 'TEXT/XML']) {
        await client.put(path, '<script>1</script>', { 'content-type': type });
        expect((await client.get(path)).headers['content-security-policy'], type).toBe('sandbox');
      }
      await client.put(path, '{}', { 'content-type': 'application/json' });
      expect((await client.get(path)).headers['content-security-policy']).toBeUndefined();
    });

    test('chunked bodies arrive whole', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      const bytes = Buffer.alloc(1024 * 1024, 'ab');
      expect((await client.call('PUT', path, { body: bytes, chunked: true })).status).toBe(201);
      expect((await client.get(path)).body.equals(bytes)).toBe(true);
    });

    test('is made with 201, replaced with 200 and another ETag', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      const first = await client.put(path, '1');
      const second = await client.put(path, '2');
      expect([first.status, second.status]).toEqual([201, 200]);
      expect(second.headers.etag).not.toBe(first.headers.etag);
    });

    test('HEAD tells size and ETag, without a body; of nothing it is 404 without a body', async () => {
      const client = clientOf();
      const store = newStore();
      const { headers } = await client.put(keyPath(store, 'k'), 'hello', { 'content-type': 'text/plain' });
      const head = await client.call('HEAD', keyPath(store, 'k'));
      expect([head.status, head.body.length, head.headers.etag, head.headers['content-length']]).toEqual([
        200,
        0,
        headers.etag,
        '5',
      ]);
      const none = await client.call('HEAD', keyPath(store, 'other'));
      expect([none.status, none.body.length]).toEqual([404, 0]);
    });

    test('delete says whether there was one', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      await client.put(path, '1');
      expect((await client.delete(path)).json).toEqual({ existed: true });
      expect((await client.delete(path)).json).toEqual({ existed: false });
      const gone = await client.get(path);
      expect([gone.status, gone.json.code, gone.headers['content-type']]).toEqual([
        404,
        'not_found',
        'application/problem+json',
      ]);
    });

    test.each([['strong'], ['session'], ['eventual']])('is read with %s consistency', async (consistency) => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      await client.put(path, 'x');
      expect((await client.get(`${path}?consistency=${consistency}`)).text).toBe('x');
    });

    test.each([
      ['a/b'],
      ['../../etc/passwd'],
      ['..'],
      ['a b+c'],
      ['%2F'],
      ['käse 🧀'],
      ['?x=1#y'],
      ['{tag}:1'],
      ['"\\'],
      ['\ufeffbom'],
      ['a;b'],
      ['k'.repeat(1024)],
      ['é'.repeat(512)],
    ])('the key %j is one key', async (key) => {
      const client = clientOf();
      const store = newStore();
      // fetch would resolve the dots away; here the path goes out as it is.
      expect((await client.put(keyPath(store, key), 'v')).status).toBe(201);
      expect((await client.get(keyPath(store, key))).text).toBe('v');
      const listed = await client.get(`/v1/stores/${store}/keys`);
      expect(listed.json.entries.map((entry: { key: string }) => entry.key)).toEqual([key]);
    });

    test('every byte of a key of 1024 bytes may be percent-encoded', async () => {
      const client = clientOf();
      const store = newStore();
      const path = `/v1/stores/${store}/keys/${'%6B'.repeat(1024)}`;
      expect((await client.put(path, 'v')).status).toBe(201);
      expect((await client.get(keyPath(store, 'k'.repeat(1024)))).text).toBe('v');
    });
  });

  describe('time to live', () => {
    test('an entry expires, and says when', async () => {
      const client = clientOf();
      const store = newStore();
      const path = keyPath(store, 'k');
      const before = Date.now();
      const { headers } = await client.put(`${path}?ttl=300ms`, 'x');
      const at = Date.parse(String(headers['statestore-expires-at']));
      expect(at).toBeGreaterThan(before);
      expect(String(headers['statestore-expires-at'])).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      await until(
        () => client.get(path),
        ({ status }) => status === 404,
      );
      expect(Date.now()).toBeGreaterThanOrEqual(at);
      // Gone from the state too, so that no later test sees it change by the sweep.
      const swept = async () => {
        await client.post('/v1/cleanup');
        return client.get(`/v1/stores/${store}`);
      };
      expect((await until(swept, ({ json }) => json.entries === 0)).json.expired).toBe(1);
    });

    test('touch changes only the expiry; never takes it away', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      await client.put(path, 'x', { 'content-type': 'text/plain' });
      const touched = await client.post(`${path}/touch?ttl=1h`);
      expect([touched.status, Date.parse(touched.json.expiresAt) > Date.now()]).toEqual([200, true]);
      expect((await client.get(path)).headers['statestore-expires-at']).toBe(touched.json.expiresAt);
      expect((await client.post(`${path}/touch?ttl=never`)).json.expiresAt).toBeNull();
      const read = await client.get(path);
      expect([read.text, read.headers['content-type'], read.headers['statestore-expires-at']]).toEqual([
        'x',
        'text/plain',
        undefined,
      ]);
      expect((await client.post(`${keyPath(newStore(), 'k')}/touch?ttl=1h`)).status).toBe(404);
    });
  });

  describe('conditions', () => {
    test('If-None-Match: * makes, and never replaces', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      const made = await client.put(path, '1', { 'if-none-match': '*' });
      const refused = await client.put(path, '2', { 'if-none-match': '*' });
      expect([made.status, refused.status, refused.json.code]).toEqual([201, 412, 'precondition_failed']);
      expect(refused.json.currentEtag).toBe(made.headers.etag);
      expect((await client.get(path)).text).toBe('1');
    });

    test('If-Match with a stale ETag changes nothing', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      const first = await client.put(path, '1');
      const etag = String(first.headers.etag);
      const second = await client.put(path, '2', { 'if-match': etag });
      expect(second.status).toBe(200);
      for (const stale of [
        await client.put(path, '3', { 'if-match': etag }),
        await client.delete(path, { 'if-match': etag }),
      ]) {
        expect([stale.status, stale.json.code, stale.json.currentEtag]).toEqual([
          412,
          'precondition_failed',
          second.headers.etag,
        ]);
      }
      expect((await client.get(path)).text).toBe('2');
      expect((await client.delete(path, { 'if-match': String(second.headers.etag) })).json).toEqual({ existed: true });
    });

    test('If-Match: * needs an entry', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      const refused = await client.put(path, '1', { 'if-match': '*' });
      expect([refused.status, refused.json.currentEtag]).toEqual([412, null]);
      expect((await client.get(path)).status).toBe(404);
    });

    test('reads: 304 where nothing changed, 412 where it did', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      const etag = String((await client.put(path, '1')).headers.etag);
      const fresh = await client.get(path, { 'if-none-match': `"0", W/${etag}` });
      expect([fresh.status, fresh.body.length, fresh.headers.etag]).toEqual([304, 0, etag]);
      expect((await client.get(path, { 'if-none-match': '"999999"' })).status).toBe(200);
      expect((await client.get(path, { 'if-match': '"999999"' })).status).toBe(412);
      expect((await client.get(path, { 'if-match': etag })).status).toBe(200);
    });
  });

  describe('Idempotency-Key', () => {
    test('a repeated request takes effect once and is answered as before', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'n');
      const headers = { 'idempotency-key': 'order-1' };
      const first = await client.post(`${path}/increment`, { delta: 5 }, headers);
      const again = await client.post(`${path}/increment`, { delta: 5 }, headers);
      expect([first.json, again.json, again.status]).toEqual([again.json, first.json, first.status]);
      expect((await client.get(path)).text).toBe('5');
    });

    test('with another body it is refused, and nothing changes', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      const headers = { 'idempotency-key': 'a' };
      await client.put(path, '1', headers);
      for (const other of [
        await client.put(path, '2', headers),
        await client.put(`${path}?ttl=1h`, '1', headers),
        await client.delete(path, headers),
      ]) {
        expect([other.status, other.json.code]).toEqual([422, 'idempotency_key_reused']);
      }
      const read = await client.get(path);
      expect([read.text, read.headers['statestore-expires-at']]).toEqual(['1', undefined]);
    });
  });

  describe('operations', () => {
    test('increment, with bounds and 64 bits', async () => {
      const client = clientOf();
      const store = newStore();
      const path = `${keyPath(store, 'n')}/increment`;
      expect(await client.post(path)).toMatchObject({ status: 201, json: { value: 1, valueText: '1' } });
      expect(await client.post(path, { delta: -11 })).toMatchObject({ status: 200, json: { value: -10 } });
      const refused = await client.post(path, { delta: -1, min: -10 });
      expect([refused.status, refused.json.code]).toEqual([409, 'out_of_bounds']);
      expect(await client.post(path, { delta: '9223372036854775807' })).toMatchObject({
        json: { value: null, valueText: '9223372036854775797' },
      });
      expect((await client.post(path, { delta: 11 })).json.code).toBe('out_of_bounds');
      expect((await client.get(keyPath(store, 'n'))).text).toBe('9223372036854775797');
      await client.put(keyPath(store, 'text'), 'abc');
      expect(await client.post(`${keyPath(store, 'text')}/increment`)).toMatchObject({
        status: 409,
        json: { code: 'not_a_number' },
      });
    });

    test('append adds bytes', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'log');
      const append = (body: Uint8Array) => client.call('POST', `${path}/append`, { body });
      expect(await append(Uint8Array.of(1, 0))).toMatchObject({ status: 201, json: { size: 2 } });
      expect(await append(Uint8Array.of(255))).toMatchObject({ status: 200, json: { size: 3 } });
      expect([...(await client.get(path)).body]).toEqual([1, 0, 255]);
      expect((await append(Buffer.alloc(1024 * 1024))).json).toMatchObject({
        status: 409,
        code: 'value_would_be_too_large',
      });
    });

    test('merge patch (RFC 7396), of its own content type only', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'doc');
      await client.put(path, '{"a":1,"b":{"c":2}}', { 'content-type': 'application/json' });
      const patch = (body: string, type: string) =>
        client.call('PATCH', path, { body, headers: { 'content-type': type } });
      expect((await patch('{}', 'application/json')).json).toMatchObject({
        status: 415,
        code: 'unsupported_media_type',
      });
      expect((await patch('{"a":null,"b":{"d":3}}', 'application/merge-patch+json; charset=utf-8')).status).toBe(200);
      expect(JSON.parse((await client.get(path)).text)).toEqual({ b: { c: 2, d: 3 } });
      await client.put(path, 'no json');
      expect((await patch('{"a":1}', 'application/merge-patch+json')).json).toMatchObject({
        status: 409,
        code: 'not_json',
      });
    });
  });
}
