// While partitions are split and merged, what was written of them makes one layout, or none.
import type { SlotRange } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { layoutOf, missingSlots, nextTask, type WrittenSlots } from './checkpoint-layout.ts';

const range = (start: number, end: number): SlotRange => ({ start, end });
const part = (partition: number, slotsEpoch: bigint, ...slots: SlotRange[]): WrittenSlots => ({
  partition,
  slots,
  slotsEpoch,
});
const numbers = (written: readonly WrittenSlots[]): number[] | undefined =>
  layoutOf(written)?.map(({ partition }) => partition);

describe('a layout', () => {
  test.each<[string, readonly WrittenSlots[], number[] | undefined]>([
    ['of nothing that moved', [part(0, 0n, range(0, 2048)), part(1, 0n, range(2048, 4096))], [0, 1]],
    ['before a split', [part(0, 0n, range(0, 4096))], [0]],
    [
      'before a split, of which the child was written, too',
      [part(0, 0n, range(0, 4096)), part(1, 3n, range(2048, 4096))],
      [0],
    ],
    ['after it', [part(0, 3n, range(0, 2048)), part(1, 3n, range(2048, 4096))], [0, 1]],
    ['after it, without the child', [part(0, 3n, range(0, 2048))], undefined],
    [
      'after a merge, of which the source was written before',
      [part(1, 0n, range(2048, 4096)), part(0, 5n, range(0, 4096))],
      [0],
    ],
    ['before a merge, of which the source was not written', [part(0, 0n, range(0, 2048))], undefined],
    [
      'in which a child went on to another one that was written with it',
      [part(0, 0n, range(0, 3000)), part(2, 7n, range(2000, 4096))],
      undefined,
    ],
  ])('%s', (_, written, expected) => expect(numbers(written)).toEqual(expected));

  test('misses what nobody has', () => {
    expect(missingSlots([])).toEqual([range(0, 4096)]);
    expect(missingSlots([part(0, 0n, range(10, 20)), part(1, 0n, range(15, 4096))])).toEqual([range(0, 10)]);
  });

  test('takes what is about to end first, and what takes it last', () => {
    const tasks = [0, 1, 2].map((partition) => ({
      partition,
      generation: 1,
      slots: [range(partition * 10, partition * 10 + 10)],
    }));
    const missing = [range(0, 4096)];
    const next = (taken: number[]): number | undefined =>
      nextTask(tasks, [{ source: 2, target: 0 }], { taken: new Set(taken), missing })?.partition;
    expect([next([]), next([2]), next([2, 1]), next([0, 1, 2])]).toEqual([2, 1, 0, undefined]);
    expect(nextTask(tasks, [], { taken: new Set(), missing: [range(12, 13)] })?.partition).toBe(1);
  });
});
