// Consistency over HTTP: how reads are asked for, and the session token that answers carry.
import { describe, expect, test } from 'vitest';
import { keyPath, newStore, type Answer } from './http-client.ts';
import type { ClientOf } from './http-contract.ts';

const header = 'statestore-session';

/** Positions by partition. */
function positionsOf({ headers }: Answer): Map<string, number> {
  const token = headers[header];
  expect(token).toMatch(/^1\.[0-9a-z]+-[0-9a-z]+(_[0-9a-z]+-[0-9a-z]+)*$/);
  const pairs = String(token).slice(2).split('_');
  return new Map(pairs.map((pair) => [pair.split('-')[0]!, Number.parseInt(pair.split('-')[1]!, 36)]));
}

const json = { 'content-type': 'application/json' };

export function sessionsContract(clientOf: ClientOf): void {
  describe('session tokens', () => {
    test('every answer about an entry has one, whatever it says', async () => {
      const client = clientOf();
      const store = newStore();
      const path = keyPath(store, 'k');
      const number = keyPath(store, '{k}n');
      const merge = { headers: { 'content-type': 'application/merge-patch+json' }, body: '{"a":1}' };
      const answers = [
        await client.get(path),
        await client.call('HEAD', path),
        await client.put(path, '{}'),
        await client.get(path),
        await client.call('HEAD', path),
        await client.get(path, { 'if-none-match': '*' }),
        await client.get(path, { 'if-match': '"999999999"' }),
        await client.put(path, '{}', { 'if-none-match': '*' }),
        await client.call('PATCH', path, merge),
        await client.post(`${path}/append`),
        await client.post(`${path}/touch?ttl=1h`),
        await client.post(`${path}/increment`),
        await client.delete(path),
        await client.post(`${number}/increment`),
      ];
      expect(answers.map(({ status }) => status)).toEqual([
        404, 404, 201, 200, 200, 304, 412, 412, 200, 200, 200, 409, 200, 201,
      ]);
      for (const answer of answers) expect(positionsOf(answer).size).toBe(1);
    });

    test('a write raises the position of its partition; a read tells of it', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      const [[partition, before]] = [...positionsOf(await client.get(path))] as [[string, number]];
      const written = positionsOf(await client.put(path, 'x')).get(partition)!;
      expect(written).toBeGreaterThan(before);
      const read = positionsOf(await client.get(path)).get(partition)!;
      expect(read).toBeGreaterThanOrEqual(written);
    });

    test('what comes in is kept, and raised by what the request saw', async () => {
      const client = clientOf();
      const store = newStore();
      const first = await client.put(keyPath(store, 'k'), 'x');
      const here = [...positionsOf(first).keys()][0]!;
      const other = ['0', '1', '2', '3'].find((partition) => partition !== here)!;
      const sent = `1.${here}-1_${other}-0`;
      const read = await client.get(keyPath(store, 'k'), { [header]: sent });
      expect(read.text).toBe('x');
      const merged = positionsOf(read);
      expect([merged.size, merged.get(other)]).toEqual([2, 0]);
      expect(merged.get(here)).toBeGreaterThanOrEqual(positionsOf(first).get(here)!);
      // Nothing older comes back than was sent, and no longer text either.
      const token = String(read.headers[header]);
      expect((await client.get(keyPath(store, 'k'), { [header]: token })).headers[header]).toBe(token);
      // Of requests at the same time.
      const joined = await client.get(keyPath(store, 'k'), { [header]: `1.${other}-0, ${token} ,1.${here}-0` });
      expect(positionsOf(joined)).toEqual(merged);
      // A refusal keeps it as well.
      const refused = await client.put(keyPath(store, ''), 'x', { [header]: token });
      expect([refused.status, refused.headers[header] ?? token]).toEqual([400, token]);
    });

    test('calls on many keys tell of every partition that they touched', async () => {
      const client = clientOf();
      const store = newStore();
      const keys = Array.from({ length: 64 }, (_, i) => `k${i}`);
      const batch = (operations: object[]): Promise<Answer> =>
        client.post(`/v1/stores/${store}/batch`, { operations }, json);
      const written = positionsOf(await batch(keys.map((key) => ({ op: 'put', key, value: 'x' }))));
      const read = positionsOf(await batch(keys.map((key) => ({ op: 'get', key }))));
      const listed = positionsOf(await client.get(`/v1/stores/${store}/keys`));
      const lines = await client.get(`/v1/stores/${store}/keys`, { accept: 'application/x-ndjson' });
      const cleared = positionsOf(await client.delete(`/v1/stores/${store}`));
      expect(written.size).toBe(4);
      for (const seen of [read, listed, positionsOf(lines), cleared]) {
        expect([...seen.keys()].toSorted()).toEqual([...written.keys()].toSorted());
        for (const [partition, position] of written) expect(seen.get(partition)).toBeGreaterThanOrEqual(position);
      }
    });

    test('a transaction has one, done or refused', async () => {
      const client = clientOf();
      const transact = (ifMatch: string): Promise<Answer> =>
        client.post(
          `/v1/stores/${newStore()}/transactions`,
          { checks: [{ key: 'a', ifMatch }], operations: [{ op: 'delete', key: 'a' }] },
          json,
        );
      const refused = await transact('*');
      expect([refused.status, positionsOf(refused).size]).toEqual([412, 1]);
      const operations = [{ op: 'put', key: 'a', value: 'x' }];
      const done = await client.post(`/v1/stores/${newStore()}/transactions`, { operations }, json);
      expect([done.status, positionsOf(done).size]).toEqual([200, 1]);
    });

    test('a session that spans too much is one that sees everything', async () => {
      const client = clientOf();
      const path = keyPath(newStore(), 'k');
      const written = await client.put(path, 'x', { [header]: '1.~' });
      expect(written.headers[header]).toBe('1.~');
      const read = await client.get(path, { [header]: '1.~' });
      expect([read.text, read.headers[header]]).toEqual(['x', '1.~']);
    });

    test.each([
      ['text of another kind', 'hello'],
      ['another version', '2.0-1'],
      ['no partition', '1.'],
      ['no position', '1.0-'],
      ['an end that is open', '1.0-1_'],
      ['capitals', '1.0-A'],
      ['leading zeros', '1.0-01'],
      ['a position past 64 bits', '1.0-3w5e11264sgsg'],
      ['too long a position', `1.0-${'z'.repeat(14)}`],
      ['more than fits', `1.${Array.from({ length: 1000 }, (_, i) => `${i.toString(36)}-zzzzzz`).join('_')}`],
      ['one of several', '1.0-1, nothing'],
      ['a comma too many', '1.0-1,'],
    ])('is refused, and nothing done: %s', async (_name, token) => {
      const client = clientOf();
      const store = newStore();
      const path = keyPath(store, 'k');
      const headers = { [header]: token };
      const answers = [
        await client.put(path, 'x', headers),
        await client.get(path, headers),
        await client.get(`${path}?consistency=strong`, headers),
        await client.delete(path, headers),
        await client.post(`${path}/increment`, undefined, headers),
        await client.get(`/v1/stores/${store}/keys`, headers),
        await client.post(`/v1/stores/${store}/batch`, { operations: [{ op: 'put', key: 'k', value: 'x' }] }, headers),
        await client.post(
          `/v1/stores/${store}/transactions`,
          { operations: [{ op: 'put', key: 'k', value: 'x' }] },
          headers,
        ),
        await client.delete(`/v1/stores/${store}`, headers),
      ];
      for (const { status, json: problem } of answers) {
        expect(status).toBe(400);
        expect(problem).toMatchObject({ code: 'invalid_parameter', parameter: 'StateStore-Session' });
      }
      expect((await client.get(path)).status).toBe(404);
    });

    test('of a partition that is not known: session reads are refused for now, the rest passes it on', async () => {
      const client = clientOf();
      const store = newStore();
      const path = keyPath(store, 'k');
      const headers = { [header]: '1.zz-5' };
      const written = await client.put(path, 'x', headers);
      expect(positionsOf(written).get('zz')).toBe(5);
      for (const refused of [await client.get(path, headers), await client.get(`/v1/stores/${store}/keys`, headers)]) {
        expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1']);
        expect(refused.json).toMatchObject({ code: 'unavailable', retryable: true, parameter: 'StateStore-Session' });
      }
      for (const consistency of ['strong', 'eventual']) {
        const read = await client.get(`${path}?consistency=${consistency}`, headers);
        expect([read.text, positionsOf(read).get('zz')]).toEqual(['x', 5]);
      }
    });
  });

  describe('reads that say how old they may be', () => {
    const ways = (store: string, query: string): Promise<Answer>[] => [
      clientOf().get(`${keyPath(store, 'k')}?${query}`),
      clientOf().get(`/v1/stores/${store}/keys?${query}`),
      clientOf().post(`/v1/stores/${store}/batch?${query}`, { operations: [{ op: 'get', key: 'k' }] }, json),
    ];

    test.each(['1', '250', '3600000'])('%s ms: what is acknowledged is there', async (maxLagMs) => {
      const store = newStore();
      await clientOf().put(keyPath(store, 'k'), 'x');
      const [entry, list, batch] = await Promise.all(ways(store, `consistency=eventual&maxLagMs=${maxLagMs}`));
      expect([entry!.text, list!.json.entries.length, batch!.json.counts.got]).toEqual(['x', 1, 1]);
    });

    test.each([
      'consistency=eventual&maxLagMs=0',
      'consistency=eventual&maxLagMs=-1',
      'consistency=eventual&maxLagMs=1.5',
      'consistency=eventual&maxLagMs=',
      'consistency=eventual&maxLagMs=1s',
      'consistency=eventual&maxLagMs=3600001',
      'consistency=eventual&maxLagMs=5&maxLagMs=5',
      'consistency=strong&maxLagMs=5',
      'consistency=session&maxLagMs=5',
      'maxLagMs=5',
    ])('is refused: %s', async (query) => {
      for (const { status, json: problem } of await Promise.all(ways(newStore(), query))) {
        expect(status).toBe(400);
        expect(problem).toMatchObject({ code: 'invalid_parameter', parameter: 'maxLagMs' });
      }
    });
  });
}
