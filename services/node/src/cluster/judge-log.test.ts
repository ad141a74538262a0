import type { PartitionLog } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import type { FoundLog, HeldState } from './judge-log.ts';
import { judgeLog, judgeSame } from './judge-log.ts';

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
    expect(judgeLog(fresh, first, found(1n, 50n), { heard: 0n })).toEqual({ kind: 'follow' });
    expect(judgeLog(fresh, first, found(1n, 0n), { heard: 0n })).toEqual({ kind: 'follow' });
  });

  test('is copied where the log was trimmed or carries another one on', () => {
    expect(judgeLog(fresh, first, found(7n, 50n), { heard: 0n })).toMatchObject({ kind: 'copy', cause: 'log_trimmed' });
    expect(judgeLog(fresh, second, found(101n, 150n, 'two'), { heard: 0n })).toMatchObject({ kind: 'copy' });
    expect(judgeLog(fresh, second, found(101n, 100n, 'two'), { heard: 0n })).toMatchObject({ kind: 'copy' });
  });

  test('follows a log that carries on after nothing at all', () => {
    const empty = { ...second, continues: { incarnation: 'one', position: 0n, chain: fresh.chain } };
    expect(judgeLog(fresh, empty, found(1n, 3n, 'two'), { heard: 0n })).toEqual({ kind: 'follow' });
  });

  test('halts where the log is gone', () => {
    expect(judgeLog(fresh, first, undefined, { heard: 0n })).toMatchObject({ kind: 'halt', cause: 'log_regressed' });
  });
});

describe('a replica of the same log', () => {
  test('follows from where it is', () => {
    expect(judgeLog(held(50n), first, found(1n, 50n), { heard: 50n })).toEqual({ kind: 'follow' });
    expect(judgeLog(held(50n), first, found(51n, 80n), { heard: 80n })).toEqual({ kind: 'follow' });
    expect(judgeLog(held(50n), first, found(51n, 50n), { heard: 0n })).toEqual({ kind: 'follow' });
  });

  test('is rebuilt where the log begins too late', () => {
    expect(judgeLog(held(50n), first, found(52n, 80n), { heard: 0n })).toMatchObject({
      kind: 'copy',
      cause: 'log_trimmed',
    });
  });

  test.each([
    ['ends before it', found(1n, 49n), 0n],
    ['ends before what a peer had', found(1n, 60n), 61n],
    ['is another one', found(1n, 60n, 'other'), 0n],
    ['is gone', undefined, 0n],
  ])('halts where the log %s', (_, log, heard) => {
    expect(judgeLog(held(50n), first, log, { heard })).toMatchObject({ kind: 'halt', cause: 'log_regressed' });
  });
});

describe('a replica of a log that is long enough', () => {
  const sealed = { sealed: true } as const;

  test.each([
    ['has the very batch there', { heard: 50n, holdsLast: true }, { kind: 'follow' }],
    ['cannot be compared', { heard: 50n, holdsLast: undefined }, { kind: 'follow' }],
    ['has another batch there', { heard: 50n, holdsLast: false }, { kind: 'halt', cause: 'log_regressed' }],
  ])('and %s', (_, evidence, judgement) => {
    expect(judgeLog(held(50n), first, found(1n, 80n), evidence)).toMatchObject(judgement);
    expect(judgeLog(held(50n), first, found(1n, 50n), evidence)).toMatchObject(judgement);
  });

  test('reads a sealed one to its end, and follows it no further', () => {
    expect(judgeLog(held(50n), first, { ...found(1n, 51n), ...sealed }, { heard: 0n })).toEqual({ kind: 'follow' });
    const judgement = judgeLog(held(50n), first, { ...found(1n, 50n), ...sealed }, { heard: 0n });
    expect(judgement).toMatchObject({ kind: 'halt', cause: 'log_regressed' });
    expect(judgement).toMatchObject({ why: expect.stringContaining('sealed') });
    expect(judgeLog(fresh, first, { ...found(1n, 0n), ...sealed }, { heard: 0n })).toMatchObject({ kind: 'halt' });
  });

  test('adopts no successor that is sealed already', () => {
    const log = { ...found(101n, 100n, 'two'), ...sealed };
    expect(judgeSame(held(100n, 'two'), second, log, { heard: 0n })).toMatchObject({ kind: 'halt' });
  });
});

describe('a replica of the log before', () => {
  const log = found(101n, 120n, 'two');

  test('takes the new one at exactly its position and chain', () => {
    expect(judgeLog(held(100n), second, log, { heard: 0n })).toEqual({ kind: 'adopt' });
  });

  test('is copied where it is behind, or of another history', () => {
    expect(judgeLog(held(99n), second, log, { heard: 0n })).toMatchObject({ kind: 'copy', cause: 'log_trimmed' });
    expect(judgeLog(held(100n, 'one', 'd'.repeat(32)), second, log, { heard: 0n })).toMatchObject({
      kind: 'copy',
      cause: 'diverged',
      kept: true,
    });
  });

  test('stays halted where it is ahead: what it has was perhaps acknowledged', () => {
    expect(judgeLog(held(101n), second, log, { heard: 0n })).toMatchObject({ kind: 'halt', cause: 'log_regressed' });
  });

  test('is copied where it was away through more than one recovery: the copy tells what becomes of its data', () => {
    for (const position of [10n, 100n]) {
      const judgement = judgeLog(held(position, 'zero'), second, log, { heard: 0n });
      expect(judgement).toMatchObject({ kind: 'copy', cause: 'log_trimmed' });
      expect(judgement).not.toHaveProperty('kept');
    }
  });

  test('stays halted where nothing says how the logs are related', () => {
    const ahead = judgeLog(held(101n, 'zero'), second, log, { heard: 0n });
    expect(ahead).toMatchObject({ kind: 'halt', cause: 'log_regressed' });
    expect(judgeLog(held(10n, 'zero'), first, found(1n, 60n), { heard: 0n })).toMatchObject({ kind: 'halt' });
  });
});
