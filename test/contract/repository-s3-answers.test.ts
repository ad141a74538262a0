// Answers of S3 servers that are refusals, or are not what S3 answers: listings and removals above all, in which a
// part must never pass for the whole.
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { S3Repository } from '../../services/checkpoint/src/s3-repository.ts';
import type { S3Settings } from '../../services/checkpoint/src/s3-settings.ts';
import { S3Proxy } from '../servers/s3-proxy.ts';
import { S3Server, s3Keys } from '../servers/s3-server.ts';
import { namesOf } from './repository-contract.ts';
import { errorAnswer, s3Settings } from './s3-fixture.ts';

let folder: string;
let server: S3Server;
let proxy: S3Proxy;
let prefix: string;
let repository: S3Repository;

function open(more: Readonly<Record<string, string>> = {}): S3Repository {
  const settings = s3Settings(proxy.url, { repositoryPrefix: prefix, repositoryAttempts: '3', ...more });
  return new S3Repository(settings as S3Settings, { random: () => 0 });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-s3-answers-'));
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
  repository = open();
});
afterEach(() => repository.close());

const bytes = randomBytes(100);
const listing = /list-type=2/;

describe('listings', () => {
  const names = Array.from({ length: 1005 }, (_, i) => `a/${String(i).padStart(5, '0')}`);

  const listed = randomUUID();

  beforeAll(async () => {
    prefix = listed;
    const writer = open();
    await Promise.all(names.map((name) => writer.put(name, Buffer.of(1))));
    await writer.close();
  });
  beforeEach(async () => {
    await repository.close();
    prefix = listed;
    repository = open();
  });

  test('a page that fails is asked for again, and the listing is complete', async () => {
    proxy.add({ path: listing, skip: 1, times: 2, fault: { kind: 'answer', status: 500 } });
    expect(await namesOf(repository, 'a/')).toEqual(names);
    expect(proxy.count('GET', listing)).toBe(4);
  });

  test.each([
    ['a page that always fails', { kind: 'answer', status: 503 }],
    ['a page that is cut', { kind: 'truncate', afterBytes: 300 }],
    ['a page that ends early, and says it is complete', { kind: 'truncate', afterBytes: 300, asIfComplete: true }],
    ['a page of somebody else', { kind: 'answer', status: 200, body: '<html><body>Please log in</body></html>' }],
    ['an empty page', { kind: 'answer', status: 200, body: '' }],
    [
      'a page that does not say whether it is the last',
      { kind: 'rewrite', body: (text: string) => text.replace(/<IsTruncated>\w+<\/IsTruncated>/, '') },
    ],
    [
      'a page with fewer objects than it says',
      { kind: 'rewrite', body: (text: string) => text.replace(/<Contents>.*?<\/Contents>/s, '') },
    ],
    ['an object without a size', { kind: 'rewrite', body: (text: string) => text.replace(/<Size>\d+<\/Size>/, '') }],
    [
      'an object from elsewhere',
      { kind: 'rewrite', body: (text: string) => text.replace(/<Key>[^<]*<\/Key>/, '<Key>other/x</Key>') },
    ],
  ] as const)('%s: thrown, never a part as if it were all', async (_, fault) => {
    proxy.add({ path: listing, skip: 1, fault });
    const told: string[] = [];
    const reading = (async () => {
      for await (const { name } of repository.list('a/')) told.push(name);
    })();
    await expect(reading).rejects.toMatchObject({ code: 'unavailable' });
    expect(told).toEqual(names.slice(0, 1000));
    expect(proxy.count('GET', listing)).toBe(4);
  });

  test('a page that says there are more, but not how: thrown', async () => {
    const body = (text: string): string => text.replace(/<NextContinuationToken>.*<\/NextContinuationToken>/s, '');
    proxy.add({ path: listing, fault: { kind: 'rewrite', body } });
    await expect(namesOf(repository, 'a/')).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('objects in another order: refused', async () => {
    const body = (text: string): string => text.replace('a/00000<', 'a/00002x<');
    proxy.add({ path: listing, fault: { kind: 'rewrite', body } });
    await expect(namesOf(repository, 'a/')).rejects.toMatchObject({
      code: 'invalid_settings',
      message: expect.stringContaining('does not list objects in order') as string,
    });
  });
});

describe('removals', () => {
  test('keys that could not be removed are tried again, and only they', async () => {
    for (const name of ['a', 'b', 'c']) await repository.put(name, bytes);
    const body = (text: string): string =>
      text.replace(
        /<Deleted>(?:(?!<\/Deleted>).)*<Key>([^<]*\/b)<\/Key>.*?<\/Deleted>/s,
        '<Error><Key>$1</Key><Code>InternalError</Code><Message>Later.</Message></Error>',
      );
    proxy.add({ method: 'POST', times: 1, fault: { kind: 'rewrite', body } });
    await repository.remove(['a', 'b', 'c']);
    expect(proxy.count('POST')).toBe(2);
    const lengths = proxy.seen
      .filter(({ method }) => method === 'POST')
      .map((one) => Number(one.headers['content-length']));
    expect(lengths[1]).toBeLessThan(lengths[0]!);
  });

  test.each([
    ['AccessDenied', 'invalid_settings', 1],
    ['InternalError', 'unavailable', 3],
  ])('a key that is refused with %s: %s', async (code, expected, requests) => {
    const answer = `<DeleteResult><Error><Key>${prefix}/a</Key><Code>${code}</Code><Message>No.</Message></Error></DeleteResult>`;
    proxy.add({ method: 'POST', fault: { kind: 'answer', status: 200, body: answer } });
    await expect(repository.remove(['a'])).rejects.toMatchObject({ code: expected });
    expect(proxy.count('POST')).toBe(requests);
  });

  test.each(['', '<html></html>', '<DeleteResult></DeleteResult>'])(
    'an answer that does not name the keys (%j) is none',
    async (body) => {
      proxy.add({ method: 'POST', fault: { kind: 'answer', status: 200, body } });
      await expect(repository.remove(['a'])).rejects.toMatchObject({ code: 'unavailable' });
    },
  );
});

describe('refusals', () => {
  test.each([
    [403, 'AccessDenied', 's3:PutObject'],
    [403, 'InvalidAccessKeyId', 'access key'],
    [403, 'SignatureDoesNotMatch', 'secret access key'],
    [400, 'AuthorizationHeaderMalformed', 'region'],
    [301, 'PermanentRedirect', 'region'],
    [501, 'NotImplemented', 'WHEN_REQUIRED'],
    [400, 'InvalidRequest', 'path style'],
  ])('%d %s is not tried again, and says what to look at', async (status, code, hint) => {
    proxy.add({ fault: { kind: 'answer', status, body: errorAnswer(code) } });
    await expect(repository.put('x', bytes)).rejects.toMatchObject({
      code: 'invalid_settings',
      message: expect.stringContaining(`${status} ${code}`) as string,
      hint: expect.stringContaining(hint) as string,
    });
    expect(proxy.count('PUT')).toBe(1);
  });

  test('a clock that is off is put right by the answer', async () => {
    const body = errorAnswer('RequestTimeTooSkewed');
    proxy.add({ times: 1, fault: { kind: 'answer', status: 403, body } });
    await repository.put('x', bytes);
    proxy.add({ fault: { kind: 'answer', status: 403, body } });
    await expect(repository.get('x')).rejects.toMatchObject({ code: 'invalid_settings' });
  });

  test('a bucket that is not there is named', async () => {
    const other = open({ repositoryBucket: 'elsewhere' });
    const calls = [
      () => other.probe(),
      () => other.get('x'),
      () => other.put('x', bytes),
      () => namesOf(other, ''),
      () => other.remove(['x']),
    ];
    for (const call of calls) {
      await expect(call()).rejects.toMatchObject({
        code: 'invalid_settings',
        message: expect.stringMatching(/s3:\/\/elsewhere\/.*NoSuchBucket/s) as string,
        hint: expect.stringContaining('bucket') as string,
      });
    }
    await other.close();
  });

  test('a wrong secret, a wrong key: refused by the server itself', async () => {
    for (const wrong of [{ repositorySecretAccessKey: 'wrong-secret-0' }, { repositoryAccessKeyId: 'nobody' }]) {
      const other = open(wrong);
      await expect(other.probe()).rejects.toMatchObject({ code: 'invalid_settings' });
      await other.close();
    }
  });
});

describe('what is sent', () => {
  test('checksums beside the signature only where they are wanted', async () => {
    await repository.put('x', bytes);
    const [plain] = proxy.seen;
    expect(Object.keys(plain!.headers).filter((name) => name.startsWith('x-amz-checksum'))).toEqual([]);
    const wanting = open({ repositoryRequestChecksums: 'WHEN_SUPPORTED' });
    await wanting.put('y', bytes);
    expect(proxy.seen.at(-1)!.headers).toHaveProperty('x-amz-checksum-crc32');
    expect(await wanting.get('y')).toHaveLength(100);
    await wanting.close();
  });

  test('the session token, the path style, and the prefix', async () => {
    const other = open({ repositorySessionToken: 'temporary-token' });
    // This server knows of no temporary keys.
    await expect(other.put('x', bytes)).rejects.toMatchObject({ code: 'invalid_settings' });
    expect(proxy.seen[0]).toMatchObject({
      url: expect.stringMatching(new RegExp(`^/checkpoints/${prefix}/x`)) as string,
      headers: { 'x-amz-security-token': 'temporary-token' },
    });
    expect(proxy.seen[0]!.headers.authorization).toContain(`Credential=${s3Keys.accessKeyId}/`);
    expect(proxy.seen[0]!.headers.authorization).toContain('/us-east-1/s3/');
    await other.close();
  });
});
