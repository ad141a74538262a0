// What clients see while nodes fail, move or forget: refusals that changed nothing, retries that take
// effect once, and outcomes that are not known and say so.
import { commandResult, StateStoreError, type ErrorCode } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startGateway, type Started } from './testing/start.ts';

const path = '/v1/stores/s/keys/k';
const proposeMs = 200;
let it: Started;

beforeEach(async () => {
  it = await startGateway({ timeouts: { proposeMs, quotaSettleMs: 2 } });
});
afterEach(() => it.gateway.close());

const call = (method: string, url: string, body?: string, headers: Record<string, string> = {}) =>
  fetch(`${it.baseUrl}${url}`, { method, headers, ...(body === undefined ? {} : { body }) });
const text = async (url: string) => (await call('GET', url)).text();
const fails = (code: ErrorCode) =>
  new StateStoreError(code, `the test says ${code}`, code === 'overloaded' ? { retryAfterMs: 2500 } : {});

describe('writes', () => {
  test.each(['moved', 'unavailable'] as const)(
    'are tried again within the gateway while a partition is %s',
    async (code) => {
      let left = 3;
      it.node.fault = () => (left-- > 0 ? { before: fails(code) } : undefined);
      expect((await call('PUT', path, 'x')).status).toBe(201);
      expect(left).toBeLessThan(0);
      expect(await text(path)).toBe('x');
    },
  );

  test('are refused in the end, and nothing was changed', async () => {
    it.node.fault = () => ({ before: fails('unavailable') });
    const answer = await call('PUT', path, 'x');
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await answer.json()).toMatchObject({ code: 'unavailable', retryable: true });
    it.node.fault = undefined;
    expect([it.node.proposed, (await call('GET', path)).status]).toEqual([0, 404]);
  });

  test('that are tried again have no new time limit each', async () => {
    const propose = it.node.propose.bind(it.node);
    let attempts = 0;
    it.node.propose = () => (attempts++ === 0 ? Promise.reject(fails('outcome_unknown')) : new Promise(() => {}));
    expect(await (await call('PUT', path, 'x')).json()).toMatchObject({ status: 504, code: 'outcome_unknown' });
    expect(attempts).toBe(2);
    it.node.propose = propose;
    expect((await call('PUT', path, 'x')).status).toBe(201);
  });

  test('under load are refused at once, with the time to wait', async () => {
    let attempts = 0;
    it.node.fault = () => {
      attempts++;
      return { before: fails('overloaded') };
    };
    const answer = await call('PUT', path, 'x');
    expect([answer.status, answer.headers.get('retry-after'), attempts]).toEqual([503, '3', 1]);
  });

  test('that took effect without an answer take effect once when they are tried again', async () => {
    let left = 2;
    const stamps = new Set<string>();
    it.node.fault = (_partition, { stamp }) => {
      stamps.add(JSON.stringify([stamp?.session, stamp?.counter]));
      return left-- > 0 ? { after: fails('outcome_unknown') } : undefined;
    };
    const answer = await call('POST', `${path}/increment`);
    expect(await answer.json()).toMatchObject({ value: 1 });
    expect([stamps.size, it.node.proposed, await text(path)]).toEqual([1, 3, '1']);
  });

  test('whose outcome stays unknown say so', async () => {
    it.node.fault = () => ({ after: fails('outcome_unknown') });
    const answer = await call('PUT', path, 'x');
    expect(answer.status).toBe(504);
    expect(await answer.json()).toMatchObject({ code: 'outcome_unknown', outcome: 'unknown', retryable: true });
  });

  test('that may have taken effect are never called refused', async () => {
    let attempt = 0;
    it.node.fault = () => (attempt++ === 0 ? { after: fails('outcome_unknown') } : { before: fails('overloaded') });
    expect(await (await call('PUT', path, 'x')).json()).toMatchObject({ status: 504, outcome: 'unknown' });
  });

  test.each(['overloaded', 'already_answered', 'session_expired'] as const)(
    'that may yet take effect are not called refused where the next attempt comes to %s',
    async (code) => {
      const propose = it.node.propose.bind(it.node);
      let attempt = 0;
      it.node.propose = async () => {
        if (attempt++ === 0) throw fails('outcome_unknown');
        return { ...commandResult(code), position: 1n };
      };
      expect(await (await call('PUT', path, 'x')).json()).toMatchObject({ status: 504, outcome: 'unknown' });
      it.node.propose = propose;
      expect((await call('PUT', path, 'x')).status).toBe(201);
    },
  );

  test('go on under another session when the partition has forgotten this one', async () => {
    expect((await call('PUT', path, '1')).status).toBe(201);
    it.node.aheadMs += 6 * 60_000;
    await call('POST', '/v1/cleanup');
    const sessions = new Set<string>();
    it.node.fault = (_partition, { stamp }) => {
      sessions.add(stamp?.session ?? '');
      return undefined;
    };
    expect((await call('PUT', path, '2')).status).toBe(200);
    expect(sessions.size).toBeGreaterThan(0);
    expect(await text(path)).toBe('2');
  });

  test('of a defect answer 500 without telling of it', async () => {
    it.node.fault = () => {
      throw new TypeError('secret of the inside');
    };
    const answer = await call('PUT', path, 'x');
    expect([answer.status, (await answer.text()).includes('secret')]).toEqual([500, false]);
  });
});

