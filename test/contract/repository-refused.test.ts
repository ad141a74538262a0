// A real S3 server that takes `If-None-Match` and does not look at it (rclone before
// it had conditional writes) is refused by the probe, with a message
// that says why; one whose credentials or bucket are wrong is refused, too, and no secret is told anywhere.
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { openRepository } from '@statestore/checkpoint';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { S3Proxy } from '../servers/s3-proxy.ts';
import { S3Server } from '../servers/s3-server.ts';
import { namesOf } from './repository-contract.ts';
import { errorAnswer, s3Settings } from './s3-fixture.ts';

let folder: string;
let server: S3Server;
let proxy: S3Proxy;
let printed = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-refused-'));
  server = await S3Server.start('rclone', folder, ['checkpoints']);
  proxy = await S3Proxy.start(server.port);
});
afterAll(async () => {
  await proxy.close();
  await server.kill();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  printed = '';
  proxy.reset();
  const print = (chunk: unknown): boolean => {
    printed += String(chunk);
    return true;
  };
  vi.spyOn(process.stdout, 'write').mockImplementation(print);
  vi.spyOn(process.stderr, 'write').mockImplementation(print);
  for (const way of ['log', 'warn', 'error', 'info', 'debug'] as const) {
    vi.spyOn(console, way).mockImplementation((...args: unknown[]) => void print(inspect(args, { depth: 10 })));
  }
});
afterEach(() => {
  vi.restoreAllMocks();
});

test('a server without conditional writes is refused by name, and nothing is left in it', async () => {
  const repository = await openRepository(s3Settings(server.url, { repositoryPrefix: 'c' }));
  await expect(repository.probe()).rejects.toMatchObject({
    code: 'invalid_settings',
    message: `s3://checkpoints/c/ at ${server.url} cannot keep checkpoints: it creates an object that exists: it has no conditional writes (If-None-Match)`,
    hint: expect.stringContaining('docs/checkpoints.md') as string,
  });
  expect(await namesOf(repository, '')).toEqual([]);
  await repository.close();
});

/** Everything that an error tells to whoever prints it, hidden members and causes with it. */
function allOf(error: unknown): string {
  return `${inspect(error, { depth: 20, showHidden: true, getters: true })} ${JSON.stringify(error)} ${String(error)}`;
}

test('no secret is in a location, an error, or anything that is printed', async () => {
  const secrets = {
    repositorySecretAccessKey: `secret-${randomUUID()}`,
    repositorySessionToken: `token-${randomUUID()}`,
  };
  const told: string[] = [];
  const urls: string[] = [];
  const answers = [
    undefined,
    // A server that says in its refusal what it was sent, as some do where signatures do not match.
    errorAnswer('SignatureDoesNotMatch', `not ${Object.values(secrets).join(' or ')}`),
    errorAnswer('InternalError', `not ${Object.values(secrets).join(' or ')}`),
    '<html>not xml',
  ];
  for (const body of answers) {
    proxy.reset();
    if (body !== undefined) proxy.add({ fault: { kind: 'answer', status: 403, body } });
    const settings = s3Settings(proxy.url, { ...secrets, repositoryAttempts: '1' });
    const repository = await openRepository(settings);
    told.push(repository.location, allOf(repository));
    const calls = [
      () => repository.probe(),
      () => repository.get('x'),
      () => repository.head('x'),
      () => repository.put('x', Buffer.of(1)),
      () => repository.create('x', Buffer.of(1)),
      () => repository.remove(['x']),
      () => namesOf(repository, ''),
    ];
    for (const call of calls) await call().catch((error: unknown) => told.push(allOf(error)));
    await repository.close();
    await repository.get('x').catch((error: unknown) => told.push(allOf(error)));
    urls.push(...proxy.seen.map(({ url }) => url));
  }
  expect(told.length).toBeGreaterThan(30);
  for (const secret of Object.values(secrets)) {
    expect(told.filter((text) => text.includes(secret))).toEqual([]);
    expect(printed).not.toContain(secret);
  }
  expect(urls.length).toBeGreaterThan(20);
  for (const secret of Object.values(secrets)) expect(urls.filter((url) => url.includes(secret))).toEqual([]);
});
