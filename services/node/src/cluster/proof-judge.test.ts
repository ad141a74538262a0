import { describe, expect, test } from 'vitest';
import { newState } from '@statestore/core';
import { HashRing } from './hash-ring.ts';
import { judgeProofs } from './proof-judge.ts';

const replicas = ['a', 'b', 'c'];

function votes(by: Readonly<Record<string, string>>): Map<string, { chain: string; stateHash: string }> {
  return new Map(Object.entries(by).map(([node, stateHash]) => [node, { chain: 'chain', stateHash }]));
}

describe('judging proofs', () => {
  test.each([
    ['all are equal', { a: '1', b: '1', c: '1' }],
    ['nobody else has spoken', { a: '1' }],
    ['this one has not spoken', { b: '1', c: '2' }],
  ])('finds nothing where %s', (_, by) => {
    expect(judgeProofs(votes(by), 'a', replicas)).toEqual({ kind: 'equal' });
  });

  test('outvotes the one that differs', () => {
    expect(judgeProofs(votes({ a: '1', b: '2', c: '2' }), 'a', replicas)).toEqual({ kind: 'outvoted', by: ['b', 'c'] });
    expect(judgeProofs(votes({ a: '1', b: '2', c: '2' }), 'b', replicas)).toEqual({
      kind: 'confirmed',
      against: ['a'],
    });
  });

  test('takes a difference of the chain for one as well', () => {
    const ballot = votes({ a: '1', b: '1', c: '1' });
    ballot.set('a', { chain: 'other', stateHash: '1' });
    expect(judgeProofs(ballot, 'a', replicas)).toMatchObject({ kind: 'outvoted' });
  });

  test('leaves it open where nobody has more than half of all, silent ones too', () => {
    expect(judgeProofs(votes({ a: '1', b: '2' }), 'a', replicas)).toEqual({
      kind: 'open',
      against: ['b'],
      silent: ['c'],
    });
    expect(judgeProofs(votes({ a: '1', b: '2' }), 'a', ['a', 'b'])).toEqual({
      kind: 'open',
      against: ['b'],
      silent: [],
    });
    expect(judgeProofs(votes({ a: '1', b: '2', c: '3' }), 'a', replicas)).toMatchObject({ kind: 'open', silent: [] });
  });

  test('lets a joining replica be outvoted, and not vote', () => {
    expect(judgeProofs(votes({ new: '1', a: '2' }), 'new', ['a'])).toMatchObject({ kind: 'outvoted' });
    expect(judgeProofs(votes({ a: '2', new: '1' }), 'a', ['a'])).toMatchObject({ kind: 'confirmed' });
    expect(judgeProofs(votes({ new: '1', a: '2', b: '1' }), 'a', ['a', 'b'])).toMatchObject({ kind: 'open' });
  });
});

describe('the ring of own hashes', () => {
  function at(position: bigint): ReturnType<typeof newState> {
    const state = newState();
    state.position = position;
    state.chain[0] = Number(position);
    state.stateHash[3] = Number(position) * 2;
    return state;
  }

  test('keeps the last ones', () => {
    const ring = new HashRing(4);
    for (let position = 1n; position <= 10n; position++) ring.note(at(position));
    expect(ring.get(6n)).toBeUndefined();
    expect(ring.get(11n)).toBeUndefined();
    for (let position = 7n; position <= 10n; position++) expect(ring.get(position)).toBeDefined();
    expect(ring.get(10n)).not.toEqual(ring.get(9n));
  });

  test('keeps what it noted, not what the state becomes', () => {
    const ring = new HashRing(4);
    const state = at(1n);
    ring.note(state);
    const before = ring.get(1n);
    state.chain[0] = 99;
    expect(ring.get(1n)).toEqual(before);
  });

  test('keeps fixed positions only', () => {
    const ring = new HashRing(3, 10n);
    for (let position = 1n; position <= 59n; position++) ring.note(at(position));
    expect([20n, 30n, 40n, 50n, 55n].map((position) => ring.get(position) !== undefined)).toEqual([
      false,
      true,
      true,
      true,
      false,
    ]);
  });
});
