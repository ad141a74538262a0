// `statestore dev` with its checkpoints in a real S3 server, keys in the environment: one that says nothing when the process
// starts does not hold it up, and is used once it answers; one that refuses the keys ends the start.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listCheckpoints, openRepository } from '@statestore/checkpoint';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { s3Settings } from '../contract/s3-fixture.ts';
import { S3Proxy } from '../servers/s3-proxy.ts';
import { S3Server, s3Keys } from '../servers/s3-server.ts';
import { DevServer } from './dev-server.ts';

const patient = { timeout: 60_000, interval: 200 };

let folder: string;
let server: S3Server;
let proxy: S3Proxy;
let dev: DevServer | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-s3-dev-'));
  server = await S3Server.start('versitygw', folder, ['checkpoints']);
  proxy = await S3Proxy.start(server.port);
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) vi.stubEnv(name, undefined);
  vi.stubEnv('AWS_ACCESS_KEY_ID', s3Keys.accessKeyId);
});
afterEach(async () => {
  await dev?.stop();
  dev = undefined;
});
afterAll(async () => {
  await proxy?.close();
  await server?.kill();
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

function options(name: string): { readonly folder: string; readonly args: readonly string[] } {
  const url = `s3://checkpoints/${name}?endpoint=${encodeURIComponent(proxy.url)}`;
  // Longer than the start waits, so that it is not the first attempt that ends it.
  return { folder: join(folder, name), args: ['--repository', url, '--repository-request-timeout-ms', '9000'] };
}

test('a server that says nothing: the process serves, and makes checkpoints once it answers', async () => {
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', s3Keys.secretAccessKey);
  proxy.add({ fault: { kind: 'hang' } });
  dev = await DevServer.start(options('silent'));
  const { url } = dev;
  expect(proxy.seen.length).toBeGreaterThan(0);
  const put = await fetch(`${url}/v1/stores/s/keys/k`, { method: 'PUT', body: 'v' });
  expect(put.status).toBe(201);
  proxy.reset();
  await expect.poll(async () => (await fetch(`${url}/v1/checkpoints`, { method: 'POST' })).status, patient).toBe(202);
  const repository = await openRepository(s3Settings(server.url, { repositoryPrefix: 'silent' }));
  try {
    await expect.poll(() => listCheckpoints({ repository }), patient).toMatchObject([{ totals: { entries: 1n } }]);
  } finally {
    await repository.close();
  }
});

test('keys that are refused: the process says so and ends, and tells nobody what they are', async () => {
  const secret = 'not-the-secret-that-the-server-knows';
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', secret);
  const refused = await DevServer.start(options('refused')).catch((error: unknown) => String(error));
  expect(refused).toMatch(/SignatureDoesNotMatch[^]*Check the secret access key\.[^]*\[exit: 2\]/);
  expect(refused).not.toContain(secret);
});
