import type { PartitionLog } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import type { FoundLog, HeldState } from './judge-log.ts';
import { judgeLog } from './judge-log.ts';

const chain = 'c'.repeat(32);
const first: PartitionLog = { generation: 1, incarnation: 'one' };
const second: PartitionLog = {
  generation: 2,
  incarnation: 'two',
  continues: { incarnation: 'one', position: 100n, chain },
};
const fresh: HeldState = { position: 0n, incarnation: undefined, chain: '0'.repeat(32) };

function held(position: bigint, incarnation = 'one', itsChain = chain): HeldState {
  return { position, incarnation, chain: itsChain };
}

function found(from: bigint, last: bigint, incarnation = 'one'): FoundLog {
  return { first: from, last, incarnation };
}

describe('a new replica', () => {
  test('follows a log that has everything', () => {
    expect(judgeLog(fresh, first, found(1n, 50n), 0n)).toEqual({ kind: 'follow' });
    expect(judgeLog(fresh, first, found(1n, 0n), 0n)).toEqual({ kind: 'follow' });
  });

  test('is copied where the log was trimmed or carries another one on', () => {
    expect(judgeLog(fresh, first, found(7n, 50n), 0n)).toMatchObject({ kind: 'copy', cause: 'log_trimmed' });
    expect(judgeLog(fresh, second, found(101n, 150n, 'two'), 0n)).toMatchObject({ kind: 'copy' });
    expect(judgeLog(fresh, second, found(101n, 100n, 'two'), 0n)).toMatchObject({ kind: 'copy' });
  });

  test('follows a log that carries on after nothing at all', () => {
    const empty = { ...second, continues: { incarnation: 'one', position: 0n, chain: fresh.chain } };
    expect(judgeLog(fresh, empty, found(1n, 3n, 'two'), 0n)).toEqual({ kind: 'follow' });
  });

  test('halts where the log is gone', () => {
    expect(judgeLog(fresh, first, undefined, 0n)).toMatchObject({ kind: 'halt', cause: 'log_regressed' });
  });
});

describe('a replica of the same log', () => {
  test('follows from where it is', () => {
    expect(judgeLog(held(50n), first, found(1n, 50n), 50n)).toEqual({ kind: 'follow' });
    expect(judgeLog(held(50n), first, found(51n, 80n), 80n)).toEqual({ kind: 'follow' });
    expect(judgeLog(held(50n), first, found(51n, 50n), 0n)).toEqual({ kind: 'follow' });
  });

  test('is rebuilt where the log begins too late', () => {
    expect(judgeLog(held(50n), first, found(52n, 80n), 0n)).toMatchObject({ kind: 'copy', cause: 'log_trimmed' });
  });

  test.each([
    ['ends before it', found(1n, 49n), 0n],
    ['ends before what a peer had', found(1n, 60n), 61n],
    ['is another one', found(1n, 60n, 'other'), 0n],
    ['is gone', undefined, 0n],
  ])('halts where the log %s', (_, log, heard) => {
    expect(judgeLog(held(50n), first, log, heard)).toMatchObject({ kind: 'halt', cause: 'log_regressed' });
  });
});

describe('a replica of the log before', () => {
  const log = found(101n, 120n, 'two');

  test('takes the new one at exactly its position and chain', () => {
    expect(judgeLog(held(100n), second, log, 0n)).toEqual({ kind: 'adopt' });
  });

  test('is copied where it is behind, or of another history', () => {
    expect(judgeLog(held(99n), second, log, 0n)).toMatchObject({ kind: 'copy', cause: 'log_trimmed' });
    expect(judgeLog(held(100n, 'one', 'd'.repeat(32)), second, log, 0n)).toMatchObject({
      kind: 'copy',
      cause: 'diverged',
    });
  });

  test('stays halted where it is ahead: what it has was perhaps acknowledged', () => {
    expect(judgeLog(held(101n), second, log, 0n)).toMatchObject({ kind: 'halt', cause: 'log_regressed' });
  });

  test('stays halted where nothing says how the logs are related', () => {
    expect(judgeLog(held(10n, 'zero'), second, log, 0n)).toMatchObject({ kind: 'halt', cause: 'log_regressed' });
    expect(judgeLog(held(10n, 'zero'), first, found(1n, 60n), 0n)).toMatchObject({ kind: 'halt' });
  });
});
