import type { PartitionPlacement } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import type { LogRecoveryWish } from './log-recovery-decision.ts';
import { decideLogRecovery } from './log-recovery-decision.ts';
import type { LogDescription } from './log-streams.ts';
import type { ObservedNode, ReplicaReport } from './node-registry.ts';

const incarnation = '0198c5a4-0000-4000-8000-000000000001';
const other = '0198c5a4-0000-4000-8000-000000000002';
const placement: PartitionPlacement = {
  partition: 3,
  slots: [],
  replicas: ['a', 'b', 'c'],
  joining: ['d'],
  log: { generation: 2, incarnation },
};

/** Halted for its log, at this position. */
function at(position: bigint, more: Partial<ReplicaReport> = {}): ReplicaReport {
  return {
    partition: 3,
    state: 'halted',
    haltCause: 'log_regressed',
    reason: '',
    incarnation,
    appliedPosition: String(position),
    storedPosition: String(position),
    lag: 0,
    chain: `chain of ${position}`,
    stateHash: '',
    entries: 0,
    bytes: 0,
    ...more,
  };
}

type Found = ReplicaReport | undefined | 'silent' | 'unconfirmed' | 'left at 9';

function decide(
  found: Readonly<Record<string, Found>>,
  { stream, ...wish }: LogRecoveryWish & { readonly stream?: LogDescription } = {},
): ReturnType<typeof decideLogRecovery> {
  const nodes = new Map<string, ObservedNode>();
  for (const [name, each] of Object.entries(found)) {
    if (each === 'silent') continue;
    const replica = each === 'unconfirmed' ? at(1n) : each === 'left at 9' ? at(9n) : each;
    const live = each !== 'left at 9';
    const said = { name, epoch: '5', replicas: replica === undefined ? [] : [replica] };
    const report = said as unknown as ObservedNode['report'];
    nodes.set(name, { report, live, confirmed: live && each !== 'unconfirmed' });
  }
  return decideLogRecovery(placement, nodes, stream, wish);
}

function nodesOf(found: Readonly<Record<string, ReplicaReport>>): ReadonlyMap<string, ObservedNode> {
  return new Map(
    Object.entries(found).map(([name, replica]) => {
      const report = { name, epoch: '5', replicas: [replica] } as unknown as ObservedNode['report'];
      return [name, { report, live: true, confirmed: true }];
    }),
  );
}

const stream = (last: bigint, of = incarnation): LogDescription => ({
  log: { generation: 2, incarnation: of },
  first: 1n,
  last,
  sizeBytes: 0,
});

