// What a repository in S3 makes of each single thing that may go wrong between it and its server.
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { S3Repository } from '../../services/checkpoint/src/s3-repository.ts';
import type { S3Settings } from '../../services/checkpoint/src/s3-settings.ts';
import { freePorts } from '../servers/free-ports.ts';
import { S3Proxy } from '../servers/s3-proxy.ts';
import { S3Server } from '../servers/s3-server.ts';
import { namesOf } from './repository-contract.ts';
import { errorAnswer, s3Settings, slowDown } from './s3-fixture.ts';

let folder: string;
let server: S3Server;
let proxy: S3Proxy;
let direct: S3Repository;
let prefix: string;
const opened: S3Repository[] = [];

function open(more: Readonly<Record<string, string>> = {}, endpoint = proxy.url): S3Repository {
  const settings = s3Settings(endpoint, { repositoryPrefix: prefix, repositoryAttempts: '3', ...more }) as S3Settings;
  // No pauses between attempts.
  const repository = new S3Repository(settings, { random: () => 0 });
  opened.push(repository);
  return repository;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-s3-faults-'));
  server = await S3Server.start('versitygw', folder, ['checkpoints']);
  proxy = await S3Proxy.start(server.port);
});
afterAll(async () => {
  await proxy.close();
  await server.kill();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  prefix = randomUUID();
  proxy.reset();
  direct = open({}, server.url);
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((repository) => repository.close()));
});

const bytes = randomBytes(10_000);
const isSame = (a: Uint8Array | undefined, b: Uint8Array): boolean => a !== undefined && Buffer.compare(a, b) === 0;

