// Many keys over HTTP: listings, batches.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  BatchOperationKind,
  BatchRequestSchema,
  BatchResponseSchema,
} from '@statestore/core/gen/statestore/v1/batch_pb';
import { describe, expect, test } from 'vitest';
import { keyPath, newStore, stateOf, type Answer, type HttpClient } from './http-client.ts';
import type { ClientOf } from './http-contract.ts';

interface Listed {
  readonly key: string;
  readonly value?: string;
  readonly encoding?: 'utf8' | 'base64';
}

async function fill(client: HttpClient, store: string, keys: readonly string[]): Promise<void> {
  for (let from = 0; from < keys.length; from += 1000) {
    const operations = keys.slice(from, from + 1000).map((key) => ({ op: 'put', key, value: `value of ${key}` }));
    const { json } = await client.post(`/v1/stores/${store}/batch`, { operations });
    expect(json.counts.put).toBe(operations.length);
  }
}

/** Every page of a listing. */
async function pages(client: HttpClient, path: string, query: string): Promise<Listed[][]> {
  const found: Listed[][] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const { status, json }: Answer = await client.get(`${path}?${query}${cursor === '' ? '' : `&cursor=${cursor}`}`);
    expect(status).toBe(200);
    found.push(json.entries);
    cursor = json.cursor;
  }
  return found;
}

const numbered = Array.from({ length: 1234 }, (_, i) => `k${String(i).padStart(5, '0')}`);

