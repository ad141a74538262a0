// Settings: from options and variables, all complaints at once, unknown ones refused.
import { StateStoreError } from '@statestore/core';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { clusterSettings, membershipSettings, natsOptions } from './cluster-settings.ts';
import { devSettings, diskBoundsOf, gatewaySettings, nodeSettings } from './config.ts';
import { readSettings } from './settings.ts';

function read(argv: readonly string[], env: Record<string, string> = {}) {
  return readSettings('statestore dev', 'Test.', devSettings, { argv, env });
}

function refusal(argv: readonly string[], env: Record<string, string> = {}): string {
  try {
    read(argv, env);
  } catch (error) {
    expect(error).toBeInstanceOf(StateStoreError);
    expect(error).toMatchObject({ code: 'invalid_settings' });
    return (error as Error).message;
  }
  throw new Error('the settings were taken');
}

describe('settings', () => {
  test('have defaults: loopback, ./data', () => {
    expect(read([])).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      data: './data',
      partitions: undefined,
      engine: undefined,
    });
  });

  test('come from variables, and options win', () => {
    const env = { STATESTORE_PORT: '1234', STATESTORE_ENGINE: 'memory', STATESTORE_FLUSH_INTERVAL_MS: '7' };
    expect(read(['--port', '4321'], env)).toMatchObject({ port: 4321, engine: 'memory', flushIntervalMs: 7 });
  });

  test.each([
    [['--port', '65536'], '--port is "65536"', '0 to 65535'],
    [['--port', '-1'], '--port is "-1"', '0 to 65535'],
    [['--port', '80x'], '--port is "80x"', '0 to 65535'],
    [['--partitions', '0'], '--partitions is "0"', '1 to 256'],
    [['--engine', 'rocksdb'], '--engine is "rocksdb"', 'lmdb, memory'],
    [['--data', ''], '--data is ""', 'a folder'],
    [['--host', 'a b'], '--host is "a b"', 'an address'],
    [['--log-level', 'loud'], '--log-level is "loud"', 'debug'],
  ])('%j is refused with what it was and may be', (argv, was, allowed) => {
    expect(refusal(argv)).toContain(was);
    expect(refusal(argv)).toContain(allowed);
  });

  test('unknown options and variables are refused by name', () => {
    expect(refusal(['--prot', '1'])).toContain('--prot');
    expect(refusal(['more'])).toMatch(/argument/);
    expect(refusal([], { STATESTORE_PROT: '1' })).toContain('STATESTORE_PROT is set');
  });

  test('a bad variable is named as one, and every complaint is made at once', () => {
    const message = refusal(['--engine', 'x'], { STATESTORE_PORT: 'tcp://10.0.0.1:80' });
    expect(message).toContain('STATESTORE_PORT is "tcp://10.0.0.1:80"');
    expect(message).toContain('--engine is "x"');
  });

  test.each(['host:0', 'host:65536', 'host:', ':80', 'host:8o'])('the gateway refuses the node %s', (node) => {
    expect(() => readSettings('gateway', '', gatewaySettings, { argv: ['--node', node], env: {} })).toThrow(
      `--node is "${node}"`,
    );
  });

  describe('of the disk', () => {
    const argv = ['--nats', 'nats://a:1', '--data', 'd'];
    const disk = (more: readonly string[], env: Record<string, string> = {}) =>
      diskBoundsOf(readSettings('node', '', nodeSettings, { argv: [...argv, ...more], env })!);

    test('have defaults, are percent, and may have a fraction', () => {
      expect(disk([])).toEqual({ lowShare: 0.15, criticalShare: 0.05 });
      const env = { STATESTORE_DISK_LOW_PERCENT: '2.5' };
      expect(disk(['--disk-critical-percent', '0'], env)).toEqual({ lowShare: 0.025, criticalShare: 0 });
    });

    test.each(['100', '-1', '5%', '', '.5', '1e1', '0.12345'])('%j is refused', (text) => {
      expect(() => disk(['--disk-low-percent', text])).toThrow(`--disk-low-percent is "${text}"; it may be`);
    });

    test.each([
      ['5', '5'],
      ['4', '5'],
      ['0', '0'],
    ])('low at %s and critical at %s are refused', (low, critical) => {
      expect(() => disk(['--disk-low-percent', low, '--disk-critical-percent', critical])).toThrow(
        `--disk-low-percent is ${low}, --disk-critical-percent is ${critical}; the first must be more`,
      );
    });

    test('are for nodes of a cluster alone', () => {
      expect(() => readSettings('node', '', nodeSettings, { argv: ['--disk-low-percent', '3'], env: {} })).toThrow(
        '--disk-low-percent is set, but means nothing without --nats',
      );
    });
  });

  test('the gateway checks its node and key', () => {
    const argv = ['--node', 'nowhere', '--cursor-key', 'short'];
    expect(() => readSettings('gateway', '', gatewaySettings, { argv, env: {} })).toThrow(
      /--node is "nowhere"[\s\S]*--cursor-key is not right/,
    );
  });
});

describe('settings of a cluster', () => {
  const parse = (argv: readonly string[], env: Record<string, string> = {}) =>
    readSettings('statestore status', '', clusterSettings, { argv, env });

  test('servers are a list, and secrets come from files', () => {
    const folder = mkdtempSync(join(tmpdir(), 'statestore-settings-'));
    try {
      writeFileSync(join(folder, 'secret'), 'hush\nsecond line');
      const settings = parse(['--nats', 'nats://a:4222, tls://[::1]:1', '--nats-token', `@${folder}/secret`]);
      expect(settings).toMatchObject({ nats: ['nats://a:4222', 'tls://[::1]:1'], natsToken: 'hush' });
      expect(settings && natsOptions(settings.nats, settings)).toEqual({
        servers: settings?.nats,
        token: 'hush',
        tls: {},
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test.each(['a:4222', 'nats://a', '', 'nats://a:1,', 'http://a:1', 'nats://a:1;nats://b:1'])(
    'the servers %j are refused',
    (nats) => expect(() => parse(['--nats', nats])).toThrow('it may be nats://host:port'),
  );

  test('a secret is never shown, where it stands wrong either', () => {
    const refused = (argv: readonly string[]): string => {
      try {
        parse(argv);
      } catch (error) {
        return String(error);
      }
      return '';
    };
    expect(refused(['--nats-token', '@/nowhere/hush'])).toMatch(/--nats-token is not right(?!.*hush)/s);
    expect(refused(['--nats', 'nats://me:hush@a:1'])).toMatch(/nats:\/\/…@a:1(?!.*hush)/s);
  });

  test('what needs another setting says so', () => {
    expect(() => natsOptions(['nats://a:1'], { ...parse([])!, natsUser: 'me' })).toThrow(
      '--nats-user is given, but --nats-password is not',
    );
    expect(() => readSettings('x', '', membershipSettings, { argv: ['--nats-token', 't'], env: {} })).toThrow(
      '--nats-token is set, but means nothing without --nats',
    );
  });
});
