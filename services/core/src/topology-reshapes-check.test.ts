import { describe, expect, test } from 'vitest';
import { slotCount } from './limits.ts';
import { checkTopology } from './topology-check.ts';
import type { Merge, PartitionPlacement, RetiredPartition, Split, Topology } from './topology.ts';

const uuid = (last: number): string => `0198c5a4-0000-4000-8000-${String(last).padStart(12, '0')}`;

const placement = (partition: number, start: number, end: number): PartitionPlacement => ({
  partition,
  slots: [{ start, end }],
  replicas: ['a', 'b'],
  log: { generation: 1, incarnation: uuid(partition) },
});

const partitions = [placement(0, 0, 1000), placement(1, 1000, 2000), placement(2, 2000, slotCount)];
const split: Split = {
  kind: 'split',
  id: uuid(100),
  source: 2,
  target: 3,
  slots: [{ start: 3000, end: slotCount }],
  slotsEpoch: 5n,
  log: { generation: 5, incarnation: uuid(101) },
};
const merge: Merge = {
  kind: 'merge',
  id: uuid(102),
  source: 1,
  target: 0,
  slots: [{ start: 1000, end: 2000 }],
  slotsEpoch: 6n,
};
const retired: RetiredPartition = {
  placement: { ...placement(7, 0, 1), slots: [] },
  sealedPosition: 3n,
  into: { partition: 0, generation: 1, position: 9n },
  slotsEpoch: 4n,
};
const all: Topology = { epoch: 6n, partitions, reshapes: [split, merge], retired: [retired], lastGeneration: 5 };

const withSplit = (change: Partial<Split>): Topology => ({ ...all, reshapes: [{ ...split, ...change }] });
const withMerge = (change: Partial<Merge>): Topology => ({ ...all, reshapes: [{ ...merge, ...change }] });
const withRetired = (change: Partial<RetiredPartition>): Topology => ({ ...all, retired: [{ ...retired, ...change }] });
const withPlacement = (partition: number, change: Partial<PartitionPlacement>): Topology => ({
  ...all,
  partitions: partitions.map((each) => (each.partition === partition ? { ...each, ...change } : each)),
});

describe('splits, merges and what they leave', () => {
  test('that make sense are taken', () => {
    checkTopology(all);
    checkTopology(withSplit({ cancelled: true }));
    checkTopology(withPlacement(0, { slotsEpoch: 6n, origin: { partition: 40, generation: 2, position: 0n } }));
    checkTopology(withPlacement(0, { replicas: ['b', 'a'] }));
  });

  test.each<[string, Topology]>([
    ['partition 2 takes part in two reshapes', { ...all, reshapes: [split, { ...split, id: uuid(9), target: 4 }] }],
    [
      'partition 3 takes part in two reshapes',
      { ...all, reshapes: [split, { ...split, id: uuid(9), source: 0, slots: [{ start: 0, end: 1 }] }] },
    ],
    ['two reshapes have the id', { ...all, reshapes: [split, { ...merge, id: split.id }] }],
    ['no UUID', withSplit({ id: 'x' })],
    ['there is a partition 1 already', withSplit({ target: 1 })],
    ['partition 7 is retired', withSplit({ target: 7 })],
    ['there is no partition 9', withSplit({ source: 9 })],
    ['is of one partition', withMerge({ target: 1 })],
    ['does not have all of these slots', withSplit({ slots: [{ start: 1999, end: 3000 }] })],
    ['nothing would be left of partition 2', withSplit({ slots: [{ start: 2000, end: slotCount }] })],
    ['has no slots', withSplit({ slots: [] })],
    ["the slots' epoch 7", withSplit({ slotsEpoch: 7n })],
    ["the slots' epoch 0", withMerge({ slotsEpoch: 0n })],
    ['the log of partition 3 has generation 0', withSplit({ log: { ...split.log, generation: 0 } })],
    ['not the slots of partition 1', withMerge({ slots: [{ start: 1000, end: 1999 }] })],
    ['there is no partition 5', withMerge({ target: 5 })],
    ['the partitions are on a, b and on a, c', { ...withPlacement(0, { replicas: ['a', 'c'] }), reshapes: [merge] }],
    ['node c joins partition 0', withPlacement(0, { joining: ['c'] })],
    ['node a leaves partition 2', withPlacement(2, { leaving: ['a'] })],
    ["partition 1 has the slots' epoch 7", withPlacement(1, { slotsEpoch: 7n })],
    ['the origin of partition 1', withPlacement(1, { origin: { partition: 0, generation: 0, position: 0n } })],
    ['partition 1 is retired and is there', withRetired({ placement: { ...placement(1, 0, 1), slots: [] } })],
    ['partition 7 is retired twice', { ...all, retired: [retired, retired] }],
    ['the retired partition 7 has slots', withRetired({ placement: placement(7, 0, 1) })],
    ['sealed at position -1', withRetired({ sealedPosition: -1n })],
    ['took the slots of the retired partition 7', withRetired({ into: { partition: 0, generation: 0, position: 0n } })],
    ['the last generation is 0', { ...all, lastGeneration: 0 }],
    ['what was forgotten', { ...all, forgotten: 7n }],
    ['there is a partition 65535', withSplit({ target: 65_535 })],
  ])('are refused: %s', (says, topology) => {
    expect(() => checkTopology(topology)).toThrow(says);
  });
});
