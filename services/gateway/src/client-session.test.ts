// Session tokens: what they ask of reads, how they grow, and that their text says what it means.
import { limits, StateStoreError } from '@statestore/core';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ClientSession, TokenTexts } from './client-session.ts';
import { sessionRead } from './query.ts';
import { parseSessionToken, placeOf, tokenOf } from './session-token.ts';
import { startGateway, type Started } from './testing/start.ts';

const position = fc.oneof(fc.bigInt({ min: 0n, max: 100n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
const partition = fc.integer({ min: 0, max: 15 });
const seen = fc.array(fc.tuple(partition, position), { maxLength: 12 });

function tokenAfter(given: string | undefined, positions: readonly (readonly [number, bigint])[]): string | undefined {
  const token = given === undefined ? undefined : parseSessionToken(given);
  const session = new ClientSession(new TokenTexts(), sessionRead, token);
  for (const [of, at] of positions) session.saw(of, { position: at });
  return session.token;
}

function read(token: string | undefined): Map<number, bigint> {
  if (token === undefined) return new Map();
  return new Map([...parseSessionToken(token).positions].map(([of, at]) => [of, placeOf(at).position]));
}

describe('a token', () => {
  test('says the greatest position of each partition, whatever was seen in which order', () => {
    fc.assert(
      fc.property(fc.array(seen, { maxLength: 4 }), (requests) => {
        let token: string | undefined;
        const expected = new Map<number, bigint>();
        for (const positions of requests) {
          token = tokenAfter(token, positions);
          for (const [of, at] of positions) if (at >= (expected.get(of) ?? 0n)) expected.set(of, at);
          expect(read(token)).toEqual(expected);
        }
      }),
    );
  });

  test('several of them are as one', () => {
    fc.assert(
      fc.property(
        fc.array(
          seen.filter(({ length }) => length > 0),
          { minLength: 1, maxLength: 4 },
        ),
        (requests) => {
          const header = requests.map((positions) => tokenAfter(undefined, positions)).join(', ');
          expect(read(parseSessionToken(header).text)).toEqual(read(tokenAfter(undefined, requests.flat())));
        },
      ),
    );
  });

  test('of a later log counts for more than any of an earlier one', () => {
    const told = (text: string | undefined, position: bigint, generation?: number): string | undefined => {
      const session = new ClientSession(
        new TokenTexts(),
        sessionRead,
        text === undefined ? text : parseSessionToken(text),
      );
      session.saw(3, { position, generation });
      return session.token;
    };
    expect(told(undefined, 40n, 1)).toBe('1.3-14');
    expect(told('1.3-14', 9n, 2)).toBe('1.3-9-2');
    expect(told('1.3-9-2', 40n, 1)).toBe('1.3-9-2');
    expect(told('1.3-9-2', 10n, 2)).toBe('1.3-a-2');
    const reading = new ClientSession(new TokenTexts(), sessionRead, parseSessionToken('1.3-9-2, 1.3-zz')).reading(3);
    expect(reading).toEqual({ consistency: 'session', atLeast: 9n, generation: 2 });
    for (const text of ['1.3-9-1', '1.3-9-0', '1.3-9-', '1.3-9-02'])
      expect(() => parseSessionToken(text)).toThrow(StateStoreError);
  });

  test('is the very text that came in where nothing is newer', () => {
    fc.assert(
      fc.property(
        seen.filter(({ length }) => length > 0),
        (positions) => {
          const token = tokenAfter(undefined, positions)!;
          const text = parseSessionToken(token).text;
          expect(text).toBe(token);
          expect(tokenAfter(token, positions)).toBe(token);
          expect(tokenAfter(token, [])).toBe(token);
        },
      ),
    );
  });

  test('of too many partitions stands for all of them, for good', () => {
    const many = Array.from({ length: 900 }, (_, i) => [i, 10n ** 9n] as const);
    expect(tokenAfter(undefined, many)).toBe('1.~');
    expect(tokenAfter('1.~', [[1, 5n]])).toBe('1.~');
    expect(parseSessionToken('1.0-5, 1.~').all).toBe(true);
    const most = tokenOf(new Map(Array.from({ length: 400 }, (_, i) => [i, 'zzzzzz'])));
    expect(most.all).toBe(false);
    expect(most.text.length).toBeLessThanOrEqual(limits.sessionTokenCharsMax);
    expect(parseSessionToken(most.text).positions).toEqual(most.positions);
  });

  test('is nothing where nothing was told of', () => {
    expect(tokenAfter(undefined, [])).toBeUndefined();
  });

  test.each([
    '',
    '1',
    '1.',
    '1.0',
    '1.-1',
    '1.0-1_',
    '1.00-1',
    '1.0-1 ',
    '1.~_0-1',
    '1.0-3w5e11264sgsg',
    'x'.repeat(5000),
  ])('is refused: %j', (text) => {
    // Blanks around it are HTTP's.
    if (text === '1.0-1 ') return expect(parseSessionToken(text).text).toBe('1.0-1');
    expect(() => parseSessionToken(text)).toThrow(StateStoreError);
  });
});

describe('a gateway', () => {
  let it: Started;
  beforeEach(async () => {
    it = await startGateway({}, 2);
  });
  afterEach(() => it.gateway.close());

  const store = '/v1/stores/s';
  const ask = (url: string, token?: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${it.baseUrl}${url}`, { ...init, headers: token === undefined ? {} : { 'StateStore-Session': token } });
  const partitionOf = async (key: string): Promise<number> => {
    const [found] = read((await ask(`${store}/keys/${key}`)).headers.get('statestore-session') ?? undefined).keys();
    it.node.reads.length = 0;
    return found!;
  };

  test('asks a session read for the position of the partition that it reads, and no other for any', async () => {
    const here = await partitionOf('k');
    const token = here === 0 ? '1.0-7_1-9' : '1.0-9_1-7';
    await ask(`${store}/keys/k`, token);
    await ask(`${store}/keys/k?consistency=session`, token);
    await ask(`${store}/keys/k?consistency=strong`, token);
    await ask(`${store}/keys/k?consistency=eventual`, token);
    await ask(`${store}/keys/k?consistency=eventual&maxLagMs=20`, token);
    await ask(`${store}/keys/k`);
    await ask(`${store}/keys/k`, `1.${1 - here}-5`);
    await ask(`${store}/keys/k`, '1.~');
    expect(it.node.reads).toEqual([
      { consistency: 'session', atLeast: 7n },
      { consistency: 'session', atLeast: 7n },
      { consistency: 'strong' },
      { consistency: 'eventual' },
      { consistency: 'eventual', maxLagMs: 20 },
      { consistency: 'session' },
      { consistency: 'session' },
      { consistency: 'strong' },
    ]);
  });

  test('asks each partition for its own in listings and batches', async () => {
    const token = '1.0-7_1-9';
    const both = [
      { consistency: 'session', atLeast: 7n },
      { consistency: 'session', atLeast: 9n },
    ];
    const inOrder = (): unknown[] => it.node.reads.splice(0).toSorted((a, b) => Number(a.atLeast! - b.atLeast!));
    await ask(`${store}/keys`, token);
    expect(inOrder()).toEqual(both);
    const operations = Array.from({ length: 20 }, (_, i) => ({ op: 'get', key: `k${i}` }));
    await fetch(`${it.baseUrl}${store}/batch`, {
      method: 'POST',
      headers: { 'StateStore-Session': token, 'content-type': 'application/json' },
      body: JSON.stringify({ operations }),
    });
    expect(inOrder()).toEqual(both);
  });

  test('reads the value of a change where the change is', async () => {
    const here = await partitionOf('k');
    const gone = new AbortController();
    const events = await fetch(`${it.baseUrl}${store}/watch?values=true`, { signal: gone.signal });
    const reader = events.body!.getReader();
    const written = await ask(`${store}/keys/k`, undefined, { method: 'PUT', body: 'x' });
    let text = '';
    while (!text.includes('event: put')) text += Buffer.from((await reader.read()).value).toString();
    gone.abort();
    expect(text).toContain('"value":"x"');
    const atLeast = read(written.headers.get('statestore-session') ?? undefined).get(here)!;
    expect(it.node.reads.filter((asked) => asked.atLeast !== undefined)).toEqual([{ consistency: 'session', atLeast }]);
  });

  test('tells of what a write came to also where that was a refusal, and of nothing where nobody was asked', async () => {
    const first = await ask(`${store}/keys/k`, undefined, { method: 'PUT', body: 'x' });
    it.node.fault = () => ({ before: new StateStoreError('overloaded', 'the test says so') });
    const refused = await ask(`${store}/keys/k`, undefined, { method: 'PUT', body: 'y' });
    expect([refused.status, refused.headers.get('statestore-session')]).toEqual([503, null]);
    const token = first.headers.get('statestore-session')!;
    const again = await ask(`${store}/keys/k`, token, { method: 'PUT', body: 'y' });
    expect([again.status, again.headers.get('statestore-session')]).toEqual([503, token]);
  });
});
