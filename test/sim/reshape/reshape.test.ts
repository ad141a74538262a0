// Many simulated clusters that split, merge and move their partitions while everybody dies and is late (the same with more
// seeds: npm run sim -- --reshape --seeds 1000); and that the checks notice where the protocol is broken.
import { describe, expect, test } from 'vitest';
import type { ReshapeBug } from './reshape-bugs.ts';
import { reshapeBugs } from './reshape-bugs.ts';
import { reshapeCommand, simulateReshapes } from './reshape-simulation.ts';

const seeds = 60;
const perTest = 20;

describe('partitions that split and merge', () => {
  test.each(Array.from({ length: seeds / perTest }, (_, i) => i * perTest + 1))(
    `are one store in ${perTest} worlds from seed %d`,
    (first) => {
      const failures: string[] = [];
      const sum = { acknowledged: 0, moved: 0, reads: 0, lists: 0, clears: 0, splits: 0, merges: 0, crashes: 0 };
      for (let seed = first; seed < first + perTest; seed++) {
        const { violations, lines, counts } = simulateReshapes(seed);
        for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += counts[name];
        if (violations.length === 0) continue;
        failures.push(
          [`seed ${seed}: ${reshapeCommand(seed)}`, ...violations.slice(0, 5), ...lines.slice(-20)].join('\n'),
        );
      }
      expect(failures.join('\n\n')).toBe('');
      // Worlds in which nothing happens prove nothing.
      expect(sum.acknowledged).toBeGreaterThan(perTest * 20);
      expect(sum.reads).toBeGreaterThan(perTest * 10);
      for (const count of [sum.moved, sum.splits, sum.merges, sum.crashes]) expect(count).toBeGreaterThan(perTest);
      expect(sum.lists + sum.clears).toBeGreaterThan(perTest);
    },
  );

  test('of one seed are one history', () => {
    for (let seed = 1; seed <= 5; seed++) expect(simulateReshapes(seed)).toEqual(simulateReshapes(seed));
  });
});

/** Worlds within which a bug has to be noticed. */
const seedsPerBug = 200;
/** Where to begin to look for those that need much to come together. */
const firstSeeds: Partial<Record<ReshapeBug, number>> = {
  'hand-over-of-any-fence': 31,
  'absorb-of-what-is-left': 880,
  'sessions-without-layout': 101,
};

describe('the checks notice', () => {
  test.each(Object.entries(reshapeBugs) as [ReshapeBug, string][])('%s: %s', (bug) => {
    let noticed = false;
    const first = firstSeeds[bug] ?? 1;
    for (let seed = first; seed < first + seedsPerBug && !noticed; seed++)
      noticed = simulateReshapes(seed, bug).violations.length > 0;
    expect(noticed).toBe(true);
  });
});
