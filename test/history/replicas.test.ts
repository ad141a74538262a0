// Proves the rules of replicas: equal at equal positions at any time, and together at the end.
import { expect, test } from 'vitest';
import { checkReplicas } from './checker/replicas.ts';
import type { PlacementLine, ReplicaLine } from './history.ts';

const line = (node: string, position: string, given: Partial<ReplicaLine> = {}): ReplicaLine => ({
  type: 'replica',
  atMs: 0,
  node,
  partition: 0,
  state: 'running',
  position,
  chain: `chain of ${position}`,
  stateHash: `state of ${position}`,
  last: false,
  ...given,
});
const placements: PlacementLine[] = [{ type: 'placement', atMs: 0, partition: 0, replicas: ['a', 'b'] }];
const rulesOf = (lines: readonly ReplicaLine[]): string[] => checkReplicas(lines, placements).map(({ rule }) => rule);
const end = [line('a', '9', { last: true }), line('b', '9', { last: true })];

test('replicas may lag, and meet at the end', () => {
  expect(rulesOf([line('a', '1'), line('b', '2'), line('b', '1'), ...end])).toEqual([]);
});

test('a replica that differs at the same position is found, whenever it was seen', () => {
  expect(rulesOf([line('a', '1'), line('b', '1', { stateHash: 'another' }), ...end])).toEqual(['replicas differ']);
  expect(rulesOf([line('a', '1'), line('b', '1', { chain: 'another' }), ...end])).toEqual(['replicas differ']);
  expect(rulesOf([line('a', '1'), line('b', '1', { chain: 'another', partition: 1 }), ...end])).toEqual([]);
});

test('replicas that do not meet, do not run or are missing are found', () => {
  expect(rulesOf([end[0]!, line('b', '8', { last: true })])).toEqual(['no convergence']);
  expect(rulesOf([end[0]!, line('b', '9', { last: true, state: 'halted' })])).toEqual(['no convergence']);
  expect(rulesOf([end[0]!])).toEqual(['no convergence']);
});