describe('a lost log', () => {
  test('is carried on from the replica that has most; those behind are named', () => {
    expect(decide({ a: at(7n), b: at(9n), c: at(9n), d: at(8n) })).toEqual({
      kind: 'recover',
      point: { partition: 3, incarnation, position: 9n, chain: 'chain of 9' },
      from: 'b',
      behind: ['a', 'd'],
      lost: [],
      despite: [],
      losses: [],
    });
  });

  test('may be carried on from one that only joined, where that has most', () => {
    expect(decide({ a: at(7n), b: at(7n), c: at(7n), d: at(9n) })).toMatchObject({ kind: 'recover', from: 'd' });
    expect(decide({ a: at(7n), b: at(7n), c: at(7n), d: 'silent' })).toMatchObject({ kind: 'recover', from: 'a' });
  });

  test('that holds everything is sound; one of another incarnation, or a shorter one, is not', () => {
    const all = { a: at(7n), b: at(9n), c: at(9n) };
    expect(decide(all, { stream: stream(9n) })).toMatchObject({ kind: 'sound' });
    expect(decide(all, { stream: stream(12n) })).toMatchObject({ kind: 'sound' });
    expect(decide(all, { stream: stream(12n), force: true })).toMatchObject({ kind: 'recover' });
    expect(decide(all, { stream: stream(8n) })).toMatchObject({ kind: 'recover' });
    expect(decide(all, { stream: stream(12n, other) })).toMatchObject({ kind: 'recover' });
    expect(decide(all, { stream: { ...stream(9n), sealed: true } })).toMatchObject({ kind: 'recover' });
  });

  test('is not sound where one that is silent now had more', () => {
    const found = { a: at(7n), b: at(7n), c: 'left at 9' } as const;
    expect(decide(found, { stream: stream(8n) })).toMatchObject({ kind: 'refused' });
    expect(decide(found, { stream: stream(9n) })).toMatchObject({ kind: 'sound' });
    expect(decide(found, { stream: stream(8n), force: true })).toMatchObject({ from: 'a', point: { position: 7n } });
  });

  test.each<[string, Readonly<Record<string, Found>>, string]>([
    ['is silent', { a: at(9n), b: at(9n), c: 'silent' }, 'node c is silent'],
    ['said nothing new yet', { a: at(9n), b: at(9n), c: 'unconfirmed' }, 'node c is silent'],
    ['has none', { a: at(9n), b: at(9n), c: undefined }, 'node c reports no replica'],
    ['still runs', { a: at(9n), b: at(9n), c: at(8n, { state: 'running' }) }, 'node c is running'],
    ['opens', { a: at(9n), b: at(9n), c: at(8n, { state: 'starting' }) }, 'node c is starting'],
    ['differs', { a: at(9n), b: at(9n), c: at(9n, { haltCause: 'diverged' }) }, 'another cause (diverged)'],
    ['follows another log', { a: at(9n), b: at(9n), c: at(9n, { incarnation: other }) }, `follows log ${other}`],
    ['has not stored all', { a: at(9n), b: at(9n), c: at(9n, { storedPosition: '8' }) }, 'not stored everything'],
    [
      'is at the same place by another way',
      { a: at(9n), b: at(9n), c: at(9n, { chain: 'x' }) },
      'a and c are both at 9',
    ],
  ])('is refused while a replica %s, and carried on where that is insisted on', (_, found, why) => {
    const refused = decide(found);
    expect(refused).toMatchObject({ kind: 'refused' });
    expect('why' in refused && [refused.why].flat().join('\n')).toContain(why);
    const forced = decide(found, { force: true });
    expect(forced).toMatchObject({ kind: 'recover', point: { position: 9n, chain: 'chain of 9' } });
    expect('despite' in forced && forced.despite.join('\n')).toContain(why);
  });

  test('what was said before the log was fenced does not count', () => {
    const found = { a: at(9n), b: at(9n), c: at(9n) };
    expect(decide(found, { epoch: 5n })).toMatchObject({ kind: 'recover' });
    expect(decide(found, { epoch: 6n })).toMatchObject({ kind: 'refused' });
    expect(decide(found, { epoch: 6n, force: true })).toMatchObject({ kind: 'refused' });
  });

  test('one that is copied anew need not be heard: it has nothing of its own', () => {
    expect(decide({ a: at(9n), b: at(9n), c: at(0n, { state: 'copying' }) })).toMatchObject({ kind: 'recover' });
  });

  test('what differs or cannot be read is never carried on', () => {
    const found = { a: at(5n), b: at(9n, { haltCause: 'diverged' }), c: at(9n, { haltCause: 'engine_failed' }) };
    expect(decide(found, { force: true })).toMatchObject({ from: 'a', point: { position: 5n } });
    const none = { a: 'silent', b: at(9n, { haltCause: 'diverged' }), c: 'silent' } as const;
    expect(decide(none, { force: true })).toMatchObject({ kind: 'refused' });
  });

  test('may be carried on from one that is named; what others lose is said', () => {
    const found = { a: at(7n), b: at(9n), c: at(7n, { chain: 'x' }) };
    const refused = decide(found, { from: 'a' });
    expect(refused).toMatchObject({ kind: 'refused' });
    expect('why' in refused && [refused.why].flat().join('\n')).toContain('node b is ahead: at 9, a at 7');
    expect(decide(found, { from: 'a', force: true })).toMatchObject({ from: 'a', lost: ['b', 'c'], behind: [] });
    expect(decide(found, { from: 'z', force: true })).toMatchObject({ kind: 'refused' });
  });

  describe('with a replica behind', () => {
    const best = (passed: ReplicaReport['passed']) => at(9n, passed === undefined ? {} : { passed });
    const found = (passed: ReplicaReport['passed']) => ({ a: at(7n), b: best(passed), c: at(9n) });

    test('is carried on where that is an earlier part of the same history, or nobody can tell', () => {
      expect(decide(found([{ position: '7', chain: 'chain of 7' }]))).toMatchObject({ kind: 'recover', behind: ['a'] });
      expect(decide(found([{ position: '7' }]))).toMatchObject({ kind: 'recover', behind: ['a'] });
      expect(decide(found(undefined))).toMatchObject({ kind: 'recover', behind: ['a'] });
    });

    test.each<[string, ReplicaReport['passed'], string, readonly string[]]>([
      ['has another history', [{ position: '7', chain: 'x' }], 'node a has another history than b: at 7', ['a']],
      ['was not compared yet', [{ position: '6', chain: 'x' }], 'not said yet whether a, at 7, has', []],
    ])('is refused where that %s', (_, passed, why, lost) => {
      const refused = decide(found(passed));
      expect('why' in refused && [refused.why].flat().join('\n')).toContain(why);
      const forced = decide(found(passed), { force: true });
      expect(forced).toMatchObject({ kind: 'recover', from: 'b', lost, losses: [expect.stringContaining(why)] });
    });
  });

  test('is refused where a replica is known to have had more, though all speak and none has it', () => {
    const found = { a: at(5n, { heardPosition: '6' }), b: at(5n), c: at(0n, { chain: '0' }) };
    const refused = decide(found);
    expect('why' in refused && [refused.why].flat()).toEqual([
      'a replica is known to have been at 6; the best that can be had, on a, is at 5',
    ]);
    expect(decide(found, { force: true })).toMatchObject({ kind: 'recover', point: { position: 5n } });
  });
});

