// The service itself over HTTP: what it says of itself, probes, metrics, OpenAPI.
import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, test } from 'vitest';
import { keyPath, newStore } from './http-client.ts';
import type { ClientOf } from './http-contract.ts';

export function serviceContract(clientOf: ClientOf): void {
  describe('service', () => {
    test('says what it is and can do', async () => {
      const { json } = await clientOf().get('/v1');
      expect(json).toMatchObject({
        name: 'statestore',
        apiVersion: 'v1',
        limits: { keyBytes: 1024, valueBytes: 1_048_576 },
      });
      expect(json.capabilities).toContain('transactions-in-slot');
    });

    test('statistics count operations, hits and misses', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      const before = (await client.get('/v1/stats')).json;
      await client.put(path, 'x');
      await client.get(path);
      await client.get(keyPath(newStore(), 'none'));
      const after = (await client.get('/v1/stats')).json;
      expect([after.hits - before.hits, after.misses - before.misses, after.entries - before.entries]).toEqual([
        1, 1, 1,
      ]);
      expect(after.requests.get.ok - before.requests.get.ok).toBe(1);
      expect(after.requests.get.miss - before.requests.get.miss).toBe(1);
      expect(after.partitions.every(({ state }: { state: string }) => state === 'running')).toBe(true);
    });

    test('sync, compact and topology speak of every partition', async () => {
      const client = clientOf();
      const { partitions, epoch } = (await client.get('/v1/topology')).json;
      expect(Number(epoch)).toBeGreaterThan(0);
      expect((await client.post('/v1/sync')).json).toEqual({ partitions: partitions.length });
      expect((await client.post('/v1/compact')).json.partitions.length).toBe(partitions.length);
      expect((await client.post('/v1/compact?partition=0')).json.partitions).toMatchObject([{ partition: 0 }]);
    });

    test('is alive and ready', async () => {
      expect((await clientOf().get('/healthz')).json).toEqual({ status: 'ok' });
      expect((await clientOf().get('/readyz')).json).toEqual({ status: 'ready' });
    });

    test('metrics have the names that dashboards use', async () => {
      const client = clientOf();
      await client.put(keyPath(newStore(), 'k'), 'x');
      const { text, headers } = await client.get('/metrics');
      expect(headers['content-type']).toContain('text/plain');
      expect(text).toMatch(/^state_operations_total\{operation="put",backend="(lmdb|memory)",outcome="ok"\} [1-9]/m);
      expect(text).toMatch(/^state_operation_duration_seconds_bucket\{operation="put",le="\+Inf"\} [1-9]/m);
      for (const name of [
        'state_keys_total',
        'state_size_bytes',
        'state_hits_total',
        'state_misses_total',
        'state_applied_position',
      ]) {
        expect(text).toMatch(new RegExp(`^${name}(\\{[^}]*\\})? \\d`, 'm'));
      }
    });

    test('OpenAPI is valid, and has every operation with its problems', async () => {
      const client = clientOf();
      const { json: document } = await client.get('/openapi.json');
      const { valid, errors } = await new Validator().validate(structuredClone(document));
      expect(errors).toBeUndefined();
      expect(valid).toBe(true);
      const operations = Object.entries<Record<string, { operationId?: string; responses: object; summary?: string }>>(
        document.paths,
      ).flatMap(([path, item]) =>
        Object.entries(item).map(([method, operation]) => ({ name: `${method} ${path}`, ...operation })),
      );
      expect(operations.map(({ name }) => name).toSorted()).toEqual(published.toSorted());
      const ids = operations.map(({ operationId }) => operationId);
      expect(ids).not.toContain(undefined);
      expect(new Set(ids).size).toBe(ids.length);
      for (const { name, responses, summary } of operations) {
        expect([name, summary !== undefined]).toEqual([name, true]);
        if (!name.includes('healthz')) expect(JSON.stringify(responses)).toContain('application/problem+json');
      }
      const put = document.paths['/v1/stores/{store}/keys/{key}'].put;
      expect(
        put.parameters.map(({ in: where, name }: { in: string; name: string }) => `${where} ${name}`).toSorted(),
      ).toEqual([
        'header Idempotency-Key',
        'header If-Match',
        'header If-None-Match',
        'header StateStore-Session',
        'path key',
        'path store',
        'query ttl',
      ]);
      expect(Object.keys(put.responses)).toEqual(
        expect.arrayContaining(['200', '201', '400', '412', '413', '422', '503', '504', '507']),
      );
    });

    test('the page of it needs nothing from elsewhere', async () => {
      const client = clientOf();
      const page = await client.get('/docs');
      expect(page.status).toBe(200);
      expect(page.text).not.toMatch(/(src|href)="https?:/);
    });
  });
}

const key = '/v1/stores/{store}/keys/{key}';
/** Every route of the gateway; one that is added and not described fails here. */
const published = [
  `get ${key}`,
  `head ${key}`,
  `put ${key}`,
  `delete ${key}`,
  `patch ${key}`,
  `post ${key}/increment`,
  `post ${key}/append`,
  `post ${key}/touch`,
  'get /v1/stores/{store}/keys',
  'post /v1/stores/{store}/batch',
  'post /v1/stores/{store}/transactions',
  'get /v1/stores/{store}/watch',
  'get /v1/stores',
  'get /v1/stores/{store}',
  'delete /v1/stores/{store}',
  'post /v1/stores/{store}/cleanup',
  'get /v1/stores/{store}/settings',
  'put /v1/stores/{store}/settings',
  'delete /v1/stores/{store}/settings',
  'post /v1/sync',
  'post /v1/compact',
  'post /v1/cleanup',
  'get /v1/stats',
  'get /v1/topology',
  'get /v1/partitions',
  'get /v1/partitions/resize',
  'put /v1/partitions/resize',
  'post /v1/partitions/resize/pause',
  'post /v1/partitions/resize/resume',
  'post /v1/partitions/resize/cancel',
  'get /v1/checkpoints',
  'post /v1/checkpoints',
  'get /v1/checkpoints/{id}',
  'get /v1',
  'get /healthz',
  'get /readyz',
  'get /metrics',
];
