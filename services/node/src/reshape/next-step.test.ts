// Every situation that there can be, also those that only a crash leaves behind: what may be done in which, that each
// leads on, and, as a table, the ones that somebody should have thought of.
import { describe, expect, test } from 'vitest';
import type { Deed, ReshapeSituation } from './next-step.ts';
import { nextStep } from './next-step.ts';

const kinds = ['split', 'merge'] as const;
const sources = ['away', 'open', 'otherFence', 'fenced', 'handedOver', 'givenUp'] as const;
const targets = ['away', 'unprepared', 'open', 'otherFence', 'absorbed'] as const;
const works = ['none', 'building', 'near', 'built', 'failed'] as const;
const logs = ['unknown', 'made', 'begun'] as const;

const booleans = [
  'cancelled',
  'lacksStores',
  'remembered',
  'drives',
  'othersNear',
  'othersBuilt',
  'roundDue',
  'tooEarly',
  'fencedTooLong',
] as const;

/** Of each, all that it may be. */
const values: Readonly<Record<keyof ReshapeSituation, readonly unknown[]>> = {
  kind: kinds,
  source: sources,
  target: targets,
  work: works,
  log: logs,
  ...(Object.fromEntries(booleans.map((name) => [name, [false, true]])) as Record<
    (typeof booleans)[number],
    boolean[]
  >),
};

function situations(): ReshapeSituation[] {
  let some: Partial<ReshapeSituation>[] = [{}];
  for (const [name, each] of Object.entries(values))
    some = some.flatMap((one) => each.map((value) => ({ ...one, [name]: value })));
  // A split has no target yet, a merge makes no log.
  return (some as ReshapeSituation[]).filter(({ kind, target, log }) =>
    kind === 'split' ? target === 'away' : log === 'unknown',
  );
}

const all = [...situations()];

function where(deed: Deed): readonly ReshapeSituation[] {
  return all.filter((seen) => nextStep(seen).kind === deed);
}

const driversOnly = [
  'prepare',
  'makeLog',
  'fence',
  'startLog',
  'remember',
  'handOver',
  'absorb',
  'change',
  'unfence',
  'giveUp',
  'drop',
] as const;

describe('of all situations', () => {
  test('there are many', () => expect(all.length).toBe(6 * 5 * 3 * 512 + 6 * 5 * 5 * 512));

  test.each(driversOnly)('%s is done, and by who drives alone', (deed) => {
    const found = where(deed);
    expect(found.length).toBeGreaterThan(0);
    expect(found.filter(({ drives }) => !drives)).toEqual([]);
  });

  test('slots are handed over only when all is built, and nobody wants it to end', () => {
    for (const seen of where('handOver')) {
      expect(seen).toMatchObject({ source: 'fenced', work: 'built', cancelled: false, othersBuilt: true });
      if (seen.kind === 'split') expect(seen.log).toBe('begun');
      else expect(seen).toMatchObject({ target: 'open', remembered: true, lacksStores: false });
    }
  });

  test('the topology changes only when the slots are nobody else’s', () => {
    for (const seen of where('change')) {
      expect(seen.source).toBe('handedOver');
      if (seen.kind === 'split') expect(seen).toMatchObject({ work: 'built', log: 'begun' });
      else expect(seen.target).toBe('absorbed');
    }
  });

  test('after the slots were handed over nothing goes back', () => {
    const back = new Set<string>(['unfence', 'giveUp', 'drop', 'discard', 'fence', 'handOver', 'remember']);
    const wrong = all.filter((seen) => seen.source === 'handedOver' && back.has(nextStep(seen).kind));
    expect(wrong).toEqual([]);
  });

  test('it leaves the topology only when no late command can fence any more', () => {
    expect(new Set(where('drop').map(({ source }) => source))).toEqual(new Set(['givenUp']));
    expect(new Set(where('giveUp').map(({ source }) => source))).toEqual(new Set(['open', 'fenced']));
    expect(where('giveUp').filter(({ cancelled }) => !cancelled)).toEqual([]);
  });

  test('a fence comes right after a round, and only when the others are near', () => {
    for (const seen of where('fence'))
      expect(seen).toMatchObject({
        work: 'near',
        roundDue: false,
        othersNear: true,
        tooEarly: false,
        cancelled: false,
      });
  });

  test('whoever drives never leaves slots fenced that it cannot hand over soon', () => {
    const stuck = all.filter((seen) => {
      const { source, target, drives, fencedTooLong, work, othersBuilt } = seen;
      if (source !== 'fenced' || !drives || !fencedTooLong || target === 'absorbed') return false;
      const waits = nextStep(seen).kind === 'wait';
      return waits && !(work === 'built' && !othersBuilt);
    });
    expect(stuck).toEqual([]);
  });

  test('nothing is staged in a target that would take it for its own', () => {
    const staged = [...where('begin'), ...where('round'), ...where('finish')];
    const wrong = staged.filter(
      ({ kind, source, target }) => kind === 'merge' && target === 'unprepared' && source !== 'fenced',
    );
    expect(wrong).toEqual([]);
  });
});

