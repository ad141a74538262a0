import { StateStoreError } from '@statestore/core';
import type { HaltCause } from '@statestore/link';
import { describe, expect, test } from 'vitest';
import type { MendQuestion } from './replica-mending.ts';
import { isMendable } from './replica-mending.ts';

const whole = { incarnation: 'one', first: 1n, last: 9n };

function ask(cause: HaltCause, change: Partial<MendQuestion> = {}): Promise<boolean> {
  return isMendable({
    cause,
    sources: 0,
    passed: false,
    mayRestore: () => Promise.resolve(false),
    facts: { position: 9n, incarnation: 'one', chain: 'c' },
    log: { generation: 1, incarnation: 'one' },
    heard: 9n,
    findLog: () => Promise.resolve(whole),
    holdsLast: () => Promise.resolve(true),
    signal: new AbortController().signal,
    ...change,
  });
}

describe('what mends a halt', () => {
  test.each<[HaltCause, boolean, boolean]>([
    ['engine_failed', false, false],
    ['log_corrupt', false, false],
    ['log_failed', true, true],
    ['log_trimmed', false, true],
    ['diverged', false, true],
  ])('for %s: alone %s, with another replica that runs %s', async (cause, alone, together) => {
    expect(await ask(cause)).toBe(alone);
    expect(await ask(cause, { sources: 1 })).toBe(together);
    expect(await ask(cause, { mayRestore: () => Promise.resolve(true) })).toBe(together);
  });

  test.each<[string, string, boolean, boolean]>([
    ['damaged, and somebody got past it', 'data_corrupt', true, true],
    ['damaged, and nobody got past it', 'data_corrupt', false, false],
    ['of a newer version, whoever got past it', 'data_format', true, false],
  ])('for a batch that is %s', async (_, code, passed, mends) => {
    const cause = new StateStoreError(code as 'data_corrupt', 'it cannot be read');
    const reason = new StateStoreError('partition_halted', 'stopped', { cause });
    expect(await ask('log_corrupt', { sources: 1, passed, reason })).toBe(mends);
  });

  test('a log that only seemed to have lost something has the last batch', async () => {
    expect(await ask('log_regressed')).toBe(true);
    // This process applied nothing: it is as after a restart.
    expect(await ask('log_regressed', { holdsLast: () => Promise.resolve(undefined) })).toBe(true);
    expect(
      await ask('log_regressed', {
        facts: { position: 0n, incarnation: undefined, chain: 'c' },
        holdsLast: () => Promise.resolve(undefined),
        heard: 0n,
      }),
    ).toBe(true);
  });

  test.each<[string, Partial<MendQuestion>]>([
    ['is gone', { findLog: () => Promise.resolve(undefined) }],
    ['is another one', { findLog: () => Promise.resolve({ ...whole, incarnation: 'two' }) }],
    ['is shorter than this replica', { findLog: () => Promise.resolve({ ...whole, last: 8n }) }],
    ['is shorter than what a peer had', { heard: 10n }],
    ['has grown again over another batch', { holdsLast: () => Promise.resolve(false) }],
    ['was trimmed past the last batch', { findLog: () => Promise.resolve({ ...whole, first: 10n }) }],
    ['is not what this replica is of', { facts: { position: 9n, incarnation: 'zero', chain: 'c' } }],
    ['cannot be asked', { findLog: () => Promise.reject(new StateStoreError('unavailable', 'away')) }],
  ])('a log that %s does not', async (_, change) => {
    expect(await ask('log_regressed', change)).toBe(false);
  });

  test('a sealed log is good for what was not read of it, and for nothing more', async () => {
    const sealed = { ...whole, sealed: true } as const;
    const findLog = () => Promise.resolve(sealed);
    expect(await ask('log_regressed', { findLog })).toBe(false);
    expect(
      await ask('log_regressed', { findLog, heard: 8n, facts: { position: 8n, incarnation: 'one', chain: 'c' } }),
    ).toBe(true);
  });

  test('is not waited for any longer than wanted', async () => {
    const given = new AbortController();
    const waiting = ask('log_regressed', { findLog: () => new Promise(() => undefined), signal: given.signal });
    given.abort(new StateStoreError('shutting_down', 'enough'));
    await expect(waiting).rejects.toMatchObject({ code: 'shutting_down' });
  });
});
