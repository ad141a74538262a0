import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StateStoreError } from './errors.ts';
import { partitionsMax, slotCount } from './limits.ts';
import type { Topology } from './topology.ts';
import { evenTopology, slotOwners } from './topology.ts';

describe('an even topology', () => {
  test('gives every slot to one partition, and no partition more than one slot beyond another', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: partitionsMax }), (count) => {
        const owners = slotOwners(evenTopology(count, ['a']));
        const counts = new Uint32Array(count);
        for (const owner of owners) counts[owner] = counts[owner]! + 1;
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        expect(owners.length).toBe(slotCount);
      }),
      { examples: [[1], [2], [3], [partitionsMax]] },
    );
  });

  test.each([0, -1, 1.5, partitionsMax + 1, Number.NaN])('of %d partitions is refused', (count) => {
    expect(() => evenTopology(count, ['a'])).toThrow(expect.objectContaining({ code: 'invalid_settings' }));
  });
});

describe('owners of slots', () => {
  const topology = (...ranges: readonly (readonly [partition: number, start: number, end: number])[]): Topology => ({
    epoch: 1n,
    partitions: ranges.map(([partition, start, end]) => ({ partition, slots: [{ start, end }], replicas: ['a'] })),
  });

  test('a partition may have several ranges', () => {
    const owners = slotOwners({
      epoch: 1n,
      partitions: [
        {
          partition: 0,
          slots: [
            { start: 0, end: 10 },
            { start: 20, end: slotCount },
          ],
          replicas: ['a'],
        },
        { partition: 7, slots: [{ start: 10, end: 20 }], replicas: ['a'] },
      ],
    });
    expect([owners[9], owners[10], owners[19], owners[20]]).toEqual([0, 7, 7, 0]);
  });

  test.each([
    ['a slot without an owner', topology([0, 0, 10], [1, 11, slotCount]), 'slot 10'],
    ['a slot with two owners', topology([0, 0, 11], [1, 10, slotCount]), 'slot 10'],
    ['a slot past the last', topology([0, 0, slotCount + 1]), '0 to 4097'],
    ['a slot before the first', topology([0, -1, slotCount]), '-1 to 4096'],
    ['a partition number that is none', topology([0xffff, 0, slotCount]), 'partition 65535'],
  ])('%s is refused by name', (_, broken, named) => {
    expect(() => slotOwners(broken)).toThrow(StateStoreError);
    expect(() => slotOwners(broken)).toThrow(named);
  });
});
