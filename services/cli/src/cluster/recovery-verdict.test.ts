import type { LogDescription, ObservedNode, ReplicaReport } from '@statestore/cluster';
import type { PartitionPlacement } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import type { PartitionVerdict } from './recovery-verdict.ts';
import { findings, isUnsettled, judgePartition, objectionsTo, verdictLines } from './recovery-verdict.ts';

const log = { generation: 1, incarnation: 'lost' };
const placement: PartitionPlacement = { partition: 3, slots: [], replicas: ['a', 'b', 'c'], log };

function halted(position: number, more: Partial<ReplicaReport> = {}): ReplicaReport {
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

function running(position: number, more: Partial<ReplicaReport> = {}): ReplicaReport {
  const { haltCause: _, ...rest } = halted(position, more);
  return { ...rest, state: 'running', ...more };
}

type Found = Readonly<Record<string, ReplicaReport | undefined>>;

function nodes(replicas: Found, silent: readonly string[] = []): Map<string, ObservedNode> {
  return new Map(
    Object.entries(replicas).map(([name, found]) => {
      const confirmed = !silent.includes(name);
      const report = {
        name,
        epoch: '5',
        replicas: found === undefined ? [] : [found],
      } as unknown as ObservedNode['report'];
      // As one that has fallen silent a moment ago.
      return [name, { report, live: true, confirmed }];
    }),
  );
}

function stream(last: number, more: Partial<LogDescription> = {}): LogDescription {
  return { log, first: 1n, last: BigInt(last), sizeBytes: 0, ...more };
}

const other = stream(50, { log: { generation: 1, incarnation: 'another' } });
const three = { a: halted(7), b: halted(9), c: halted(8) };

/** `recover b@9`, `force b@9`, `sound` or `refused`. */
function short(verdict: PartitionVerdict): string {
  if (verdict.kind !== 'recover') return verdict.kind;
  const { from, point } = verdict.decision;
  return `${verdict.against.length === 0 ? 'recover' : 'force'} ${from}@${point.position}`;
}

describe('what would be done', () => {
  test.each<[string, Found, readonly string[], LogDescription | undefined, string]>([
    ['a log that holds everything', { a: running(7), b: running(9), c: running(8) }, [], stream(9), 'sound'],
    ['a log that goes on', { a: running(7), b: running(9), c: running(8) }, [], stream(12), 'sound'],
    ['a node is away, and the log has all', { a: running(9), b: running(9), c: running(8) }, ['c'], stream(9), 'sound'],
    ['the stream is gone', three, [], undefined, 'recover b@9'],
    ['another stream is in its place', three, [], other, 'recover b@9'],
    ['the stream lost its end', three, [], stream(8), 'recover b@9'],
    ['positions are numbers', { a: halted(10), b: halted(9), c: halted(9) }, [], undefined, 'recover a@10'],
    ['the first of equals', { a: halted(9), b: halted(9), c: halted(9) }, [], undefined, 'recover a@9'],
    ['all wait for a log that has as much', three, [], stream(9), 'force b@9'],
    ['all wait for a log that has more', three, [], stream(12), 'force b@9'],
    ['in memory', { a: halted(9, { durable: false }), b: halted(8), c: halted(8) }, [], undefined, 'recover a@9'],
    ['a replica is silent', three, ['c'], undefined, 'force b@9'],
    ['the best is silent', three, ['b'], undefined, 'force c@8'],
    ['a silent one had more than the log', three, ['b'], stream(8), 'force c@8'],
    ['a silent one had more, and the log more than the others', three, ['b'], stream(8, { last: 8n }), 'force c@8'],
    ['one never reported', { a: halted(7), b: halted(9) }, [], undefined, 'force b@9'],
    ['one runs on', { ...three, c: running(8) }, [], undefined, 'force b@9'],
    ['one diverged', { ...three, b: halted(9, { haltCause: 'diverged' }) }, [], undefined, 'force c@8'],
    ['one has not stored all', { ...three, b: halted(9, { storedPosition: '8' }) }, [], undefined, 'force b@9'],
    ['two differ', { ...three, a: halted(8, { chain: 'else' }) }, [], undefined, 'refused'],
    ['none is left', three, ['a', 'b', 'c'], undefined, 'refused'],
    ['none is of this log', { a: halted(9, { incarnation: 'x' }) }, [], undefined, 'refused'],
    [
      'sealed, and all are at its end',
      { a: running(9), b: running(9), c: running(8) },
      [],
      stream(9, { sealed: true }),
      'recover a@9',
    ],
    [
      'sealed, and nobody is at its end',
      { a: running(8), b: running(8), c: running(8) },
      [],
      stream(9, { sealed: true }),
      'force a@8',
    ],
    [
      'sealed, one away',
      { a: running(9), b: running(9), c: running(8) },
      ['c'],
      stream(9, { sealed: true }),
      'force a@9',
    ],
  ])('%s', (_what, found, silent, there, expected) => {
    const verdict = judgePartition(placement, nodes(found, silent), there);
    expect(
      short(verdict),
      JSON.stringify(verdict, (_key, v: unknown) => (typeof v === 'bigint' ? String(v) : v)),
    ).toBe(expected);
  });

  test('two of one position and different chains are named, and not forced either', () => {
    const verdict = judgePartition(placement, nodes({ ...three, c: halted(9, { chain: 'else' }) }), undefined);
    expect(verdict).toMatchObject({
      kind: 'refused',
      why: [expect.stringMatching(/on b and c are both at 9 and differ/)],
    });
    expect(verdictLines(verdict, true).join('\n')).toContain('cannot be recovered');
  });

  test('the replica that was asked for is taken, and what others have more is told', () => {
    const verdict = judgePartition(placement, nodes(three), undefined, { from: 'c' });
    expect(short(verdict)).toBe('force c@8');
    expect(verdictLines(verdict, false).join('\n')).toMatch(
      /only with --force: carry on from c, position 8[^]*given up: b/,
    );
    expect(verdictLines(verdict, true).join('\n')).toContain('to do despite what may be lost');
    expect(short(judgePartition(placement, nodes(three), undefined, { from: 'b' }))).toBe('recover b@9');
  });

  test('a stream that has more than the best replica is said to lose it', () => {
    const verdict = judgePartition(placement, nodes(three, ['b']), stream(8));
    const more = judgePartition(placement, nodes({ ...three, b: halted(20) }, ['b']), stream(12));
    expect(verdict).toMatchObject({
      against: [expect.stringContaining('b is silent'), expect.stringContaining('known to have been at 9')],
    });
    expect(more).toMatchObject({
      against: [expect.anything(), expect.anything(), expect.stringContaining('goes to 12: what is after 8')],
    });
  });
});

describe('a log that grew again under some, while others wait for what it lost', () => {
  const grown = { a: halted(6), b: halted(4), c: running(11, { passed: [{ position: '6', chain: 'x' }] }) };

  test('is not said to be sound, and is left as it is, also with --force', () => {
    for (const from of [undefined, 'a', 'c']) {
      const verdict = judgePartition(placement, nodes(grown), stream(11), { from });
      const text = verdictLines(verdict, true).join('\n');
      expect(verdict.kind).toBe('refused');
      expect(text).toContain('the log goes to 11, and does not hold what a (at 6), b (at 4) applied');
      expect(text).toContain('a has another history than c: at 6 they differ');
      expect(text).toContain('stop the nodes of c, then --partition 3 --from a --yes --force');
      expect(text).toContain('stop the nodes of a, b, move partitions/3/data out');
    }
  });

  test('is carried on from one of those, where the others were stopped', () => {
    const verdict = judgePartition(placement, nodes(grown, ['c']), stream(11), { from: 'a' });
    expect(short(verdict)).toBe('force a@6');
    expect(verdictLines(verdict, false).join('\n')).toContain(
      'the stream goes to 11: what is after 6 in it is given up',
    );
  });
});

describe('histories', () => {
  const apart = { a: halted(6), b: halted(9, { passed: [{ position: '6', chain: 'x' }] }), c: halted(9) };

  test('that differ are given up only with --force, and named', () => {
    const verdict = judgePartition(placement, nodes(apart), undefined);
    expect(short(verdict)).toBe('force b@9');
    expect(verdictLines(verdict, false).join('\n')).toMatch(
      /something else, which is given up: a[^]*node a has another history than b: at 6/,
    );
    const sealed = judgePartition(placement, nodes(apart), stream(9, { sealed: true }));
    expect(sealed).toMatchObject({ against: [expect.stringContaining('node a has another history')] });
  });

  test('are waited for', () => {
    const compared = (passed: ReplicaReport['passed']) => ({
      ...apart,
      b: halted(9, passed && { passed }),
      c: halted(6),
    });
    expect(isUnsettled(placement, nodes(compared([])), undefined)).toBe(true);
    expect(isUnsettled(placement, nodes(compared([{ position: '6' }])), undefined)).toBe(false);
    expect(isUnsettled(placement, nodes(compared(undefined)), undefined)).toBe(false);
  });
});

describe('a log that carries on another one, of which nobody has anything any more', () => {
  const lost = { ...log, generation: 2, continues: { incarnation: 'before', position: 9n, chain: 'chain at 9' } };
  const judge = (found: Found, from?: string) =>
    judgePartition({ ...placement, log: lost }, nodes(found), stream(9, { log: lost, first: 10n }), { from });
  const before = (position: number, more: Partial<ReplicaReport> = {}) =>
    halted(position, { incarnation: 'before', haltCause: 'log_trimmed', ...more });
  const { haltCause: _, ...empty } = halted(0, { state: 'copying' });

  test('is carried on only with --force, and what is lost is told', () => {
    const verdict = judge({ a: empty, b: before(8), c: before(7) });
    expect(short(verdict)).toBe('force b@8');
    expect(verdictLines(verdict, false).join('\n')).toContain(
      'nobody has anything of log lost any more: node b has a part',
    );
    expect(short(judge({ a: empty, b: before(8), c: before(7) }, 'c'))).toBe('force c@7');
  });

  test('is not, where two of that one differ and none is named', () => {
    const found = { a: empty, b: before(8), c: before(8, { chain: 'else' }) };
    expect(judge(found)).toMatchObject({ kind: 'refused', why: [expect.stringContaining('on b and c are both at 8')] });
    expect(short(judge(found, 'c'))).toBe('force c@8');
  });
});

const sealedAt = { a: halted(9), b: halted(9), c: halted(9) };

describe('what is decided again, since the log was fenced', () => {
  const first = (found: Found, silent: readonly string[] = []) => {
    const verdict = judgePartition(placement, nodes(found, silent), undefined);
    return verdict.kind === 'recover' ? verdict.decision : expect.fail(verdict.kind);
  };
  const again = (found: Found, force: boolean, before = first(three), epoch = 5n) =>
    objectionsTo(judgePartition(placement, nodes(found), stream(9, { sealed: true }), { epoch }), before, force);

  test('is done where it is as it was, or better', () => {
    expect(again(three, false)).toEqual([]);
    expect(again({ ...three, b: halted(12) }, false)).toEqual([]);
    expect(again(three, true, first(three, ['c']))).toEqual([]);
  });

  test.each<[string, Found, bigint, boolean, string]>([
    ['one is silent now', { a: halted(7), b: halted(9) }, 5n, false, 'node c is silent'],
    ['one has not spoken', three, 6n, false, 'nothing since the log was fenced'],
    ['the best one is gone', { a: halted(7), c: halted(8) }, 5n, true, 'carried on after 9'],
    ['none has spoken', three, 6n, true, 'no replica of it can be carried on from'],
  ])('is not where %s', (_, found, epoch, force, why) => {
    expect(again(found, force, first(three), epoch).join('\n')).toContain(why);
  });

  test('is not where a node has not spoken since, though it is not known to have more', () => {
    const found = nodes(three);
    found.set('c', { ...found.get('c')!, report: { ...found.get('c')!.report, epoch: '4' } });
    const verdict = judgePartition(placement, found, stream(9, { sealed: true }), { epoch: 5n });
    expect(objectionsTo(verdict, first(three), false).join()).toContain('node c has said nothing since');
    expect(objectionsTo(verdict, first(three), true)).toEqual([]);
  });

  test('is not where more is lost than was told', () => {
    const chosen = judgePartition(placement, nodes(three), undefined, { from: 'c' });
    if (chosen.kind !== 'recover') return expect.fail(chosen.kind);
    const worse = judgePartition(placement, nodes({ ...three, a: halted(12) }), undefined, { from: 'c' });
    expect(objectionsTo(worse, chosen.decision, true).join()).toContain('what a has more');
    expect(objectionsTo(chosen, chosen.decision, true)).toEqual([]);
  });
});

describe('what is waited for', () => {
  const one = (heard: number) => halted(9, { heardPosition: String(heard) });
  const knowing = (heard: number) => ({ a: one(heard), b: one(heard), c: one(heard) });

  test('is what was said since the log was fenced', () => {
    expect(isUnsettled(placement, nodes(three), undefined, 5n)).toBe(false);
    expect(isUnsettled(placement, nodes(three), undefined, 6n)).toBe(true);
    expect(isUnsettled(placement, nodes(three, ['a', 'b', 'c']), undefined, 6n)).toBe(false);
  });

  test.each<[string, Found, readonly string[], LogDescription | undefined, boolean]>([
    ['all wait for a new log', three, [], undefined, false],
    ['all run on a log that is there', { a: running(9), b: running(9), c: running(7) }, [], stream(9), false],
    ['one opens', { ...three, a: running(7, { state: 'starting' }) }, [], stream(9), true],
    ['one runs on a log that is gone', { ...three, a: running(7) }, [], undefined, true],
    ['one runs and is beyond the log', { ...three, b: running(9) }, [], stream(8), true],
    ['one has yet to store', { ...three, b: halted(9, { storedPosition: '8' }) }, [], undefined, true],
    [
      'one stores all the time',
      { a: running(7), b: running(9, { storedPosition: '8' }), c: running(8) },
      [],
      stream(9),
      false,
    ],
    ['all wait for a log that is well', three, [], stream(9), true],
    ['all wait for a log that goes on', three, [], stream(12), true],
    ['all wait for one that is known to have had more', knowing(12), [], stream(9), false],
    ['all wait at the end of a sealed one', sealedAt, [], stream(9, { sealed: true }), false],
    ['one runs at the end of a sealed one', { ...sealedAt, a: running(9) }, [], stream(9, { sealed: true }), true],
    [
      'one waits, and a sealed one has more for it',
      { ...sealedAt, a: halted(8) },
      [],
      stream(9, { sealed: true }),
      true,
    ],
    ['one is not reported yet', { ...three, b: undefined }, [], undefined, true],
    ['silent ones are not', { a: halted(9), b: halted(9), c: running(3) }, ['c'], undefined, false],
  ])('%s: %s', (_, found, silent, there, expected) => {
    expect(isUnsettled(placement, nodes(found, silent), there)).toBe(expected);
  });
});

test('what was found is told in full', () => {
  const found = nodes({ a: halted(9, { durable: false }), b: halted(7, { storedPosition: '6', incarnation: 'x' }) }, [
    'b',
  ]);
  const text = findings({ ...placement, joining: ['d'] }, found, stream(4, { sealed: true })).join('\n');
  expect(text).toBe(`partition 3: log lost (generation 1); its stream has 1 to 4, sealed
  a: halted (log_regressed), position 9, chain chain at 9, in memory only
  b: silent; last said: halted (log_regressed), position 7, stored 6, chain chain at 7, of log x
  c: never heard of
  d: never heard of`);
  expect(findings(placement, found, undefined)[0]).toContain('its stream is gone');
  expect(findings(placement, found, other)[0]).toContain('of another log: another');
});
