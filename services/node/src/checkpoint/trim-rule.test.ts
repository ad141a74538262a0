import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TrimFacts, TrimReplica } from './trim-rule.ts';
import { judgeTrim } from './trim-rule.ts';

const margins = { records: 10n, ms: 60_000, replicaLag: 500n };
const nowMs = 10_000_000;
const old = nowMs - 60_000;
const at = (position: bigint, more = {}) => ({ incarnation: 'log', position, storedAtMs: old, ...more });
const replica = (storedPosition: bigint, more: Partial<TrimReplica> = {}): TrimReplica => ({
  incarnation: 'log',
  storedPosition,
  live: true,
  ...more,
});
const facts: TrimFacts = {
  incarnation: 'log',
  first: 1n,
  last: 1000n,
  checkpoints: [at(900n), at(800n), at(700n)],
  archived: 995n,
  replicas: [replica(1000n), replica(990n)],
  nowMs,
};

describe('a log is trimmed', () => {
  test.each<[string, Partial<TrimFacts>, bigint | RegExp]>([
    ['below the second newest checkpoint and the margin', {}, 791n],
    ['whatever their order', { checkpoints: [at(700n), at(900n), at(800n)] }, 791n],
    ['not with one checkpoint', { checkpoints: [at(900n)] }, /1 verified checkpoints/],
    ['not with none', { checkpoints: [] }, /0 verified/],
    ['not by checkpoints of other logs', { checkpoints: [at(900n), at(800n, { incarnation: 'other' })] }, /1 verified/],
    ['not by one that was just made', { checkpoints: [at(900n, { storedAtMs: old + 1 }), at(800n), at(700n)] }, 691n],
    ['not by one of a clock ahead', { checkpoints: [at(900n, { storedAtMs: nowMs + 5 }), at(800n)] }, /1 verified/],
    ['not beyond what is archived', { archived: 500n }, 491n],
    ['not while that is not known', { archived: undefined }, /not known/],
    ['where it is not archived at all', { archived: 'off' }, 791n],
    ['not where nothing is archived yet', { archived: 0n }, /because of what is archived/],
    ['not what a live replica has still to read', { replicas: [replica(1000n), replica(600n)] }, 601n],
    ['of one that is far behind', { replicas: [replica(499n)] }, 791n],
    ['of one that is as far behind as it may be', { replicas: [replica(500n)] }, 501n],
    ['of one that is silent', { replicas: [replica(600n, { live: false })] }, 791n],
    ['of one of another log', { replicas: [replica(600n, { incarnation: 'other' })] }, 791n],
    ['not what is gone already', { first: 791n }, /begins at 791/],
    ['where one more may go', { first: 790n }, 791n],
    ['not by checkpoints beyond its end', { last: 100n, replicas: [] }, 91n],
    ['not where the margin is more than there is', { checkpoints: [at(9n), at(5n)] }, /begins at 1/],
  ])('%s', (_, change, expected) => {
    const verdict = judgeTrim({ ...facts, ...change }, margins);
    if (typeof expected === 'bigint') expect(verdict).toEqual({ kind: 'trim', below: expected });
    else expect(verdict).toMatchObject({ kind: 'keep', why: expect.stringMatching(expected) as string });
  });

  test('never what two checkpoints, the archive or a near replica still need', () => {
    const position = fc.bigInt({ min: 0n, max: 2000n });
    const some = fc.record({
      checkpoints: fc.array(
        fc.record({
          incarnation: fc.constantFrom('log', 'log', 'log', 'other'),
          position,
          storedAtMs: fc.constantFrom(old, nowMs, nowMs + 1e9, 0),
        }),
        { maxLength: 5 },
      ),
      archived: fc.oneof(position, fc.constant('off' as const), fc.constant(undefined)),
      replicas: fc.array(
        fc.record({ incarnation: fc.constantFrom('log', 'other', ''), storedPosition: position, live: fc.boolean() }),
        { maxLength: 4 },
      ),
      first: fc.bigInt({ min: 1n, max: 200n }),
      last: position,
    });
    let trimmed = 0;
    fc.assert(
      fc.property(some, (change) => {
        const verdict = judgeTrim({ ...facts, ...change }, margins);
        if (verdict.kind === 'keep') return;
        trimmed++;
        const { below } = verdict;
        const has = change.checkpoints.filter((each) => each.incarnation === 'log' && each.position >= below);
        expect(has.length).toBeGreaterThanOrEqual(2);
        expect(below).toBeGreaterThan(change.first);
        expect(below).toBeLessThanOrEqual(change.last + 1n);
        expect(change.archived === 'off' || below <= change.archived!).toBe(true);
        for (const { incarnation, live, storedPosition } of change.replicas)
          if (live && incarnation === 'log' && change.last - storedPosition <= 500n)
            expect(below).toBeLessThanOrEqual(storedPosition + 1n);
      }),
      { numRuns: 3000 },
    );
    // It was about something.
    expect(trimmed).toBeGreaterThan(100);
  });
});
