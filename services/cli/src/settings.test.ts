// Settings: from options and variables, all complaints at once, unknown ones refused.
import { StateStoreError } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { devSettings, gatewaySettings } from './config.ts';
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

  test('the gateway checks its node and key', () => {
    const argv = ['--node', 'nowhere', '--cursor-key', 'short'];
    expect(() => readSettings('gateway', '', gatewaySettings, { argv, env: {} })).toThrow(
      /--node is "nowhere"[\s\S]*--cursor-key is "short"/,
    );
  });
});
