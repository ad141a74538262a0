// Stores over HTTP: sizes, settings, quotas, clear, clean-up.
import { describe, expect, test } from 'vitest';
import { keyPath, newStore, until } from './http-client.ts';
import type { ClientOf } from './http-contract.ts';

export function storesContract(clientOf: ClientOf): void {
  describe('stores', () => {
    test('count entries and bytes over all partitions', async () => {
      const client = clientOf();
      const store = newStore();
      for (let i = 0; i < 20; i++) await client.put(keyPath(store, `k${i % 10}`), 'x'.repeat(i));
      const { json } = await client.get(`/v1/stores/${store}`);
      expect(json).toMatchObject({
        store,
        entries: 10,
        bytes: 20 + 145,
        settings: { defaultTtl: 'never', quotaEntries: null },
      });
      await client.delete(keyPath(store, 'k0'));
      expect((await client.get(`/v1/stores/${store}`)).json.entries).toBe(9);
      expect((await client.call('HEAD', `/v1/stores/${store}`)).status).toBe(200);
    });

    test('are not there before their first entry', async () => {
      const client = clientOf();
      const store = newStore();
      expect((await client.get(`/v1/stores/${store}`)).json).toMatchObject({ status: 404, code: 'store_not_found' });
      expect((await client.get(`/v1/stores/${store}/settings`)).json).toMatchObject({
        status: 404,
        code: 'store_not_found',
      });
      expect((await client.delete(`/v1/stores/${store}`)).json).toEqual({ cleared: 0 });
    });

    test('are listed by name, in pages', async () => {
      const client = clientOf();
      const prefix = `${newStore()}-list`;
      const names = ['a', 'b', 'c', 'd', 'e'].map((name) => `${prefix}-${name}`);
      for (const name of names.toReversed()) for (let i = 0; i < 8; i++) await client.put(keyPath(name, `k${i}`), '');
      const first = (await client.get(`/v1/stores?prefix=${prefix}&limit=2`)).json;
      const second = (await client.get(`/v1/stores?prefix=${prefix}&limit=10&cursor=${first.cursor}`)).json;
      expect([...first.stores, ...second.stores].map(({ store, entries }) => [store, entries])).toEqual(
        names.map((name) => [name, 8]),
      );
      expect([first.stores.length, second.cursor]).toEqual([2, null]);
    });

    test('clear removes all entries and says how many, and keeps settings', async () => {
      const client = clientOf();
      const store = newStore();
      await client.call('PUT', `/v1/stores/${store}/settings`, {
        headers: { 'content-type': 'application/json' },
        body: '{"quotaEntries":50}',
      });
      for (let i = 0; i < 30; i++) await client.put(keyPath(store, `k${i}`), 'x');
      expect((await client.delete(`/v1/stores/${store}`)).json).toEqual({ cleared: 30 });
      expect((await client.get(`/v1/stores/${store}/keys`)).json.entries).toEqual([]);
      expect((await client.get(keyPath(store, 'k1'))).status).toBe(404);
      expect((await client.get(`/v1/stores/${store}`)).json).toMatchObject({
        entries: 0,
        bytes: 0,
        settings: { quotaEntries: 50 },
      });
      expect((await client.put(keyPath(store, 'k1'), 'y')).status).toBe(201);
    });

    test('clean-up removes what has expired, and counts it', async () => {
      const client = clientOf();
      const store = newStore();
      for (let i = 0; i < 12; i++) await client.put(`${keyPath(store, `k${i}`)}?ttl=20ms`, 'x');
      await client.put(keyPath(store, 'stays'), 'x');
      await until(
        () => client.get(`/v1/stores/${store}/keys`),
        ({ json }) => json.entries.length === 1,
      );
      // A write moves the clock of its partition on; the sweep of the others goes by their own.
      const { status, json } = await client.post(`/v1/stores/${store}/cleanup`);
      expect([status, Object.keys(json)]).toEqual([200, ['expired', 'removed']]);
      const store1 = await until(
        () => client.get(`/v1/stores/${store}`),
        ({ json: info }) => info.entries === 1,
      );
      expect(store1.json.expired).toBe(12);
      expect((await client.post('/v1/cleanup')).json).toMatchObject({ expired: 0 });
    });
  });

  describe('settings', () => {
    const put = (store: string, body: object) =>
      clientOf().call('PUT', `/v1/stores/${store}/settings`, {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });

    test('the default TTL is that of writes without one', async () => {
      const client = clientOf();
      const store = newStore();
      expect((await put(store, { defaultTtl: '90m' })).json).toEqual({
        defaultTtl: '90m',
        quotaEntries: null,
        quotaBytes: null,
      });
      const { headers } = await client.put(keyPath(store, 'k'), 'x');
      const inMs = Date.parse(String(headers['statestore-expires-at'])) - Date.now();
      expect(inMs > 89 * 60_000 && inMs <= 90 * 60_000).toBe(true);
      expect(
        (await client.put(`${keyPath(store, 'k')}?ttl=never`, 'x')).headers['statestore-expires-at'],
      ).toBeUndefined();
      expect((await client.delete(`/v1/stores/${store}/settings`)).json.defaultTtl).toBe('never');
      const typed = await client.delete(`/v1/stores/${store}/settings`, { 'content-type': 'application/json' });
      expect(typed.status).toBe(200);
      expect((await client.put(keyPath(store, 'l'), 'x')).headers['statestore-expires-at']).toBeUndefined();
    });

    test('a quota of entries holds over all partitions, to the last one', async () => {
      const client = clientOf();
      const store = newStore();
      await put(store, { quotaEntries: 23 });
      for (let i = 0; i < 23; i++) expect((await client.put(keyPath(store, `k${i}`), 'x')).status).toBe(201);
      const refused = await client.put(keyPath(store, 'one-more'), 'x');
      expect([refused.status, refused.json.code]).toEqual([507, 'quota_exceeded']);
      expect((await client.put(keyPath(store, 'k3'), 'another')).status).toBe(200);
      await client.delete(keyPath(store, 'k3'));
      expect((await client.put(keyPath(store, 'one-more'), 'x')).status).toBe(201);
      expect((await client.get(`/v1/stores/${store}`)).json.entries).toBe(23);
    });

    test('a quota of bytes may be used up by one partition', async () => {
      const client = clientOf();
      const store = newStore();
      await put(store, { quotaBytes: 10_000 });
      expect((await client.put(keyPath(store, 'k'), Buffer.alloc(9999))).status).toBe(201);
      expect((await client.put(keyPath(store, 'l'), 'x')).status).toBe(507);
      expect((await client.put(keyPath(store, 'k'), 'x')).status).toBe(200);
      expect((await client.put(keyPath(store, 'l'), 'x')).status).toBe(201);
    });

    test('exactly the quota of many writers get in, by single calls and by batches', async () => {
      const client = clientOf();
      const store = newStore();
      await put(store, { quotaEntries: 40 });
      const singles = await Promise.all(Array.from({ length: 60 }, (_, i) => client.put(keyPath(store, `k${i}`), 'x')));
      expect(singles.filter(({ status }) => status === 201).length).toBe(40);
      expect(new Set(singles.map(({ status }) => status))).toEqual(new Set([201, 507]));
      await put(store, { quotaEntries: 50 });
      const { json } = await client.post(`/v1/stores/${store}/batch`, {
        operations: Array.from({ length: 40 }, (_, i) => ({ op: 'put', key: `b${i}`, value: 'x' })),
      });
      expect(json.counts).toMatchObject({ put: 10, failed: 30 });
      expect((await client.get(`/v1/stores/${store}`)).json.entries).toBe(50);
    });

    test('a quota below what is there refuses what is new, and keeps what is there', async () => {
      const client = clientOf();
      const store = newStore();
      for (let i = 0; i < 20; i++) await client.put(keyPath(store, `k${i}`), 'x');
      await put(store, { quotaEntries: 5 });
      expect((await client.put(keyPath(store, 'new'), 'x')).status).toBe(507);
      expect((await client.put(keyPath(store, 'k1'), 'other')).status).toBe(200);
      expect((await client.get(`/v1/stores/${store}`)).json.entries).toBe(20);
      const transaction = await client.post(`/v1/stores/${store}/transactions`, {
        operations: [
          { op: 'delete', key: '{k1}' },
          { op: 'put', key: '{k1}x', value: '1' },
        ],
      });
      expect(transaction.json).toMatchObject({ status: 507, code: 'quota_exceeded', failedIndex: 1 });
    });
  });
}
