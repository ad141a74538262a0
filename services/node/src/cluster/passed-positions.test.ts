import type { ReplicaReport } from '@statestore/cluster';
import { expect, test } from 'vitest';
import { passedPositions } from './passed-positions.ts';

function report(position: number, more: Partial<ReplicaReport> = {}): ReplicaReport {
  return {
    partition: 3,
    state: 'halted',
    haltCause: 'log_regressed',
    reason: '',
    incarnation: 'lost',
    appliedPosition: String(position),
    storedPosition: String(position),
    lag: 0,
    chain: '',
    stateHash: '',
    entries: 0,
    bytes: 0,
    ...more,
  };
}

const chainAt = (position: bigint): string | undefined => (position < 3n ? undefined : `chain at ${position}`);
const running = (position: number): ReplicaReport => ({ ...report(position), state: 'running' });

test('one that waits tells of every position of others that it has passed', () => {
  const others = [report(7), running(4), report(7), report(2), report(0), report(10), report(5, { incarnation: 'x' })];
  expect(passedPositions(report(9), others, chainAt)).toEqual({
    passed: [{ position: '7', chain: 'chain at 7' }, { position: '4', chain: 'chain at 4' }, { position: '2' }],
  });
  expect(passedPositions(report(9), [], chainAt)).toEqual({ passed: [] });
});

test('one that runs tells of those that wait, and nothing where nobody does', () => {
  expect(passedPositions(running(9), [report(7), running(4)], chainAt)).toEqual({
    passed: [{ position: '7', chain: 'chain at 7' }],
  });
  expect(passedPositions(running(9), [running(7)], chainAt)).toEqual({});
});
