// Where the keys of a bucket come from when no setting gives them: the environment, the shared file, a web identity
// token that is exchanged for temporary keys (as Kubernetes gives one to a pod).
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRepository, repositoryFromUrl } from '@statestore/checkpoint';
import type { Repository } from '@statestore/checkpoint';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { S3Proxy } from '../servers/s3-proxy.ts';
import { S3Server, s3Keys } from '../servers/s3-server.ts';

let folder: string;
let server: S3Server;
let proxy: S3Proxy;
let repository: Repository;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-s3-credentials-'));
  server = await S3Server.start('versitygw', folder, ['checkpoints']);
  proxy = await S3Proxy.start(server.port);
});
afterAll(async () => {
  await proxy.close();
  await server.kill();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  proxy.reset();
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) vi.stubEnv(name, undefined);
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  vi.stubEnv('AWS_CONFIG_FILE', join(folder, 'none'));
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', join(folder, 'none'));
  const url = `s3://checkpoints/c?endpoint=${encodeURIComponent(proxy.url)}`;
  repository = await openRepository(repositoryFromUrl(url, { repositoryAttempts: '2' }));
});
afterEach(async () => {
  await repository.close();
  vi.unstubAllEnvs();
});

test('none anywhere: refused, with what to give', async () => {
  await expect(repository.probe()).rejects.toMatchObject({
    code: 'invalid_settings',
    hint: expect.stringContaining('access key') as string,
  });
  expect(proxy.seen).toEqual([]);
});

test('the environment', async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', s3Keys.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', s3Keys.secretAccessKey);
  await repository.probe();
});

test('the shared file, and a profile of it', async () => {
  const { accessKeyId, secretAccessKey } = s3Keys;
  const path = join(folder, 'credentials');
  await writeFile(
    path,
    `[default]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n[store]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`,
  );
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', path);
  vi.stubEnv('AWS_PROFILE', 'store');
  await repository.probe();
});

test('a web identity token', async () => {
  const asked: string[] = [];
  const tokens = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      asked.push(body);
      response.writeHead(200, { 'content-type': 'text/xml' }).end(temporaryKeys());
    });
  });
  await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve));
  try {
    const path = join(folder, 'token');
    await writeFile(path, 'token-of-the-pod');
    vi.stubEnv('AWS_WEB_IDENTITY_TOKEN_FILE', path);
    vi.stubEnv('AWS_ROLE_ARN', 'arn:aws:iam::000000000000:role/statestore');
    vi.stubEnv('AWS_REGION', 'us-east-1');
    vi.stubEnv('AWS_ENDPOINT_URL_STS', urlOf(tokens));
    // The server knows of no temporary keys: that they arrive is what counts here.
    await expect(repository.put('x', Buffer.of(1))).rejects.toMatchObject({
      code: 'invalid_settings',
      message: expect.stringContaining('InvalidToken') as string,
    });
    expect(asked).toHaveLength(1);
    expect(asked[0]).toContain('WebIdentityToken=token-of-the-pod');
    expect(proxy.seen[0]?.headers).toMatchObject({
      'x-amz-security-token': 'temporary-token',
      authorization: expect.stringContaining(`Credential=${s3Keys.accessKeyId}/`) as string,
    });
  } finally {
    await new Promise((resolve) => tokens.close(resolve));
  }
});

function urlOf(listening: Server): string {
  return `http://127.0.0.1:${(listening.address() as { port: number }).port}`;
}

function temporaryKeys(): string {
  return `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
    <Credentials><AccessKeyId>${s3Keys.accessKeyId}</AccessKeyId><SecretAccessKey>${s3Keys.secretAccessKey}</SecretAccessKey>
    <SessionToken>temporary-token</SessionToken><Expiration>${new Date(Date.now() + 3_600_000).toISOString()}</Expiration></Credentials>
    </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`;
}
