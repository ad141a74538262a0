import { expect, test } from 'vitest';
import { loadSettings } from './settings.ts';

test('defaults, and the format by the name of the file', () => {
  expect(loadSettings(['--file', 'a.tsv', '--store', 's'])).toMatchObject({
    url: 'http://127.0.0.1:8080',
    format: 'tsv',
    batch: 100,
    concurrency: 8,
    verify: false,
    prefix: '',
  });
  expect(loadSettings(['--file', '-', '--store', 's'])?.format).toBe('ndjson');
});

test('every bad setting is named with what it was and what it may be', () => {
  const argv = ['--file', 'f', '--batch', '-1', '--concurrency', '1e3', '--format', 'csv', '--url', 'ftp://x'];
  let message = '';
  try {
    loadSettings(argv);
  } catch (cause) {
    ({ message } = cause as Error);
  }
  expect(message.split('\n').toSorted()).toEqual([
    '--batch is "-1"; it may be 1 to 1000',
    '--concurrency is "1e3"; it may be 1 to 256',
    '--format is "csv"; it may be ndjson, tsv, deb822',
    '--store is missing; it may be a store name of 1 to 128 characters',
    '--url is "ftp://x"; it may be an http or https URL',
  ]);
});

test('an unknown setting is refused', () => {
  expect(() => loadSettings(['--file', 'f', '--store', 's', '--fast'])).toThrow('--fast');
});
