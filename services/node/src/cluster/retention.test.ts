import type { ObservedNode, ReplicaReport } from '@statestore/cluster';
import type { PartitionPlacement, Topology } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { Peers } from './peers.ts';
import { judgeRetention, type LeftData } from './retention.ts';

const placement: PartitionPlacement = {
  partition: 0,
  slots: [],
  replicas: ['b', 'c'],
  log: { generation: 2, incarnation: 'two', continues: { incarnation: 'one', position: 50n, chain: 'c' } },
};

function topology(change: Partial<PartitionPlacement> = {}): Topology {
  return { epoch: 9n, partitions: [{ ...placement, ...change }] };
}

function peers(positions: readonly number[], change: Partial<ReplicaReport> = {}, confirmed = true): Peers {
  const all = new Peers('a');
  const observed = positions.map((position, at): [string, ObservedNode] => {
    const name = 'bc'[at]!;
    const replica = {
      partition: 0,
      state: 'running',
      incarnation: 'two',
      appliedPosition: String(position),
      storedPosition: String(position),
      ...(at === 0 ? change : {}),
    } as ReplicaReport;
    const report = { name, address: `${name}:1`, replicas: [replica] } as unknown as ObservedNode['report'];
    return [name, { report, live: true, confirmed: at !== 0 || confirmed }];
  });
  all.saw(new Map(observed));
  return all;
}

const held: LeftData = { position: 70n, incarnation: 'two', chain: 'h', holdsLast: true };
const nothing: LeftData = { ...held, position: 0n, incarnation: undefined };
const all = peers([70, 71]);

describe('data of a replica that is elsewhere now', () => {
  test('go where every other replica runs and has them', () => {
    expect(judgeRetention(0, held, topology(), all, 'a')).toEqual({ kind: 'remove' });
    expect(judgeRetention(0, { ...held, position: 50n, incarnation: 'one', chain: 'c' }, topology(), all, 'a')).toEqual(
      {
        kind: 'remove',
      },
    );
    expect(judgeRetention(0, nothing, topology(), all, 'a')).toEqual({ kind: 'remove' });
    const wrong = { why: 'its state is wrong', kept: false };
    expect(judgeRetention(0, { ...held, condemned: wrong }, topology(), all, 'a')).toEqual({ kind: 'remove' });
  });

  test.each<[string, Topology | undefined, Peers]>([
    ['there is no topology', undefined, all],
    ['the topology has no such partition', { epoch: 9n, partitions: [] }, all],
    ['it is wanted again', topology({ replicas: ['a', 'b', 'c'] }), all],
    ['it is to join again', topology({ joining: ['a'] }), all],
    ['nobody else has one', topology({ replicas: [] }), all],
    ['another one is missing', topology(), peers([70])],
    ['another one does not run', topology(), peers([70, 70], { state: 'halted' })],
    ['another one was not heard of lately', topology(), peers([70, 70], {}, false)],
    ['another one runs on another log', topology(), peers([70, 70], { incarnation: 'one' })],
    ['another one is behind', topology(), peers([69, 90])],
    ['another one has not stored as much', topology(), peers([90, 90], { storedPosition: '69' })],
  ])('stay where %s', (_, now, others) => {
    expect(judgeRetention(0, held, now, others, 'a')).toEqual({ kind: 'keep' });
  });

  test.each<[string, LeftData | undefined]>([
    ['their log has another batch there', { ...held, holdsLast: false }],
    ['nobody can tell whether their log had what they have', { ...held, holdsLast: undefined }],
    ['they are behind the recovered log, of whatever history', { ...held, position: 49n, incarnation: 'one' }],
    ['they are where the recovered log begins, of another history', { ...held, position: 50n, incarnation: 'one' }],
    ['they are ahead of the recovered log', { ...held, position: 51n, incarnation: 'one' }],
    ['nobody knows what they are of', { ...held, incarnation: 'other' }],
    ['they are condemned, of whatever history', { ...held, condemned: { why: 'of another history', kept: true } }],
    ['they are condemned, and nothing is left to be read', { ...nothing, condemned: { why: 'wrong', kept: true } }],
    ['they cannot be read', undefined],
  ])('are set aside where %s', (_, facts) => {
    expect(judgeRetention(0, facts, topology(), all, 'a')).toMatchObject({ kind: 'setAside' });
  });
});

describe('what is known of peers', () => {
  test('the greatest position of a log, also of nodes that are gone', () => {
    const seen = peers([70, 75]);
    seen.saw(new Map());
    expect(seen.highest(0, 'two')).toBe(75n);
    expect(seen.highest(0, 'one')).toBe(0n);
    seen.heard(0, 'two', 60n);
    expect(seen.highest(0, 'two')).toBe(75n);
    seen.keepOnly([{ ...placement, log: { generation: 3, incarnation: 'three' } }]);
    expect(seen.highest(0, 'two')).toBe(0n);
  });

  test('a position that another one has heard of counts as well, and so does what an earlier process of this node had', () => {
    expect(peers([70, 75], { heardPosition: '80' }).highest(0, 'two')).toBe(80n);
    const seen = peers([70, 75]);
    const { report } = seen.nodes.get('b')!;
    seen.sawReport({
      ...report,
      name: 'a',
      replicas: report.replicas.map((one) => ({ ...one, appliedPosition: '90' })),
    });
    expect(seen.highest(0, 'two')).toBe(90n);
  });

  test('whom a replica can be copied from, the preferred one last', () => {
    expect(all.sourcesOf(placement).map(({ node }) => node)).toEqual(['c', 'b']);
    expect(peers([70, 70], { state: 'starting' }).sourcesOf(placement)).toEqual([{ node: 'c', address: 'c:1' }]);
    expect(peers([70, 70], { incarnation: 'one' }).sourcesOf(placement)).toHaveLength(1);
  });
});

describe('data of a partition that the topology does not name', () => {
  const none: Topology = { epoch: 9n, partitions: [] };
  const retired = {
    placement,
    sealedPosition: 1n,
    into: { partition: 1, generation: 1, position: 1n },
    slotsEpoch: 3n,
  };
  const fields = { id: 'i', source: 4, target: 0, slots: [], slotsEpoch: 3n };
  const split = { kind: 'split' as const, ...fields, log: { generation: 3, incarnation: 'x' } };

  test.each<readonly [string, LeftData | undefined, Topology | undefined, string]>([
    ['that may be all that is left of it', held, none, 'keep'],
    ['that was merged into another one', { ...held, ownsNothing: true }, none, 'remove'],
    ['that is retired', { ...held, ownsNothing: true }, { ...none, retired: [retired] }, 'keep'],
    ['that did not come to be', { ...held, prepared: {} }, none, 'remove'],
    ['that is to be split off', { ...held, prepared: {} }, { ...none, reshapes: [split] }, 'keep'],
    ['where there is no topology', { ...held, ownsNothing: true }, undefined, 'keep'],
    ['that cannot be read', undefined, none, 'keep'],
    ['that a person is to look at', { ...held, ownsNothing: true, condemned: { why: 'w', kept: true } }, none, 'keep'],
  ])('%s', (_name, left, known, kind) => {
    expect(judgeRetention(0, left, known, all, 'a').kind).toBe(kind);
  });
});