describe('a log that carries on another one, of which nobody has anything any more', () => {
  const lost = { generation: 2, incarnation, continues: { incarnation: other, position: 9n, chain: 'chain of 9' } };
  const before = (position: bigint, more: Partial<ReplicaReport> = {}) =>
    at(position, { incarnation: other, haltCause: 'log_trimmed', ...more });
  const empty = at(0n, { state: 'copying', chain: '0' });
  const decideThis = (found: Readonly<Record<string, ReplicaReport>>, wish: LogRecoveryWish = {}) =>
    decideLogRecovery({ ...placement, log: lost }, nodesOf(found), { ...stream(9n), log: lost }, wish);

  test('is carried on, where that is insisted on, from what is left of that one', () => {
    const found = { a: empty, b: before(8n), c: before(7n) };
    expect(decideThis(found)).toMatchObject({ kind: 'refused' });
    expect(decideThis(found, { force: true })).toMatchObject({
      kind: 'recover',
      point: { partition: 3, incarnation: other, position: 8n, chain: 'chain of 8' },
      from: 'b',
      behind: ['c'],
      losses: [expect.stringContaining(`nobody has anything of log ${incarnation} any more: node b has a part`)],
    });
    expect(decideThis(found, { force: true, from: 'c' })).toMatchObject({ point: { position: 7n }, lost: ['b'] });
    expect(decideThis({ ...found, b: before(9n) }, { force: true })).toMatchObject({ point: { position: 9n } });
  });

  test('never from an empty replica of it, from what is beyond that place, or while one of it is left', () => {
    const fresh = at(0n, { haltCause: 'log_trimmed', chain: '0' });
    expect(decideThis({ a: fresh, b: before(8n), c: fresh }, { force: true })).toMatchObject({ from: 'b' });
    expect(decideThis({ a: fresh, b: before(10n), c: before(7n) }, { force: true })).toMatchObject({ from: 'c' });
    expect(decideThis({ a: fresh, b: before(10n), c: fresh }, { force: true })).toMatchObject({ kind: 'refused' });
    const running = before(8n, { state: 'running' });
    expect(decideThis({ a: fresh, b: running, c: fresh }, { force: true })).toMatchObject({ kind: 'refused' });
    expect(decideThis({ a: at(9n), b: before(9n), c: fresh }, { force: true })).toMatchObject({ from: 'a' });
    expect(decideThis({ a: at(9n), b: before(9n), c: fresh }, { force: true, from: 'b' })).toMatchObject({
      kind: 'refused',
    });
  });
});
