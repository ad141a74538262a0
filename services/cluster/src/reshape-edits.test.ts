import type { Merge, PartitionPlacement, Split, Topology } from '@statestore/core';
import { checkTopology, limits } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { mergeDone, reshapeDropped, splitDone } from './reshape-edits.ts';

const uuid = (last: number): string => `0198c5a4-0000-4000-8000-${String(last).padStart(12, '0')}`;
const chain = '00112233445566778899aabbccddeeff';

const placement = (partition: number, start: number, end: number): PartitionPlacement => ({
  partition,
  slots: [{ start, end }],
  replicas: ['n1', 'n2'],
  log: { generation: partition + 1, incarnation: uuid(partition) },
});

const split: Split = {
  kind: 'split',
  id: uuid(10),
  source: 4,
  target: 2,
  slots: [{ start: 3000, end: 3500 }],
  slotsEpoch: 7n,
  log: { generation: 9, incarnation: uuid(11) },
};
const merge: Merge = {
  kind: 'merge',
  id: uuid(12),
  source: 1,
  target: 0,
  slots: [{ start: 1000, end: 2000 }],
  slotsEpoch: 8n,
};
const topology: Topology = {
  epoch: 8n,
  partitions: [placement(0, 0, 1000), placement(1, 1000, 2000), placement(4, 2000, limits.slotCount)],
  reshapes: [split, merge],
  lastGeneration: 1,
};
const continues = { incarnation: uuid(20), position: 70n, chain };

const after = (edit: object | undefined): Topology => {
  const next = { ...topology, epoch: 9n, ...edit };
  checkTopology(next);
  return next;
};

describe('a split that is done', () => {
  test('gives the slots to a child that begins where its source is', () => {
    const { partitions, reshapes } = after(splitDone(topology, split.id, { continues }));
    expect(reshapes).toEqual([merge]);
    expect(partitions.map(({ partition }) => partition)).toEqual([0, 1, 2, 4]);
    expect(partitions[2]).toEqual({
      partition: 2,
      slots: split.slots,
      replicas: ['n1', 'n2'],
      log: { ...split.log, continues },
      slotsEpoch: 7n,
      origin: { partition: 4, generation: 5, position: 70n },
    });
    expect(partitions[3]).toEqual({
      ...placement(4, 0, 0),
      slots: [
        { start: 2000, end: 3000 },
        { start: 3500, end: limits.slotCount },
      ],
      slotsEpoch: 7n,
    });
  });

  test('is done once', () => {
    const next = after(splitDone(topology, split.id, { continues }));
    expect(splitDone(next, split.id, { continues })).toBeUndefined();
    expect(splitDone(topology, merge.id, { continues })).toBeUndefined();
  });
});

describe('a merge that is done', () => {
  test('gives the slots to the target, and the source is kept', () => {
    const next = after(mergeDone(topology, merge.id, { sealedPosition: 5n, intoPosition: 90n }));
    expect(next.reshapes).toEqual([split]);
    expect(next.partitions.map(({ partition }) => partition)).toEqual([0, 4]);
    expect(next.partitions[0]).toEqual({ ...placement(0, 0, 2000), slotsEpoch: 8n });
    expect(next.retired).toEqual([
      {
        placement: { ...placement(1, 0, 0), slots: [] },
        sealedPosition: 5n,
        into: { partition: 0, generation: 1, position: 90n },
        slotsEpoch: 8n,
      },
    ]);
    // So that no later log of partition 1 has the name of this one.
    expect(next.lastGeneration).toBe(2);
  });

  test('is done once', () => {
    const next = after(mergeDone(topology, merge.id, { sealedPosition: 5n, intoPosition: 90n }));
    expect(mergeDone(next, merge.id, { sealedPosition: 5n, intoPosition: 90n })).toBeUndefined();
  });
});

test('one that is dropped leaves the slots where they were', () => {
  const next = after(reshapeDropped(topology, split.id));
  expect(next.partitions).toEqual(topology.partitions);
  expect(next.reshapes).toEqual([merge]);
  expect(reshapeDropped(next, split.id)).toBeUndefined();
});
