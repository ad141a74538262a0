import { expect, test } from 'vitest';
import { type GivenInto, intoFrom, intoTable } from './into-settings.ts';
import { type GivenRepository, repositoryFrom, repositoryTable } from './repository-settings.ts';

function given(options: Readonly<Record<string, string>>): GivenRepository & GivenInto {
  const all = Object.entries({ ...repositoryTable, ...intoTable });
  return Object.fromEntries(all.map(([name, { schema }]) => [name, schema.parse(options[name])])) as never;
}

function into(url: string | undefined, options: Readonly<Record<string, string>>) {
  const settings = given(options);
  return intoFrom(url, settings, repositoryFrom(settings)!);
}

const s3 = {
  repository: 's3://one/a?endpoint=http://here:1&region=r1',
  repositoryAccessKeyId: 'id',
  repositorySecretAccessKey: 'secret',
  repositoryRequestChecksums: 'WHEN_SUPPORTED',
  repositoryRequestTimeoutMs: '7777',
};

test('what the first one was given holds for the second, where both are S3', () => {
  expect(into('s3://two/b', s3)).toMatchObject({
    bucket: 'two',
    prefix: 'b/',
    endpoint: 'http://here:1',
    region: 'r1',
    forcePathStyle: true,
    keys: { accessKeyId: 'id', secretAccessKey: 'secret' },
    requestChecksumCalculation: 'WHEN_SUPPORTED',
    requestTimeoutMs: 7777,
  });
});

test('what is said of the second one comes first', () => {
  const other = into('s3://two?endpoint=http://there:2&region=r2', {
    ...s3,
    intoAccessKeyId: 'x',
    intoSecretAccessKey: 'y',
  });
  expect(other).toMatchObject({
    endpoint: 'http://there:2',
    region: 'r2',
    keys: { accessKeyId: 'x', secretAccessKey: 'y' },
  });
  expect(into('s3://two', { ...s3, intoEndpoint: 'http://there:2' })).toMatchObject({ endpoint: 'http://there:2' });
});

test('of another kind it has settings of its own', () => {
  const folder = { repository: 'file:///tmp/one' };
  expect(into('file:///tmp/two', s3)).toEqual({ type: 'folder', path: '/tmp/two', concurrency: 16 });
  const options = { ...folder, intoAccessKeyId: 'x', intoSecretAccessKey: 'y', intoEndpoint: 'http://there:2' };
  expect(into('s3://two', options)).toMatchObject({ endpoint: 'http://there:2', keys: { accessKeyId: 'x' } });
});

test('what means nothing is refused', () => {
  const refused = { code: 'invalid_settings' };
  expect(() => into('file:///tmp/two', { ...s3, intoRegion: 'r2' })).toThrow(expect.objectContaining(refused));
  expect(() => into(undefined, { ...s3, intoRegion: 'r2' })).toThrow(expect.objectContaining(refused));
  expect(into(undefined, s3)).toBeUndefined();
  expect(() => into('s3://two', { ...s3, intoAccessKeyId: 'x' })).toThrow(expect.objectContaining(refused));
  expect(() => into('s3://two?region=r2', { ...s3, intoRegion: 'r2' })).toThrow(expect.objectContaining(refused));
});
