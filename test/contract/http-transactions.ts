// Transactions over HTTP.
import { describe, expect, test } from 'vitest';
import { keyPath, newStore, stateOf } from './http-client.ts';
import type { ClientOf } from './http-contract.ts';

export function transactionsContract(clientOf: ClientOf): void {
  describe('transaction', () => {
    test('all operations, with a result each', async () => {
      const client = clientOf();
      const store = newStore();
      const path = `/v1/stores/${store}/transactions`;
      const etag = (await client.put(keyPath(store, '{c}state'), 'open')).headers.etag;
      const { status, json } = await client.post(path, {
        checks: [
          { key: '{c}state', ifMatch: etag },
          { key: '{c}none', ifNoneMatch: '*' },
        ],
        operations: [
          { op: 'put', key: '{c}items', value: '["tea"]', contentType: 'application/json' },
          { op: 'increment', key: '{c}total', delta: '5' },
          { op: 'append', key: '{c}log', value: 'x' },
          { op: 'mergePatch', key: '{c}doc', patch: { a: { b: 1 } } },
          { op: 'touch', key: '{c}state', ttl: '1h' },
          { op: 'delete', key: '{c}gone' },
        ],
      });
      expect(status).toBe(200);
      expect(json.results).toMatchObject([
        { op: 'put', existed: false, size: 7 },
        { op: 'increment', value: 5, valueText: '5' },
        { op: 'append', size: 1 },
        { op: 'mergePatch' },
        { op: 'touch', existed: true },
        { op: 'delete', existed: false },
      ]);
      expect(JSON.parse((await client.get(keyPath(store, '{c}doc'))).text)).toEqual({ a: { b: 1 } });
    });

    test('or none: a failed check, condition or operation undoes everything and is named', async () => {
      const client = clientOf();
      const store = newStore();
      await client.put(keyPath(store, '{c}text'), 'abc');
      const before = await stateOf(client);
      const attempts: [object, number, string, number][] = [
        [
          {
            checks: [
              { key: '{c}text', ifMatch: '*' },
              { key: '{c}none', ifMatch: '*' },
            ],
            operations: [{ op: 'put', key: '{c}a', value: '1' }],
          },
          412,
          'precondition_failed',
          1,
        ],
        [
          {
            operations: [
              { op: 'put', key: '{c}a', value: '1' },
              { op: 'put', key: '{c}text', value: '1', ifNoneMatch: '*' },
            ],
          },
          412,
          'precondition_failed',
          1,
        ],
        [
          {
            checks: [{ key: '{c}text', ifMatch: '*' }],
            operations: [
              { op: 'put', key: '{c}a', value: '1' },
              { op: 'increment', key: '{c}text' },
            ],
          },
          409,
          'not_a_number',
          2,
        ],
        [{ operations: [{ op: 'increment', key: '{c}n', delta: 5, max: 4 }] }, 409, 'out_of_bounds', 0],
        [{ operations: [{ op: 'touch', key: '{c}none', ttl: '1s' }] }, 404, 'not_found', 0],
      ];
      for (const [body, status, code, failedIndex] of attempts) {
        expect((await client.post(`/v1/stores/${store}/transactions`, body)).json).toMatchObject({
          status,
          code,
          failedIndex,
        });
      }
      expect(await stateOf(client)).toEqual(before);
    });

    test('a failed check says nothing of the entry that is not so', async () => {
      const client = clientOf();
      const store = newStore();
      await client.put(keyPath(store, '{c}there'), 'abc');
      const { json } = await client.post(`/v1/stores/${store}/transactions`, {
        checks: [{ key: '{c}there', ifNoneMatch: '*' }],
        operations: [{ op: 'put', key: '{c}a', value: '1' }],
      });
      expect(json).toMatchObject({ status: 412, code: 'precondition_failed', failedIndex: 0, failedKey: '{c}there' });
      expect(json.detail).toContain('the check of "{c}there" does not hold');
      expect(json).not.toHaveProperty('currentEtag');
    });

    test('an Idempotency-Key used again blames none of the operations', async () => {
      const client = clientOf();
      const path = `/v1/stores/${newStore()}/transactions`;
      const headers = { 'idempotency-key': 'once' };
      const body = (delta: number) => ({ operations: [{ op: 'increment', key: 'n', delta }] });
      expect((await client.post(path, body(1), headers)).status).toBe(200);
      const { json } = await client.post(path, body(2), headers);
      expect(json).toMatchObject({ status: 422, code: 'idempotency_key_reused' });
      expect(json).not.toHaveProperty('failedIndex');
    });

    test('keys of different slots are refused, two of them named', async () => {
      const client = clientOf();
      const store = newStore();
      const before = await stateOf(client);
      const { json } = await client.post(`/v1/stores/${store}/transactions`, {
        operations: ['a', 'b', 'c', 'd'].map((key) => ({ op: 'put', key, value: '1' })),
      });
      expect(json).toMatchObject({ status: 422, code: 'cross_slot_transaction', keys: ['a', 'b'] });
      expect(await stateOf(client)).toEqual(before);
    });

    test('under concurrency no increment is lost and none is done twice', async () => {
      const client = clientOf();
      const store = newStore();
      const once = (i: number) =>
        client.post(
          `/v1/stores/${store}/transactions`,
          {
            operations: [
              { op: 'increment', key: '{n}a' },
              { op: 'increment', key: '{n}b', delta: -1 },
            ],
          },
          { 'idempotency-key': `t${i}` },
        );
      const calls = Array.from({ length: 60 }, (_, i) => [once(i), once(i)]).flat();
      for (const { status } of await Promise.all(calls)) expect(status).toBe(200);
      expect([
        (await client.get(keyPath(store, '{n}a'))).text,
        (await client.get(keyPath(store, '{n}b'))).text,
      ]).toEqual(['60', '-60']);
    });
  });
}
