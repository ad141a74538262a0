// Settings of a repository: what is taken, what is refused and how it is named.
import { StateStoreError } from '@statestore/core';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { afterAll, describe, expect, test } from 'vitest';
import { openRepository, repositoryFrom, repositoryFromUrl, repositoryTable } from './repository-settings.ts';
import type { GivenRepository } from './repository-settings.ts';

const folder = mkdtempSync(join(tmpdir(), 'statestore-repository-settings-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** As a command reads them: each by its schema. */
function given(texts: Readonly<Record<string, string>>): GivenRepository {
  const parsed = Object.entries(repositoryTable).map(([name, { schema }]) => [name, schema.parse(texts[name])]);
  return Object.fromEntries(parsed);
}

function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(StateStoreError);
    expect(error).toMatchObject({ code: 'invalid_settings' });
    return (error as Error).message;
  }
  throw new Error('it was taken');
}

const defaults = {
  requestChecksumCalculation: 'WHEN_REQUIRED',
  responseChecksumValidation: 'WHEN_REQUIRED',
  connectTimeoutMs: 5000,
  requestTimeoutMs: 30_000,
  attempts: 5,
  concurrency: 16,
  ca: undefined,
};

describe('a URL', () => {
  test('of a folder', () => {
    expect(repositoryFromUrl('file:///var/backup%20x/y')).toEqual({
      type: 'folder',
      path: '/var/backup x/y',
      concurrency: 16,
    });
  });

  test("of Amazon's storage: nothing but a bucket", () => {
    expect(repositoryFromUrl('s3://my-bucket')).toEqual({
      type: 's3',
      bucket: 'my-bucket',
      prefix: '',
      endpoint: undefined,
      region: undefined,
      forcePathStyle: false,
      keys: undefined,
      ...defaults,
    });
  });

  test('of another server, with options beside it', () => {
    const url = 's3://my.bucket/a/b/?endpoint=https://s3.example:9000&region=eu-1&forcePathStyle=false';
    const more = { repositoryAccessKeyId: 'me', repositorySecretAccessKey: 'hush', repositoryAttempts: '2' };
    expect(repositoryFromUrl(url, more)).toEqual({
      type: 's3',
      bucket: 'my.bucket',
      prefix: 'a/b/',
      endpoint: 'https://s3.example:9000',
      region: 'eu-1',
      forcePathStyle: false,
      keys: { accessKeyId: 'me', secretAccessKey: 'hush' },
      ...defaults,
      attempts: 2,
    });
  });

  test('with an endpoint takes the path style, unless told otherwise', () => {
    expect(repositoryFromUrl('s3://bucket?endpoint=http://h')).toMatchObject({ forcePathStyle: true });
    expect(repositoryFromUrl('s3://bucket', { repositoryEndpoint: 'http://h' })).toMatchObject({
      forcePathStyle: true,
    });
  });

  test.each([
    ['', 'not right; it may be file:///PATH or s3://'],
    ['nonsense', 'is no URL; it may be file:///PATH or s3://'],
    ['http://bucket', 'begins with http:'],
    ['file://host/x', 'names a host'],
    ['file:///x?y=z', 'has parameters'],
    ['file:///x/../etc', 'has a part . or ..'],
    ['s3://bucket/a/../b', 'has a part . or ..'],
    ['s3://bucket/a/%2e%2E/b', 'has a part . or ..'],
    ['s3://bucket/..', 'has a part . or ..'],
    ['s3://bucket#x', 'has a part after #'],
    [
      's3://bucket?endpint=http://h',
      'has a parameter that is none: endpint; it may be endpoint, region, forcePathStyle',
    ],
    ['s3://bucket?region=a&region=b', 'has region twice'],
    ['s3://b', '--repository-bucket is "b"; it may be 3 to 63'],
    ['s3:///prefix', '--repository-bucket is ""; it may be 3 to 63'],
    ['s3://bucket/a//b', '--repository-prefix is "a//b"; it may be parts of'],
    ['s3://bucket/a%20b', '--repository-prefix is "a%20b"; it may be parts of'],
    ['s3://bucket?endpoint=h:9000', '--repository-endpoint is "h:9000"; it may be http://HOST:PORT'],
    ['s3://bucket?endpoint=http://h/path', '--repository-endpoint is "http://h/path"'],
    ['s3://bucket?region=eu west', '--repository-region is "eu west"'],
    ['s3://bucket?forcePathStyle=yes', '--repository-force-path-style is "yes"; it may be true, false'],
  ])('%j is refused: %s', (url, what) => {
    expect(refusal(() => repositoryFromUrl(url))).toContain(what);
  });

  test.each([
    's3://key:hush-hush@bucket',
    's3://hush-hush@bucket',
    's3://bucket?secretAccessKey=hush-hush',
    's3://bucket?hush-hush-0123456789-0123456789-0123456789-0123=x',
    's3://bucket?accessKeyId=hush-hush',
    's3://key:hush-hush@:bucket',
  ])('%j is refused, and what is secret in it is not told', (url) => {
    expect(refusal(() => repositoryFromUrl(url))).not.toContain('hush-hush');
  });

  test('and an option that says the same thing are too much', () => {
    expect(refusal(() => repositoryFromUrl('s3://bucket?region=a', { repositoryRegion: 'b' }))).toContain(
      '--repository-region is given, and --repository says it as well',
    );
  });
});

