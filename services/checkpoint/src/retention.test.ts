import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newCheckpointId } from './checkpoint-id.ts';
import { type RetentionPolicy, retired } from './retention.ts';

const hourMs = 3600_000;
const idAt = (ms: number): string => newCheckpointId({ nowMs: ms, random: new Uint8Array(10) });
const madeAt = (hour: number) => ({ id: idAt(hour * hourMs), storedAtMs: hour * hourMs });
const hourOf = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) / hourMs;

describe('retention', () => {
  const cases: readonly [string, RetentionPolicy, readonly number[], readonly number[]][] = [
    ['keeps everything where nothing is said', { keepMin: 2 }, [1, 2, 3, 4], []],
    ['keeps the newest ones', { maxCheckpoints: 2, keepMin: 1 }, [1, 2, 3, 4], [1, 2]],
    ['keeps the young ones', { maxAgeMs: 2 * hourMs, keepMin: 1 }, [5, 7, 8, 9], [5, 7]],
    ['lets go of what either bound says', { maxCheckpoints: 3, maxAgeMs: 2 * hourMs, keepMin: 1 }, [6, 8, 9, 10], [6]],
    ['keeps some, however old', { maxAgeMs: hourMs, keepMin: 2 }, [1, 2, 3], [1]],
    ['keeps some, whatever the number', { maxCheckpoints: 1, keepMin: 3 }, [1, 2, 3, 4], [1]],
    ['keeps the newest where it may keep none', { maxCheckpoints: 0, maxAgeMs: 0, keepMin: 0 }, [1, 2], [1]],
    ['has nothing to do without any', { maxCheckpoints: 1, keepMin: 1 }, [], []],
  ];
  test.each(cases)('%s', (_, policy, made, expected) => {
    const given = made.map(madeAt);
    expect(retired(given, policy, 10 * hourMs).map(hourOf)).toEqual(expected);
    expect(retired(given.toReversed(), policy, 10 * hourMs).map(hourOf)).toEqual(expected);
  });

  test('whatever else is asked for, two become as old as something waits for, at any pace', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 900 }),
        fc.integer({ min: 2, max: 20 }),
        fc.boolean(),
        (every, max, byAge) => {
          const settling = { ageMs: 600, count: 2 };
          const policy = { keepMin: 2, settling, ...(byAge ? { maxAgeMs: max } : { maxCheckpoints: max }) };
          let kept: { id: string; storedAtMs: number }[] = [];
          let newestOld = -1;
          for (let now = every; now < 8000; now += every) {
            kept.push({ id: idAt(now), storedAtMs: now });
            const gone = new Set(retired(kept, policy, now));
            kept = kept.filter(({ id }) => !gone.has(id));
            const old = kept.filter(({ storedAtMs }) => now - storedAtMs >= 600);
            // From when there can be two that old, there are, and newer ones come.
            if (now >= 600 + 3 * every + 600) expect(old.length).toBeGreaterThanOrEqual(2);
            const second = old.at(-2)?.storedAtMs ?? -1;
            expect(second).toBeGreaterThanOrEqual(newestOld);
            newestOld = second;
            if (!byAge) expect(kept.length).toBeLessThanOrEqual(max + 4);
          }
          expect(newestOld).toBeGreaterThan(8000 - 3 * 600 - 4 * every);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('never lets go of the newest ones, or of more than it must', () => {
    const hours = fc.uniqueArray(fc.integer({ min: 0, max: 1000 }), { maxLength: 40 });
    const bound = fc.option(fc.integer({ min: 0, max: 50 }), { nil: undefined });
    fc.assert(
      fc.property(
        hours,
        bound,
        bound,
        fc.integer({ min: -3, max: 10 }),
        fc.integer(),
        (made, count, age, keep, now) => {
          const maxAgeMs = age === undefined ? undefined : age * hourMs;
          const nowMs = now * hourMs;
          const given = made.map(madeAt);
          const gone = new Set(retired(given, { maxCheckpoints: count, maxAgeMs, keepMin: keep }, nowMs));
          const sorted = given.toSorted((a, b) => b.storedAtMs - a.storedAtMs);
          for (const [at, { id, storedAtMs }] of sorted.entries()) {
            const must =
              (count !== undefined && at >= count) || (maxAgeMs !== undefined && nowMs - storedAtMs > maxAgeMs);
            expect(gone.has(id)).toBe(must && at >= Math.max(1, keep));
          }
        },
      ),
    );
  });

  test('two at once, one of which knows less, keep what the policy keeps of all', () => {
    const hours = fc.uniqueArray(fc.integer({ min: 0, max: 1000 }), { maxLength: 30 });
    fc.assert(
      fc.property(hours, fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 30 }), (made, keepMin, known) => {
        const all = made.toSorted((a, b) => a - b).map(madeAt);
        const policy = { maxCheckpoints: keepMin, keepMin };
        const gone = new Set([...retired(all, policy, 0), ...retired(all.slice(0, known), policy, 0)]);
        for (const { id } of all.slice(-keepMin)) expect(gone.has(id)).toBe(false);
      }),
    );
  });
});
