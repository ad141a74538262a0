import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Lanes } from './lanes.ts';
import type { LoadRecord } from './record.ts';
import { SeenKeys } from './seen-keys.ts';

function entry(key: string, line: number, bytes = 1): LoadRecord {
  return { key, line, value: new Uint8Array(bytes) };
}

test('of a key that occurs often, the last one is written last; nothing is lost; bounds hold', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 60 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 5 }),
      async (keys, concurrency, batchMax) => {
        const written: LoadRecord[] = [];
        let calls = 0;
        const lanes = new Lanes(concurrency, batchMax, async (batch) => {
          expect(++calls).toBeLessThanOrEqual(concurrency);
          expect(batch.length).toBeLessThanOrEqual(batchMax);
          await sleep(Math.random() < 0.5 ? 0 : 1);
          written.push(...batch);
          calls--;
        });
        for (const [line, key] of keys.entries()) await lanes.add(entry(key, line));
        await lanes.end();
        for (const key of new Set(keys)) {
          const lines = written.filter((one) => one.key === key).map(({ line }) => line);
          expect(lines).toEqual([...keys.keys()].filter((line) => keys[line] === key));
        }
      },
    ),
    { numRuns: 50 },
  );
});

test('a batch is closed at its bytes', async () => {
  const sizes: number[] = [];
  const lanes = new Lanes(1, 1000, async (batch) => {
    sizes.push(batch.reduce((sum, { value }) => sum + value.length, 0));
  });
  for (let line = 0; line < 5; line++) await lanes.add(entry('k', line, 400_000));
  await lanes.add(entry('k', 5, 2_000_000));
  await lanes.end();
  expect(sizes).toEqual([800_000, 800_000, 400_000, 2_000_000]);
});

test('a failure of a call ends the load', async () => {
  const lanes = new Lanes(2, 1, () => Promise.reject(new Error('no')));
  await expect(async () => {
    for (let line = 0; line < 100; line++) await lanes.add(entry(`k${line}`, line));
    await lanes.end();
  }).rejects.toThrow('no');
});

test('seen keys are known again, over growth', () => {
  const seen = new SeenKeys();
  for (let i = 0; i < 100_000; i++) expect(seen.add(`key-${i}`)).toBe(false);
  for (let i = 0; i < 100_000; i += 7) expect(seen.add(`key-${i}`)).toBe(true);
});
