// Many simulated worlds; that one seed is one history; and that the checks have teeth.
import { describe, expect, test } from 'vitest';
import type { Bug } from './profile.ts';
import { bugs } from './profile.ts';
import { replayCommand, simulate } from './simulation.ts';

const seeds = 500;
const perTest = 100;

describe('the simulation', () => {
  const chunks = Array.from({ length: seeds / perTest }, (_, i) => i * perTest + 1);

  test.each(chunks)(`of ${perTest} seeds from %d finds nothing wrong`, async (first) => {
    const failures: string[] = [];
    let crashes = 0;
    let answered = 0;
    for (let seed = first; seed < first + perTest; seed++) {
      const { violations, lines, counts } = await simulate(seed);
      crashes += counts.crashes;
      answered += counts.answered;
      if (violations.length === 0) continue;
      failures.push(
        [`seed ${seed}: ${replayCommand(seed)}`, ...violations.slice(0, 5), ...lines.slice(-20)].join('\n'),
      );
    }
    expect(failures.join('\n\n')).toBe('');
    // Worlds in which nothing happens prove nothing.
    expect(crashes).toBeGreaterThan(perTest);
    expect(answered).toBeGreaterThan(perTest * 20);
  });

  test('of one seed is one history, of another seed another', async () => {
    const histories = new Set<string>();
    for (let seed = 1; seed <= 10; seed++) {
      const first = await simulate(seed);
      const second = await simulate(seed);
      expect(second).toEqual(first);
      histories.add(first.history);
    }
    expect(histories.size).toBe(10);
  });
});

/** Worlds within which a bug has to be noticed. */
const seedsPerBug = 60;

describe('the checks notice', () => {
  test.each(Object.entries(bugs) as [Bug, string][])('%s: %s', async (bug) => {
    let noticed = false;
    for (let seed = 1; seed <= seedsPerBug && !noticed; seed++) {
      const { violations } = await simulate(seed, bug);
      noticed = violations.length > 0;
    }
    expect(noticed).toBe(true);
  });
});
