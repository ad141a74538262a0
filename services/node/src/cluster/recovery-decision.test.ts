import type { ObservedNode, ReplicaReport } from '@statestore/cluster';
import type { PartitionPlacement } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { decideRecovery } from './recovery-decision.ts';

const placement: PartitionPlacement = {
  partition: 3,
  slots: [],
  replicas: ['a', 'b', 'c'],
  joining: ['d'],
  log: { generation: 1, incarnation: 'lost' },
};

function replica(position: number, more: Partial<ReplicaReport> = {}): ReplicaReport {
  return {
    partition: 3,
    state: 'halted',
    haltCause: 'log_regressed',
    reason: '',
    incarnation: 'lost',
    appliedPosition: String(position),
    storedPosition: String(position),
    lag: 0,
    chain: `chain at ${position}`,
    stateHash: '',
    entries: 0,
    bytes: 0,
    durable: true,
    ...more,
  };
}

function nodes(
  replicas: Readonly<Record<string, ReplicaReport | undefined>>,
  silent: readonly string[] = [],
): Map<string, ObservedNode> {
  return new Map(
    Object.entries(replicas).map(([name, found]) => {
      const confirmed = !silent.includes(name);
      const said = { name, epoch: '5', replicas: found === undefined ? [] : [found] };
      const report = said as unknown as ObservedNode['report'];
      return [name, { report, live: confirmed, confirmed }];
    }),
  );
}

describe('recovery without a person', () => {
  test('is by the node whose replica has the most', () => {
    const all = nodes({ a: replica(7), b: replica(9), c: replica(8) });
    expect(decideRecovery(placement, all, 'b')).toEqual({
      kind: 'recover',
      incarnation: 'lost',
      position: 9n,
      chain: 'chain at 9',
    });
    for (const other of ['a', 'c']) expect(decideRecovery(placement, all, other)).toEqual({ kind: 'leave', to: 'b' });
  });

  test('is by the first one of the topology where several have the same', () => {
    const all = nodes({ c: replica(9), b: replica(9), a: replica(2) });
    expect(decideRecovery(placement, all, 'b').kind).toBe('recover');
    expect(decideRecovery(placement, all, 'c').kind).toBe('leave');
  });

  test('compares positions as numbers', () => {
    expect(decideRecovery(placement, nodes({ a: replica(10), b: replica(9), c: replica(9) }), 'a').kind).toBe(
      'recover',
    );
  });

  test('does not ask those that only join', () => {
    const all = nodes({ a: replica(1), b: replica(1), c: replica(1), d: replica(5, { state: 'copying' }) });
    expect(decideRecovery(placement, all, 'a').kind).toBe('recover');
  });

  test.each<[string, Map<string, ObservedNode>, string]>([
    ['a node was never heard of', nodes({ a: replica(9), b: replica(9) }), 'node c is silent'],
    ['a node fell silent', nodes({ a: replica(9), b: replica(9), c: replica(9) }, ['c']), 'node c is silent'],
    ['a node reports no replica', nodes({ a: replica(9), b: replica(9), c: undefined }), 'not reported'],
    [
      'a replica runs',
      nodes({ a: replica(9), b: replica(9), c: { ...replica(9), state: 'running' } }),
      'on node c is running',
    ],
    [
      'a replica halted for another reason',
      nodes({ a: replica(9), b: replica(9, { haltCause: 'diverged' }), c: replica(9) }),
      'halted (diverged)',
    ],
    [
      'a replica is of another log',
      nodes({ a: replica(9), b: replica(9, { incarnation: 'other' }), c: replica(9) }),
      'of log other',
    ],
    [
      'a replica has not stored everything',
      nodes({ a: replica(9), b: replica(9, { storedPosition: '8' }), c: replica(9) }),
      'not stored',
    ],
    [
      'a replica is in memory',
      nodes({ a: replica(9), b: replica(9, { durable: false }), c: replica(9) }),
      'on node b is in memory only',
    ],
    [
      'two are at one position and differ',
      nodes({ a: replica(9), b: replica(4), c: replica(4, { chain: 'another' }) }),
      'both at 4 and differ',
    ],
  ])('waits where %s', (_, all, why) => {
    for (const self of ['a', 'b', 'c']) {
      const decision = decideRecovery(placement, all, self);
      expect(decision).toMatchObject({ kind: 'wait', why: expect.stringContaining(why) as unknown });
    }
  });

  test('counts what was said since the log was fenced', () => {
    const all = nodes({ a: replica(7), b: replica(9), c: replica(8) });
    expect(decideRecovery(placement, all, 'b', { epoch: 5n }).kind).toBe('recover');
    expect(decideRecovery(placement, all, 'b', { epoch: 6n })).toMatchObject({
      kind: 'wait',
      why: 'node a has said nothing since the log was fenced',
    });
  });

  test('waits where one that is behind is not an earlier part of the same history, as far as that is known', () => {
    const all = nodes({ a: replica(7), b: replica(9), c: replica(0, { chain: '0' }) });
    const decide = (chainAt: (position: bigint) => string | undefined) =>
      decideRecovery(placement, all, 'b', { chainAt });
    expect(decide((position) => `chain at ${position}`)).toMatchObject({ kind: 'recover', position: 9n });
    expect(decide(() => undefined).kind).toBe('recover');
    expect(decide(() => 'another')).toEqual({
      kind: 'wait',
      why: 'the replica on node a has another history: at 7 it differs',
    });
    expect(decideRecovery(placement, all, 'a', { chainAt: () => 'another' })).toEqual({ kind: 'leave', to: 'b' });
  });

  test('waits where a replica is known to have had more than any has now', () => {
    const all = nodes({ a: replica(5), b: replica(5), c: replica(0, { chain: '0' }) });
    for (const self of ['a', 'b', 'c']) {
      expect(decideRecovery(placement, all, self, { heard: 6n })).toEqual({
        kind: 'wait',
        why: 'a replica was at 6, and none has more than 5 now',
      });
    }
    expect(decideRecovery(placement, all, 'a', { heard: 5n }).kind).toBe('recover');
    // It may be one that only joins: that one acknowledged nothing.
    const joined = (position: number) => new Map([...all, ...nodes({ d: replica(position) })]);
    expect(decideRecovery(placement, joined(6), 'a', { heard: 6n }).kind).toBe('recover');
    expect(decideRecovery(placement, joined(6), 'a', { heard: 7n }).kind).toBe('wait');
  });

  test('waits where the topology names nothing to recover', () => {
    const { log: _, ...without } = placement;
    expect(decideRecovery(without, nodes({}), 'a').kind).toBe('wait');
    expect(decideRecovery({ ...placement, replicas: [] }, nodes({}), 'a').kind).toBe('wait');
  });
});
