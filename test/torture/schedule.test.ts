// The plan of a run: the seed's alone, within its time, and of what was asked for.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { FaultGroup } from './faults.ts';
import { faultGroups, faults, parseFaults } from './faults.ts';
import { planFaults } from './schedule.ts';

const all: ReadonlySet<FaultGroup> = new Set(faultGroups);
const seeds = fc.integer({ min: 1, max: 2 ** 31 });

test('one seed is one plan', () => {
  expect(planFaults(7, 60, all)).toEqual(planFaults(7, 60, all));
  expect(planFaults(7, 60, all)).not.toEqual(planFaults(8, 60, all));
});

test('faults come in order, end in time, and are of the groups asked for', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 5, max: 120 }), fc.subarray([...faultGroups]), (seed, seconds, groups) => {
      const plan = planFaults(seed, seconds, new Set(groups));
      for (const [at, { name, atMs, lastsMs }] of plan.entries()) {
        expect(groups).toContain(faults[name].group);
        expect(atMs + lastsMs).toBeLessThanOrEqual(seconds * 1000);
        if (at > 0) expect(atMs).toBeGreaterThan(plan[at - 1]!.atMs);
      }
    }),
  );
});

test('a minute of all faults has many of them, and none more often than its share', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const plan = planFaults(seed, 60, all);
      expect(plan.length).toBeGreaterThanOrEqual(8);
      for (const [name, { length }] of Map.groupBy(plan, ({ name }) => name)) {
        expect(length).toBeLessThanOrEqual(faults[name].weight ?? 1);
      }
    }),
  );
});

test('short runs have no long pauses', () => {
  for (let seed = 1; seed < 50; seed++) {
    for (const { lastsMs } of planFaults(seed, 20, all)) expect(lastsMs).toBeLessThanOrEqual(6000);
  }
});

test('what is no fault is refused by name', () => {
  expect(parseFaults('none').size).toBe(0);
  expect([...parseFaults('all')]).toEqual([...faultGroups]);
  expect([...parseFaults('kill,net')]).toEqual(['kill', 'net']);
  expect(() => parseFaults('kill,fire')).toThrow('"fire"');
});
