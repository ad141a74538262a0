// A repository in a real S3 server that speaks TLS: with the certificates that it is told of, and refused with what to do
// where the server's certificate is none of theirs, or of another name.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openRepository } from '@statestore/checkpoint';
import type { Repository } from '@statestore/checkpoint';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { makeCertificate } from '../servers/certificates.ts';
import { S3Server, s3Keys } from '../servers/s3-server.ts';
import { s3Settings } from './s3-fixture.ts';

const authority = makeCertificate('authority');
const host = '127.0.0.1';

let folder: string;
let server: S3Server;
const opened: Repository[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-s3-tls-'));
  await writeFile(join(folder, 'authority.pem'), authority.certificate);
  await writeFile(join(folder, 'other.pem'), makeCertificate('authority').certificate);
  const certificate = makeCertificate('s3', { by: authority, hosts: [host] });
  server = await S3Server.start('versitygw', folder, ['checkpoints'], certificate);
});
afterEach(() => Promise.all(opened.splice(0).map((repository) => repository.close())));
afterAll(async () => {
  await server?.kill();
  await rm(folder, { recursive: true, force: true });
});

async function open(more: Readonly<Record<string, string>>, endpoint = server.url): Promise<Repository> {
  const repository = await openRepository(s3Settings(endpoint, more));
  opened.push(repository);
  return repository;
}

const ours = (): Readonly<Record<string, string>> => ({ repositoryCa: join(folder, 'authority.pem') });

test('the server is trusted by the authority that was named, also with its next certificate', async () => {
  const repository = await open(ours());
  await repository.probe();
  await repository.put('x', Buffer.of(1, 2, 3));
  await server.kill();
  server.present(makeCertificate('s3', { by: authority, hosts: [host] }));
  await server.start();
  expect([...(await repository.get('x'))!]).toEqual([1, 2, 3]);
});

test('so do commands, told by their options', async () => {
  const launcher = join(import.meta.dirname, '../../services/cli/statestore');
  const url = `s3://checkpoints?endpoint=${encodeURIComponent(server.url)}`;
  const run = (...more: string[]) =>
    promisify(execFile)(launcher, ['checkpoint', 'list', '--repository', url, ...more], {
      env: {
        PATH: process.env['PATH'],
        AWS_ACCESS_KEY_ID: s3Keys.accessKeyId,
        AWS_SECRET_ACCESS_KEY: s3Keys.secretAccessKey,
      },
    });
  const [trusted, refused] = await Promise.allSettled([run('--repository-ca', join(folder, 'authority.pem')), run()]);
  expect(trusted).toMatchObject({ value: { stdout: 'No checkpoints.\n' } });
  expect(refused).toMatchObject({
    reason: {
      code: 2,
      stderr: expect.stringMatching(/UNABLE_TO_VERIFY_LEAF_SIGNATURE[^]*--repository-ca/) as string,
    },
  });
});

test.each(['other.pem', undefined])('not trusted (%s): refused at once, with what to do', async (file) => {
  const repository = await open(file === undefined ? {} : { repositoryCa: join(folder, file) });
  const calls = [() => repository.probe(), () => repository.get('x'), () => repository.put('x', Buffer.of(1))];
  for (const call of calls) {
    await expect(call()).rejects.toMatchObject({
      code: 'invalid_settings',
      message: expect.stringMatching(/at https:\/\/127\.0\.0\.1:\d+: [A-Z_]+: /) as string,
      hint: expect.stringContaining('--repository-ca') as string,
    });
  }
});

test('of another name: refused, with the names that it has', async () => {
  const repository = await open(ours(), server.url.replace('127.0.0.1', 'localhost'));
  await expect(repository.create('y', Buffer.of(1))).rejects.toMatchObject({
    code: 'invalid_settings',
    message: expect.stringMatching(/ERR_TLS_CERT_ALTNAME_INVALID: .*localhost/) as string,
    hint: expect.stringContaining('endpoint') as string,
  });
});

test('expired: unavailable, since it is renewed elsewhere; nothing was written', async () => {
  const dayMs = 24 * 3600 * 1000;
  const [fromMs, untilMs] = [Date.now() - 3 * dayMs, Date.now() - 2 * dayMs];
  await server.kill();
  server.present(makeCertificate('s3', { by: authority, hosts: [host], fromMs, untilMs }));
  await server.start();
  try {
    const repository = await open({ ...ours(), repositoryAttempts: '2' });
    await expect(repository.create('y', Buffer.of(1))).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('CERT_HAS_EXPIRED') as string,
      hint: expect.stringContaining('Renew') as string,
    });
  } finally {
    await server.kill();
    server.present(makeCertificate('s3', { by: authority, hosts: [host] }));
    await server.start();
  }
});

test('https where the server speaks http: it is said where to look; the other way round it is just not there', async () => {
  const plain = await S3Server.start('versitygw', await mkdtemp(join(folder, 'plain-')), ['checkpoints']);
  try {
    const secure = await open({ ...ours(), repositoryAttempts: '1' }, plain.url.replace('http:', 'https:'));
    await expect(secure.get('x')).rejects.toMatchObject({
      code: 'unavailable',
      hint: expect.stringContaining('https') as string,
    });
    const insecure = await open({ repositoryAttempts: '1' }, server.url.replace('https:', 'http:'));
    await expect(insecure.get('x')).rejects.toMatchObject({ code: 'unavailable' });
  } finally {
    await plain.kill();
  }
});