export function manyContract(clientOf: ClientOf): void {
  describe('listing', () => {
    test('every entry once, in order of bytes, over all partitions and any page size', async () => {
      const client = clientOf();
      const store = newStore();
      const keys = [...numbered, 'Z', 'ä', '€', '🧀', 'a/b', 'a b', '~'];
      await fill(client, store, keys);
      const sorted = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      const path = `/v1/stores/${store}/keys`;
      for (const limit of [7, 100, 1241, 10_000]) {
        const got = await pages(client, path, `limit=${limit}`);
        expect(got.flat().map(({ key }) => key)).toEqual(sorted);
        expect(got.slice(0, -1).every((page) => page.length === limit)).toBe(true);
      }
      const reversed = await pages(client, path, 'limit=99&reverse=true');
      expect(reversed.flat().map(({ key }) => key)).toEqual(sorted.toReversed());
      expect((await client.get(path)).json.entries.length).toBe(100);
    });

    test('prefix, start and end, in both directions', async () => {
      const client = clientOf();
      const store = newStore();
      await fill(client, store, numbered.slice(0, 300));
      const keysOf = async (query: string) =>
        (await pages(client, `/v1/stores/${store}/keys`, query)).flat().map(({ key }) => key);
      expect(await keysOf('prefix=k0001')).toEqual(numbered.slice(10, 20));
      expect(await keysOf('prefix=k0001&limit=3&reverse=true')).toEqual(numbered.slice(10, 20).toReversed());
      expect(await keysOf('start=k00290&limit=4')).toEqual(numbered.slice(290, 300));
      expect(await keysOf('end=k00003')).toEqual(numbered.slice(0, 3));
      expect(await keysOf('prefix=k0001&start=k00015&end=k00017')).toEqual(numbered.slice(15, 17));
      expect(await keysOf('start=k00005&end=k00005')).toEqual([]);
      expect(await keysOf('prefix=nothing')).toEqual([]);
      expect(await keysOf('prefix=k0001&start=&end=')).toEqual(numbered.slice(10, 20));
    });

    test('values round-trip exactly, text as text and bytes as base64', async () => {
      const client = clientOf();
      const store = newStore();
      const values = [
        Buffer.from('plain'),
        Buffer.from([0xff, 0xfe, 0]),
        Buffer.from('\ufeff"\\\n\0\u2028é🧀'),
        Buffer.alloc(0),
        Buffer.from([0xed, 0xa0, 0x80]),
      ];
      for (const [i, value] of values.entries())
        await client.put(`${keyPath(store, `v${i}`)}?ttl=1h`, value, { 'content-type': 'x/y; q="a"' });
      const { json } = await client.get(`/v1/stores/${store}/keys?values=true`);
      const back = json.entries.map(({ value, encoding }: Required<Listed>) => Buffer.from(value, encoding));
      expect(back).toEqual(values);
      expect(json.entries[0]).toMatchObject({ size: 5, contentType: 'x/y; q="a"', encoding: 'utf8' });
      expect(json.entries[0].etag).toBe((await client.get(keyPath(store, 'v0'))).headers.etag);
      expect(Date.parse(json.entries[0].expiresAt)).toBeGreaterThan(Date.now());
      expect((await client.get(`/v1/stores/${store}/keys`)).json.entries[0].value).toBeUndefined();
    });

    test('as lines, of everything unless a limit is given', async () => {
      const client = clientOf();
      const store = newStore();
      await fill(client, store, numbered);
      const lines = async (query: string) => {
        const { text, headers } = await client.get(`/v1/stores/${store}/keys${query}`, {
          accept: 'application/x-ndjson',
        });
        expect(headers['content-type']).toBe('application/x-ndjson');
        return text
          .split('\n')
          .slice(0, -1)
          .map((line): Listed => JSON.parse(line));
      };
      const all = await lines('?values=true');
      expect(all.map(({ key }) => key)).toEqual(numbered);
      expect(all[5]!.value).toBe('value of k00005');
      expect((await lines('?limit=5&reverse=true')).map(({ key }) => key)).toEqual(numbered.slice(-5).toReversed());
    });

    test('a cursor that was altered, or is of another listing, is refused', async () => {
      const client = clientOf();
      const store = newStore();
      const other = newStore();
      await fill(client, store, numbered.slice(0, 50));
      await fill(client, other, numbered.slice(0, 50));
      const { cursor } = (await client.get(`/v1/stores/${store}/keys?limit=5`)).json;
      const flipped = `${cursor.slice(0, 4)}${cursor[4] === 'A' ? 'B' : 'A'}${cursor.slice(5)}`;
      const attempts = [
        `/v1/stores/${store}/keys?cursor=${flipped}`,
        `/v1/stores/${store}/keys?cursor=${cursor.slice(0, -2)}`,
        `/v1/stores/${store}/keys?cursor=${cursor}A`,
        `/v1/stores/${other}/keys?cursor=${cursor}`,
        `/v1/stores/${store}/keys?cursor=${cursor}&reverse=true`,
        `/v1/stores/${store}/keys?cursor=${cursor}&prefix=k`,
        `/v1/stores/${store}/watch?cursor=${cursor}`,
        `/v1/stores?cursor=${cursor}`,
      ];
      for (const path of attempts)
        expect((await client.get(path)).json).toMatchObject({ status: 400, code: 'invalid_cursor' });
      expect((await client.get(`/v1/stores/${store}/keys?limit=7&cursor=${cursor}`)).json.entries[0].key).toBe(
        numbered[5],
      );
    });

    test('of a store that is not there is empty', async () => {
      expect((await clientOf().get(`/v1/stores/${newStore()}/keys`)).json).toEqual({ entries: [], cursor: null });
    });
  });

  describe('batch', () => {
    test('a result for each operation, in order, as the call alone would be answered', async () => {
      const client = clientOf();
      const store = newStore();
      await fill(client, store, ['a', 'b', 'c']);
      const { json } = await client.post(`/v1/stores/${store}/batch`, {
        operations: [
          { op: 'get', key: 'a' },
          { op: 'put', key: 'b', value: '/w==', encoding: 'base64', contentType: 'x/y', ttl: '1h' },
          { op: 'get', key: 'none' },
          { op: 'delete', key: 'c' },
          { op: 'delete', key: 'nothing' },
          { op: 'put', key: 'new', value: '1', ifNoneMatch: '*' },
          { op: 'put', key: 'b', value: 'late', ifMatch: '"1000000"' },
        ],
      });
      expect(json.results.map(({ key, status }: { key: string; status: number }) => [key, status])).toEqual([
        ['a', 200],
        ['b', 200],
        ['none', 404],
        ['c', 200],
        ['nothing', 200],
        ['new', 201],
        ['b', 412],
      ]);
      expect(json.counts).toEqual({ got: 1, missing: 1, put: 2, deleted: 2, failed: 1 });
      expect(json.results[0]).toMatchObject({ value: 'value of a', encoding: 'utf8' });
      expect([json.results[3].existed, json.results[4].existed]).toEqual([true, false]);
      expect(json.results[6]).toMatchObject({ code: 'precondition_failed', currentEtag: json.results[1].etag });
      const b = await client.get(keyPath(store, 'b'));
      expect([[...b.body], b.headers['content-type'], b.headers.etag]).toEqual([[255], 'x/y', json.results[1].etag]);
    });

    test('operations on one key keep their order', async () => {
      const client = clientOf();
      const store = newStore();
      const operations = Array.from({ length: 500 }, (_, i) => ({ op: 'put', key: `k${i % 10}`, value: String(i) }));
      await client.post(`/v1/stores/${store}/batch`, { operations });
      for (let i = 0; i < 10; i++) expect((await client.get(keyPath(store, `k${i}`))).text).toBe(String(490 + i));
    });

    test('a key that is read and written is refused, whole', async () => {
      const client = clientOf();
      const store = newStore();
      const before = await stateOf(client);
      const { json } = await client.post(`/v1/stores/${store}/batch`, {
        operations: [
          { op: 'put', key: 'x', value: '1' },
          { op: 'get', key: 'k' },
          { op: 'put', key: 'k', value: '1' },
        ],
      });
      expect(json).toMatchObject({
        status: 400,
        code: 'invalid_body',
        detail: expect.stringContaining('operations[1]'),
      });
      expect(await stateOf(client)).toEqual(before);
    });

    test('an Idempotency-Key makes a repeated batch take effect once', async () => {
      const client = clientOf();
      const store = newStore();
      const operations = Array.from({ length: 50 }, (_, i) => ({
        op: 'put',
        key: `k${i}`,
        value: 'x',
        ifNoneMatch: '*',
      }));
      const headers = { 'idempotency-key': 'load-1' };
      const first = await client.post(`/v1/stores/${store}/batch`, { operations }, headers);
      const state = await stateOf(client);
      const again = await client.post(`/v1/stores/${store}/batch`, { operations }, headers);
      expect([again.json, first.json.counts.put]).toEqual([first.json, 50]);
      expect(await stateOf(client)).toEqual(state);
      const other = await client.post(
        `/v1/stores/${store}/batch`,
        { operations: operations.map((operation) => ({ ...operation, value: 'y' })) },
        headers,
      );
      expect(new Set(other.json.results.map(({ code }: { code: string }) => code))).toEqual(
        new Set(['idempotency_key_reused']),
      );
      expect(await stateOf(client)).toEqual(state);
    });

    test('in protobuf', async () => {
      const client = clientOf();
      const store = newStore();
      const type = 'application/vnd.statestore.batch+protobuf';
      const body = toBinary(
        BatchRequestSchema,
        create(BatchRequestSchema, {
          operations: [
            { kind: BatchOperationKind.PUT, key: 'p', value: Uint8Array.of(0, 255), contentType: 'x/y', ttl: '1h' },
            { kind: BatchOperationKind.GET, key: 'g' },
            { kind: BatchOperationKind.DELETE, key: 'd' },
          ],
        }),
      );
      await client.put(keyPath(store, 'g'), Uint8Array.of(7));
      const answer = await client.call('POST', `/v1/stores/${store}/batch`, {
        body,
        headers: { 'content-type': type },
      });
      expect([answer.status, answer.headers['content-type']]).toEqual([200, type]);
      const { results, counts } = fromBinary(BatchResponseSchema, answer.body);
      expect(results.map(({ status }) => status)).toEqual([201, 200, 200]);
      expect([...results[1]!.value]).toEqual([7]);
      expect(results[0]!.revision > 0n && results[0]!.expiresAtMs > 0n).toBe(true);
      expect(counts).toMatchObject({ got: 1, put: 1, deleted: 1, missing: 0, failed: 0 });
      expect([...(await client.get(keyPath(store, 'p'))).body]).toEqual([0, 255]);
      const asJson = await client.call('POST', `/v1/stores/${store}/batch`, {
        body,
        headers: { 'content-type': type, accept: 'application/json' },
      });
      expect(asJson.json.counts.got).toBe(1);
    });
  });
}
