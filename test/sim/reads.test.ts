// Reads are as fresh as they were asked to be, in many simulated worlds (I16); and the check has teeth.
import { expect, test } from 'vitest';
import type { Bug } from './profile.ts';
import { simulateReads } from './reads.ts';

test('in 150 worlds no read sees less than it was asked to see', async () => {
  const failures: string[] = [];
  const sum = { strong: 0, session: 0, eventual: 0, bounded: 0, atOnce: 0 };
  for (let seed = 1; seed <= 150; seed++) {
    const { violations, counts } = await simulateReads(seed);
    failures.push(...violations.slice(0, 3).map((violation) => `seed ${seed}: ${violation}`));
    for (const name of ['strong', 'session', 'eventual', 'bounded', 'atOnce'] as const) sum[name] += counts[name];
  }
  expect(failures).toEqual([]);
  // Of each kind many were answered, and bounded ones without a barrier too.
  for (const count of Object.values(sum)) expect(count).toBeGreaterThan(200);
});

test.each<[Bug, RegExp]>([
  ['stale-strong-reads', /strong read/],
  ['stale-strong-reads', /eventual read within \d/],
  ['stale-session-reads', /session read/],
])('%s is noticed: %s', async (bug, violation) => {
  let noticed = false;
  for (let seed = 1; seed <= 60 && !noticed; seed++) {
    noticed = (await simulateReads(seed, bug)).violations.some((each) => violation.test(each));
  }
  expect(noticed).toBe(true);
});