describe('options', () => {
  test('of a folder, and of S3', () => {
    expect(
      repositoryFrom(given({ repositoryType: 'folder', repositoryPath: '/x', repositoryConcurrency: '4' })),
    ).toEqual({
      type: 'folder',
      path: '/x',
      concurrency: 4,
    });
    expect(
      repositoryFrom(given({ repositoryType: 's3', repositoryBucket: 'bucket', repositoryPrefix: 'a/b' })),
    ).toMatchObject({ type: 's3', bucket: 'bucket', prefix: 'a/b/' });
  });

  test('none: no repository', () => {
    expect(repositoryFrom(given({}))).toBeUndefined();
  });

  test('secrets and certificates come from files', () => {
    writeFileSync(join(folder, 'secret'), 'hush\nmore\n');
    const ca = rootCertificates[0]!;
    writeFileSync(join(folder, 'ca.pem'), ca);
    const settings = repositoryFromUrl('s3://bucket', {
      repositoryAccessKeyId: 'me',
      repositorySecretAccessKey: `@${folder}/secret`,
      repositorySessionToken: `@${folder}/secret`,
      repositoryCa: `${folder}/ca.pem`,
    });
    expect(settings).toMatchObject({
      keys: { accessKeyId: 'me', secretAccessKey: 'hush', sessionToken: 'hush' },
      ca,
    });
  });

  test.each([
    [{ repositoryType: 'folder' }, '--repository-path is missing'],
    [{ repositoryType: 's3' }, '--repository-bucket is missing'],
    [{ repositoryPath: '/x' }, '--repository-path is set, but means nothing without --repository-type'],
    [{ repositoryType: 'folder', repositoryPath: '/x', repositoryBucket: 'bucket' }, '--repository-bucket is set'],
    [{ repositoryType: 'folder', repositoryPath: '/x', repositoryRegion: 'r' }, 'means nothing with a folder'],
    [{ repositoryType: 's3', repositoryBucket: 'bucket', repositoryPath: '/x' }, 'means nothing with S3'],
    [
      { repositoryType: 's3', repositoryBucket: 'bucket', repositoryAccessKeyId: 'me' },
      '--repository-secret-access-key is missing',
    ],
    [
      { repositoryType: 's3', repositoryBucket: 'bucket', repositorySecretAccessKey: 'hush' },
      '--repository-access-key-id is missing',
    ],
    [
      { repositoryType: 's3', repositoryBucket: 'bucket', repositorySessionToken: 'hush' },
      '--repository-session-token is set',
    ],
  ] as const)('%j: %s', (texts, what) => {
    const message = refusal(() => repositoryFrom(given(texts)));
    expect(message).toContain(what);
    expect(message).not.toContain('hush');
  });

  test.each([
    ['repositoryPath', 'relative/path'],
    ['repositoryPrefix', '../x'],
    ['repositoryPrefix', '/x'],
    ['repositoryBucket', 'Upper'],
    ['repositoryEndpoint', 'http://me:hush@host'],
    ['repositoryAttempts', '0'],
    ['repositoryAttempts', '21'],
    ['repositoryConcurrency', '257'],
    ['repositoryRequestTimeoutMs', '1s'],
    ['repositoryRequestChecksums', 'always'],
    ['repositorySecretAccessKey', '@/nowhere/at/all'],
    ['repositoryCa', '/nowhere/at/all'],
    ['repositoryCa', import.meta.filename],
    ['repositoryType', 'nfs'],
  ] as const)('%s is not %j', (name, text) => {
    expect(repositoryTable[name].schema.safeParse(text).success).toBe(false);
  });
});

test('what is opened says where it is', async () => {
  const inFolder = await openRepository(repositoryFromUrl(`file://${folder}/checkpoints`));
  expect([inFolder.kind, inFolder.location]).toEqual(['folder', `${folder}/checkpoints`]);
  await inFolder.close();
  const secrets = { repositoryAccessKeyId: 'me', repositorySecretAccessKey: 'hush' };
  const inBucket = await openRepository(repositoryFromUrl('s3://bucket/a?endpoint=http://h:9000', secrets));
  expect([inBucket.kind, inBucket.location]).toEqual(['s3', 's3://bucket/a/ at http://h:9000']);
  await inBucket.close();
});
