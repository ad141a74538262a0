// Many worlds in which replicas die, freeze and are cut off while one of them is left in peace: clients
// notice nothing but a pause, and the pause is short.
import { describe, expect, test } from 'vitest';
import { type FailoverOutcome, failoverCommand, simulateFailover } from './failover.ts';

const seeds = 60;
const perTest = 20;
/** Two nodes that fall silent one after the other; a node that is killed is noticed at once. */
const slowestMs = 2500;

describe('failover', () => {
  test.each(Array.from({ length: seeds / perTest }, (_, i) => i * perTest + 1))(
    `of ${perTest} seeds from %d: no error, every write once, and soon`,
    async (first) => {
      const failures: string[] = [];
      const outcomes: FailoverOutcome[] = [];
      for (let seed = first; seed < first + perTest; seed++) {
        const outcome = await simulateFailover(seed);
        outcomes.push(outcome);
        const { violations, slowestWriteMs, slowestReadMs, lines } = outcome;
        const slow = Math.max(slowestWriteMs, slowestReadMs);
        const found = slow <= slowestMs ? violations : [...violations, `a request took ${slow} ms`];
        if (found.length === 0) continue;
        failures.push([`seed ${seed}: ${failoverCommand(seed)}`, ...found.slice(0, 5), ...lines.slice(-20)].join('\n'));
      }
      expect(failures.join('\n\n')).toBe('');
      // Worlds in which nothing happens prove nothing.
      const sum = (of: (outcome: FailoverOutcome) => number): number =>
        outcomes.reduce((all, each) => all + of(each), 0);
      expect(sum(({ counts }) => counts.faults)).toBeGreaterThan(perTest * 10);
      expect(sum(({ failovers }) => failovers)).toBeGreaterThan(perTest);
      expect(sum(({ hedges }) => hedges.stuck)).toBeGreaterThan(perTest);
      // A log without a leader is slow for all: few requests are asked of a second replica for that, not all.
      const elections = sum(({ elections }) => elections);
      expect(elections).toBeGreaterThan(perTest / 4);
      expect(sum(({ hedges }) => hedges.slow)).toBeLessThan(sum(({ counts }) => counts.writes + counts.reads) / 20);
    },
  );

  test('of one seed is one history', async () => {
    expect(await simulateFailover(7)).toEqual(await simulateFailover(7));
  });
});
