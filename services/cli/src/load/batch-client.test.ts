import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { BatchOperation } from './batch-client.ts';
import { BatchClient } from './batch-client.ts';
import { Totals } from './totals.ts';

let server: Server | undefined;
afterEach(async () => {
  await new Promise((resolve) => {
    if (server === undefined) resolve(undefined);
    else server.close(resolve);
  });
});

type Reply = { readonly status: number; readonly body: unknown } | 'cut';

/** A server that answers call after call with what `reply` says. */
async function serve(reply: (call: number, operations: BatchOperation[]) => Reply): Promise<string> {
  let calls = 0;
  server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => (text += part));
    request.on('end', () => {
      const answer = reply(calls++, (JSON.parse(text) as { operations: BatchOperation[] }).operations);
      if (answer === 'cut') {
        request.socket.destroy();
        return;
      }
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
    });
  });
  await new Promise((resolve) => server!.listen(0, '127.0.0.1', () => resolve(undefined)));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const gets = (...keys: string[]): BatchOperation[] => keys.map((key) => ({ op: 'get', key }));
const ok = (operations: readonly BatchOperation[]): Reply => ({
  status: 200,
  body: { results: operations.map(({ key }) => ({ status: 200, value: key, encoding: 'utf8' })) },
});

test('a cut connection, a refused call and refused single operations are tried again', async () => {
  const asked: string[][] = [];
  const url = await serve((call, operations) => {
    asked.push(operations.map(({ key }) => key));
    if (call === 0) return 'cut';
    if (call === 1) return { status: 503, body: { code: 'overloaded' } };
    if (call > 2) return ok(operations);
    const results = [
      { status: 200, value: 'a' },
      { status: 503, error: { code: 'overloaded' } },
      { status: 404, code: 'not_found' },
    ];
    return { status: 200, body: { results } };
  });
  const totals = new Totals();
  const client = new BatchClient({ url, store: 's', concurrency: 1, retryForMs: 10_000 }, totals);
  const results = await client.call(gets('a', 'b', 'c'));
  await client.close();
  expect(asked).toEqual([['a', 'b', 'c'], ['a', 'b', 'c'], ['a', 'b', 'c'], ['b']]);
  expect(results.map(({ status, value }) => [status, value])).toEqual([
    [200, 'a'],
    [200, 'b'],
    [404, undefined],
  ]);
  expect(totals.retries).toBe(3);
});

test('what cannot succeed is not tried again, and trying has an end', async () => {
  const url = await serve((_, operations) =>
    operations[0]!.key === 'bad'
      ? { status: 400, body: { code: 'invalid_key' } }
      : { status: 503, body: { code: 'unavailable' } },
  );
  const totals = new Totals();
  const client = new BatchClient({ url, store: 's', concurrency: 1, retryForMs: 50 }, totals);
  expect(await client.call(gets('bad'))).toMatchObject([{ status: 400, code: 'invalid_key' }]);
  expect(totals.retries).toBe(0);
  expect(await client.call(gets('later'))).toMatchObject([{ status: 503, code: 'unavailable' }]);
  expect(totals.retries).toBeGreaterThan(0);
  await client.close();
});