test('a batch tells for each part what became of it', async () => {
  it.node.fault = (partition) => (partition === 1 ? { before: fails('overloaded') } : undefined);
  const operations = Array.from({ length: 40 }, (_, i) => ({ op: 'put', key: `k${i}`, value: 'x' }));
  const answer = await call('POST', '/v1/stores/s/batch', JSON.stringify({ operations }), {
    'content-type': 'application/json',
  });
  const { results, counts } = (await answer.json()) as {
    results: { status: number; code?: string; retryable?: boolean }[];
    counts: { put: number; failed: number };
  };
  expect([answer.status, counts.put + counts.failed, counts.put > 0, counts.failed > 0]).toEqual([200, 40, true, true]);
  expect(
    results
      .filter(({ status }) => status === 503)
      .every(({ code, retryable }) => code === 'overloaded' && retryable === true),
  ).toBe(true);
});

test('a clear that only some partitions carried out is not called refused', async () => {
  await call('PUT', path, 'x');
  it.node.fault = (partition, { body }) =>
    body.kind === 'clear' && partition === 2 ? { before: fails('overloaded') } : undefined;
  expect(await (await call('DELETE', '/v1/stores/s')).json()).toMatchObject({ status: 504, code: 'outcome_unknown' });
  it.node.fault = (_partition, { body }) => (body.kind === 'clear' ? { before: fails('overloaded') } : undefined);
  expect(await (await call('DELETE', '/v1/stores/s')).json()).toMatchObject({ status: 503, code: 'overloaded' });
});

test('readyz names the partitions that do not run', async () => {
  it.node.states.set(2, { state: 'halted', reason: 'the log lost its end' });
  const answer = await call('GET', '/readyz');
  const problem = (await answer.json()) as { detail: string };
  expect([answer.status, problem.detail]).toEqual([503, expect.stringContaining('2 is halted (the log lost its end)')]);
  expect((await call('GET', '/healthz')).status).toBe(200);
});

describe('quota', () => {
  const put = (key: string) => call('PUT', `/v1/stores/q/keys/${key}`, 'x');
  const settings = (body: object) =>
    call('PUT', '/v1/stores/q/settings', JSON.stringify(body), { 'content-type': 'application/json' });
  const allowances = () => [0, 1, 2, 3].map((partition) => it.node.store(partition, 'q')?.allowanceEntries ?? 0);
  const sum = (parts: readonly number[]) => parts.reduce((total, part) => total + part, 0);

  test('allowances sum up to it, and follow the writes', async () => {
    await settings({ quotaEntries: 41 });
    expect(allowances().toSorted((a, b) => a - b)).toEqual([10, 10, 10, 11]);
    for (let i = 0; i < 41; i++) expect((await put(`k${i}`)).status).toBe(201);
    expect(sum(allowances())).toBe(41);
    expect((await put('more')).status).toBe(507);
  });

  test('what was taken and never given is given back', async () => {
    await settings({ quotaEntries: 8 });
    // Gives fail for a while, after takes have been carried out: what a crash in between leaves.
    let failing = true;
    it.node.fault = (_partition, { body }) =>
      failing && body.kind === 'adjustAllowance' && body.entries > 0 ? { before: fails('overloaded') } : undefined;
    const statuses: number[] = [];
    for (let i = 0; i < 12; i++) statuses.push((await put(`a${i}`)).status);
    expect(sum(allowances())).toBeLessThan(8);
    expect(statuses).toContain(503);
    failing = false;
    let made = statuses.filter((status) => status === 201).length;
    for (let i = 0; i < 20; i++) if ((await put(`b${i}`)).status === 201) made++;
    expect([made, sum(allowances())]).toEqual([8, 8]);
  });

  test('is never passed by the sum of allowances, whatever fails while it is changed', async () => {
    for (const quotaEntries of [40, 12, 100, 3]) {
      it.node.fault = (partition, { body }) =>
        body.kind === 'configure' && partition === quotaEntries % 4 ? { before: fails('overloaded') } : undefined;
      const before = sum(allowances());
      expect((await settings({ quotaEntries })).status).toBeGreaterThanOrEqual(500);
      expect(sum(allowances())).toBeLessThanOrEqual(Math.max(before, quotaEntries));
      it.node.fault = undefined;
      expect((await settings({ quotaEntries })).status).toBe(200);
      expect(sum(allowances())).toBe(quotaEntries);
    }
  });
});