/** What is so after a deed that succeeded, of all nodes that take part. */
function after(seen: ReshapeSituation, deed: Deed): ReshapeSituation | 'ended' {
  switch (deed) {
    case 'begin':
      return { ...seen, work: 'building' };
    case 'round':
      return { ...seen, work: 'near', roundDue: false };
    case 'finish':
      return { ...seen, work: 'built' };
    case 'discard':
      return { ...seen, work: 'none' };
    case 'prepare':
      return { ...seen, target: 'open', lacksStores: false, work: seen.work === 'built' ? 'near' : seen.work };
    case 'makeLog':
      return { ...seen, log: 'made' };
    case 'startLog':
      return { ...seen, log: 'begun' };
    case 'fence':
      return { ...seen, source: 'fenced', log: seen.log === 'begun' ? 'made' : seen.log, fencedTooLong: false };
    case 'remember':
      return { ...seen, remembered: true };
    case 'handOver':
      return { ...seen, source: 'handedOver' };
    case 'absorb':
      return { ...seen, target: 'absorbed' };
    case 'unfence':
      return { ...seen, source: 'open', tooEarly: false, fencedTooLong: false };
    case 'giveUp':
      return { ...seen, source: 'givenUp' };
    case 'change':
    case 'drop':
      return 'ended';
  }
}

describe('who drives comes to an end', () => {
  // What only time, other nodes or a closer look at the log change.
  const waited = { drives: true, othersNear: true, othersBuilt: true, tooEarly: false } as const;
  const able = (seen: ReshapeSituation): boolean =>
    !['away', 'otherFence'].includes(seen.source) &&
    (seen.kind === 'split' || !['away', 'otherFence'].includes(seen.target)) &&
    // Only others can tell what the child was; it is had from them.
    !(seen.kind === 'split' && seen.source === 'handedOver' && seen.work !== 'built') &&
    // A target that is ahead of its source waits for it.
    !(seen.target === 'absorbed' && ['open', 'fenced'].includes(seen.source));

  test('from every situation in which it can do something', () => {
    for (const seen of all.filter(able)) {
      let now: ReshapeSituation | 'ended' = { ...seen, ...waited };
      const path: string[] = [];
      while (now !== 'ended') {
        const { kind } = nextStep(now);
        path.push(kind);
        if (kind === 'wait' || path.length > 20) throw new Error(`${JSON.stringify(seen)}: ${path.join(' → ')}`);
        now = after(now, kind);
      }
      expect(['change', 'drop']).toContain(path.at(-1));
      if (seen.cancelled && seen.source === 'open') expect(path).toEqual(['giveUp', 'drop']);
    }
  });
});