describe('a store that refuses for the moment', () => {
  test.each([500, 502, 503, 504, 429, 408])('answers %d twice and is asked again', async (status) => {
    const repository = open();
    proxy.add({ method: 'PUT', times: 2, fault: { kind: 'answer', status, body: slowDown() } });
    await repository.put('x', bytes);
    expect(proxy.count('PUT')).toBe(3);
    proxy.add({ method: 'GET', times: 2, fault: { kind: 'answer', status } });
    expect(isSame(await repository.get('x'), bytes)).toBe(true);
    proxy.add({ method: 'HEAD', times: 2, fault: { kind: 'answer', status } });
    expect((await repository.head('x'))?.sizeBytes).toBe(bytes.length);
  });

  test('answers so always: reads are unavailable, writes unknown, after as many attempts as were set', async () => {
    const repository = open();
    proxy.add({ fault: { kind: 'answer', status: 503, body: slowDown() } });
    await expect(repository.get('x')).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(
        /^could not read x in s3:\/\/checkpoints\/.* \(3 attempts\): 503 SlowDown/,
      ) as string,
    });
    expect(proxy.count('GET')).toBe(3);
    await expect(repository.head('x')).rejects.toMatchObject({ code: 'unavailable' });
    await expect(namesOf(repository, '')).rejects.toMatchObject({ code: 'unavailable' });
    await expect(repository.remove(['x'])).rejects.toMatchObject({ code: 'unavailable' });
    await expect(repository.put('x', bytes)).rejects.toMatchObject({ code: 'outcome_unknown' });
    await expect(repository.create('x', bytes)).rejects.toMatchObject({ code: 'outcome_unknown' });
    expect(proxy.count('PUT')).toBe(6);
  });

  test('is given the pause that it asks for', async () => {
    const repository = open();
    proxy.add({ method: 'GET', times: 1, fault: { kind: 'answer', status: 503, headers: { 'retry-after': '1' } } });
    const began = performance.now();
    expect(await repository.get('x')).toBeUndefined();
    expect(performance.now() - began).toBeGreaterThan(950);
  });

  test('is full: disk_full', async () => {
    const repository = open();
    proxy.add({ method: 'PUT', fault: { kind: 'answer', status: 507, body: errorAnswer('XMinioStorageFull') } });
    await expect(repository.create('x', bytes)).rejects.toMatchObject({ code: 'disk_full' });
    await expect(repository.put('x', bytes)).rejects.toMatchObject({ code: 'disk_full' });
  });

  test('does not listen at all: unavailable, and no write is unknown', async () => {
    const [port] = await freePorts(1);
    const repository = open({}, `http://127.0.0.1:${port}`);
    await expect(repository.create('x', bytes)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(repository.put('x', bytes)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(repository.get('x')).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('success that was lost', () => {
  test('a creation is settled by reading', async () => {
    const repository = open();
    proxy.add({ method: 'PUT', times: 1, fault: { kind: 'lose answer' } });
    expect(await repository.create('x', bytes)).toBe('created');
    expect([proxy.count('PUT'), proxy.count('GET')]).toEqual([2, 1]);
  });

  test('at every attempt: settled by reading, too', async () => {
    const repository = open();
    proxy.add({ method: 'PUT', fault: { kind: 'lose answer' } });
    expect(await repository.create('x', bytes)).toBe('created');
    await expect(repository.put('y', bytes)).rejects.toMatchObject({ code: 'outcome_unknown' });
    expect(isSame(await direct.get('y'), bytes)).toBe(true);
  });

  test("another's object is not taken for one's own", async () => {
    const repository = open();
    await direct.create('x', randomBytes(10_000));
    proxy.add({ method: 'PUT', times: 1, fault: { kind: 'replace answer', status: 500 } });
    expect(await repository.create('x', bytes)).toBe('exists');
    proxy.reset();
    proxy.add({ method: 'PUT', fault: { kind: 'answer', status: 500 } });
    expect(await repository.create('x', bytes)).toBe('exists');
  });

  test("without a lost answer nothing is read, and equal bytes are still another one's", async () => {
    const repository = open();
    await direct.create('x', bytes);
    expect(await repository.create('x', bytes)).toBe('exists');
    expect(proxy.count('GET')).toBe(0);
  });

  test('a race that the store sees (409) is tried again', async () => {
    const repository = open();
    const conflict = errorAnswer('ConditionalRequestConflict');
    proxy.add({ method: 'PUT', times: 2, fault: { kind: 'answer', status: 409, body: conflict } });
    expect(await repository.create('x', bytes)).toBe('created');
    expect([proxy.count('PUT'), proxy.count('GET')]).toEqual([3, 0]);
  });

  test('the server is killed and comes back between attempts', async () => {
    const repository = open({ repositoryAttempts: '20' });
    await repository.put('x', bytes);
    await server.kill();
    const reading = repository.get('x');
    const creating = repository.create('y', bytes);
    const restarted = sleep(20).then(() => server.start());
    proxy.add({ fault: { kind: 'delay', ms: 200 } });
    await restarted;
    expect(isSame(await reading, bytes)).toBe(true);
    expect(await creating).toBe('created');
  });
});

describe('bodies', () => {
  test.each([
    { kind: 'truncate', afterBytes: 5000 },
    { kind: 'truncate', afterBytes: 5000, asIfComplete: true },
    { kind: 'flip answer', at: 9999 },
    { kind: 'cut' },
    { kind: 'lose answer' },
  ] as const)('damaged once (%j): read again', async (fault) => {
    const repository = open();
    await direct.put('x', bytes);
    proxy.add({ method: 'GET', times: 2, fault });
    expect(isSame(await repository.get('x'), bytes)).toBe(true);
    expect(proxy.count('GET')).toBe(3);
  });

  test.each([
    [{ kind: 'truncate', afterBytes: 5000, asIfComplete: true }, 'data_corrupt'],
    [{ kind: 'flip answer', at: 0 }, 'data_corrupt'],
    [{ kind: 'truncate', afterBytes: 5000 }, 'unavailable'],
  ] as const)('damaged always (%j): %s', async (fault, code) => {
    await direct.put('x', bytes);
    for (const mode of ['WHEN_REQUIRED', 'WHEN_SUPPORTED']) {
      const repository = open({ repositoryResponseChecksums: mode });
      proxy.reset();
      proxy.add({ method: 'GET', fault });
      await expect(repository.get('x')).rejects.toMatchObject({ code });
      expect(proxy.count('GET')).toBe(3);
    }
  });

  test('damaged on the way to the store: refused there, and sent again', async () => {
    const repository = open();
    proxy.add({ method: 'PUT', times: 2, fault: { kind: 'flip request', at: 77 } });
    expect(await repository.create('x', bytes)).toBe('created');
    expect(isSame(await direct.get('x'), bytes)).toBe(true);
    proxy.reset();
    proxy.add({ method: 'PUT', fault: { kind: 'flip request', at: 77 } });
    await expect(repository.put('y', bytes)).rejects.toMatchObject({ code: 'unavailable' });
    expect(await direct.head('y')).toBeUndefined();
  });

  test('slow, but within the time: read; slower: unavailable', async () => {
    await direct.put('x', bytes);
    proxy.add({ method: 'GET', fault: { kind: 'slow', bytesPerSecond: 20_000 } });
    expect(isSame(await open().get('x'), bytes)).toBe(true);
    const impatient = open({ repositoryRequestTimeoutMs: '200', repositoryAttempts: '2' });
    await expect(impatient.get('x')).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('no complete answer within 200 ms') as string,
    });
  });
});

describe('a store that says nothing', () => {
  test('is given up after the time that was set, at each attempt', async () => {
    const repository = open({ repositoryRequestTimeoutMs: '150' });
    proxy.add({ times: 2, fault: { kind: 'hang' } });
    expect(await repository.get('x')).toBeUndefined();
    expect(proxy.count('GET')).toBe(3);
    proxy.reset();
    proxy.add({ fault: { kind: 'hang' } });
    await expect(repository.create('x', bytes)).rejects.toMatchObject({ code: 'outcome_unknown' });
    await expect(namesOf(repository, '')).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('a frozen server, likewise', async () => {
    const repository = open({ repositoryRequestTimeoutMs: '200', repositoryAttempts: '2' });
    server.pause();
    try {
      await expect(repository.put('x', bytes)).rejects.toMatchObject({ code: 'outcome_unknown' });
    } finally {
      server.resume();
    }
    await repository.put('x', bytes);
  });

  test('does not hold up a caller that aborts, nor one that closes', async () => {
    const repository = open();
    proxy.add({ fault: { kind: 'hang' } });
    const control = new AbortController();
    const reason = new Error('enough');
    const aborted = [
      repository.get('x', control),
      repository.put('x', bytes, control),
      repository.create('x', bytes, control),
      repository.remove(['x'], control),
      repository.list('', control)[Symbol.asyncIterator]().next(),
    ].map((call) => call.catch((error: unknown) => error));
    const closed = repository.head('x').catch((error: unknown) => error);
    await sleep(100);
    const began = performance.now();
    control.abort(reason);
    expect(await Promise.all(aborted)).toEqual(Array.from(aborted, () => reason));
    await repository.close();
    expect(await closed).toMatchObject({ code: 'shutting_down' });
    expect(performance.now() - began).toBeLessThan(2000);
    for (let i = 0; proxy.open > 0 && i < 100; i++) await sleep(20);
    expect(proxy.open).toBe(0);
  });

  test('aborting between attempts ends them', async () => {
    const repository = open({ repositoryAttempts: '20' });
    const control = new AbortController();
    proxy.add({ fault: { kind: 'answer', status: 503, headers: { 'retry-after': '20' } } });
    const reading = repository.get('x', control).catch((error: unknown) => error);
    await sleep(100);
    const reason = new Error('enough');
    control.abort(reason);
    expect(await reading).toBe(reason);
    expect(proxy.count('GET')).toBe(1);
  });
});

test('no more requests are under way than was set, and connections are used again', async () => {
  const repository = open({ repositoryConcurrency: '3' });
  const before = proxy.accepted;
  proxy.add({ fault: { kind: 'delay', ms: 10 } });
  await Promise.all(Array.from({ length: 30 }, (_, i) => repository.put(`x${i}`, bytes)));
  expect(proxy.accepted - before).toBeLessThanOrEqual(3);
});
