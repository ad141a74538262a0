import fc from 'fast-check';
import { expect, test } from 'vitest';
import { smallParts, sortInTurns } from './in-turns.ts';
import type { StateRecord } from './records.ts';

test('keys come sorted, and others run in between', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.string({ maxLength: 4 }), { maxLength: 3000, size: 'max' }), async (keys) => {
      let turns = 0;
      const sorted = await sortInTurns(keys, () => void turns++);
      expect(sorted).toEqual(keys.toSorted());
      expect(turns).toBeGreaterThanOrEqual(Math.floor(keys.length / 512));
    }),
    { numRuns: 30 },
  );
});

test('parts are handed on in smaller ones, until it is aborted', async () => {
  const records = Array.from({ length: 2345 }, (_, n): StateRecord => ({ key: `${n}`, value: new Uint8Array(0) }));
  async function* parts(): AsyncGenerator<readonly StateRecord[]> {
    yield records.slice(0, 10);
    yield [];
    yield records.slice(10);
  }
  const abort = new AbortController();
  const taken: StateRecord[] = [];
  let turns = 0;
  for await (const part of smallParts(parts(), { signal: abort.signal, turn: () => void turns++ })) {
    expect(part.length).toBeLessThanOrEqual(500);
    taken.push(...part);
  }
  expect([taken, turns]).toEqual([records, 6]);
  const turn = async (): Promise<void> => abort.abort(new Error('too late'));
  const read = async (): Promise<void> => {
    for await (const _ of smallParts(parts(), { signal: abort.signal, turn }));
  };
  await expect(read()).rejects.toThrow('too late');
});