describe('in particular', () => {
  const split: ReshapeSituation = {
    kind: 'split',
    cancelled: false,
    source: 'open',
    target: 'away',
    work: 'none',
    log: 'unknown',
    lacksStores: false,
    remembered: false,
    drives: true,
    othersNear: true,
    othersBuilt: true,
    roundDue: false,
    tooEarly: false,
    fencedTooLong: false,
  };
  const merge: ReshapeSituation = { ...split, kind: 'merge', target: 'open' };
  const fenced = { source: 'fenced' } as const;
  const given = { source: 'handedOver' } as const;

  test.each<readonly [string, ReshapeSituation, Deed | 'wait']>([
    ['a split that is new', split, 'begin'],
    ['its first round', { ...split, work: 'building' }, 'round'],
    ['near, without a log', { ...split, work: 'near' }, 'makeLog'],
    ['near, after a while', { ...split, work: 'near', log: 'made', roundDue: true }, 'round'],
    ['near, others not', { ...split, work: 'near', log: 'made', othersNear: false }, 'wait'],
    ['near, all of them', { ...split, work: 'near', log: 'made' }, 'fence'],
    ['near, not driving', { ...split, work: 'near', log: 'made', drives: false }, 'wait'],
    ['fenced', { ...split, ...fenced, work: 'near', log: 'made' }, 'finish'],
    ['fenced by another driver, not near here', { ...split, ...fenced, work: 'building', drives: false }, 'round'],
    ['the driver died behind the fence, the next one is near', { ...split, ...fenced, work: 'near' }, 'finish'],
    [
      'the driver died behind the fence, the next one is not near',
      { ...split, ...fenced, work: 'building' },
      'unfence',
    ],
    ['all died behind the fence, and lost what they had built', { ...split, ...fenced }, 'unfence'],
    ['fenced for too long', { ...split, ...fenced, work: 'near', fencedTooLong: true }, 'unfence'],
    ['built, but for its log', { ...split, ...fenced, work: 'built', log: 'made' }, 'startLog'],
    ['built, by a driver that does not know of the log', { ...split, ...fenced, work: 'built' }, 'makeLog'],
    ['built, others not', { ...split, ...fenced, work: 'built', log: 'begun', othersBuilt: false }, 'wait'],
    ['built', { ...split, ...fenced, work: 'built', log: 'begun' }, 'handOver'],
    ['built for a fence that was lifted', { ...split, work: 'built', log: 'begun' }, 'discard'],
    ['cancelled behind the fence', { ...split, ...fenced, work: 'built', log: 'begun', cancelled: true }, 'giveUp'],
    ['handed over', { ...split, ...given, work: 'built', log: 'begun' }, 'change'],
    ['cancelled too late', { ...split, ...given, work: 'built', log: 'begun', cancelled: true }, 'change'],
    ['handed over, the driver died, the next one asks for the log', { ...split, ...given, work: 'built' }, 'makeLog'],
    ['handed over, nothing is here', { ...split, ...given }, 'wait'],
    ['given up', { ...split, source: 'givenUp' }, 'drop'],
    ['its source is being recovered', { ...split, source: 'away', work: 'near' }, 'wait'],
    ['a failed attempt', { ...split, work: 'failed', tooEarly: true }, 'wait'],
    ['a failed attempt, later', { ...split, work: 'failed' }, 'begin'],
    ['a merge into a partition that was never reshaped', { ...merge, target: 'unprepared' }, 'prepare'],
    ['a merge that is new', merge, 'begin'],
    ['a merge with stores that its target does not have', { ...merge, work: 'near', lacksStores: true }, 'prepare'],
    ['a merge that is near', { ...merge, work: 'near' }, 'fence'],
    ['a merge that is built', { ...merge, ...fenced, work: 'built' }, 'remember'],
    [
      'a merge that is built, and a store came last',
      { ...merge, ...fenced, work: 'built', lacksStores: true },
      'prepare',
    ],
    ['a merge whose target remembers', { ...merge, ...fenced, work: 'built', remembered: true }, 'handOver'],
    ['a merge whose source gave, the driver died, nothing is staged', { ...merge, ...given }, 'begin'],
    ['a merge whose source gave', { ...merge, ...given, work: 'built' }, 'absorb'],
    ['a merge whose target was cleared meanwhile', { ...merge, ...given, work: 'near' }, 'finish'],
    ['a merge that the topology does not know of yet', { ...merge, ...given, target: 'absorbed' }, 'change'],
    ['a merge whose source replica is behind', { ...merge, target: 'absorbed', work: 'near' }, 'wait'],
    ['a merge whose target was moved away', { ...merge, ...fenced, target: 'away', fencedTooLong: true }, 'unfence'],
  ])('%s', (_name, seen, deed) => {
    expect(nextStep(seen).kind).toBe(deed);
  });
});
