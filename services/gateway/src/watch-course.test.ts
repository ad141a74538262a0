// In which order a watch goes through logs that split and merge, and which cursors cannot be carried on.
import { evenTopology, type PartitionPlacement, type RetiredPartition, type Topology } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { WatchCourse } from './watch-course.ts';
import { decodePlaces, encodePlaces, type WatchPlace } from './watch-cursor.ts';

const [zero, one] = evenTopology(2, ['a']).partitions as [PartitionPlacement, PartitionPlacement];
const logOf = (generation: number) => ({ generation, incarnation: `of ${generation}` });
const p0: PartitionPlacement = { ...zero, log: logOf(1) };
const p1: PartitionPlacement = { ...one, log: logOf(1) };
/** Split off 0 behind its position 30, by a change of epoch 5. */
const child: PartitionPlacement = {
  ...one,
  partition: 2,
  slotsEpoch: 5n,
  origin: { partition: 0, generation: 1, position: 30n },
  log: { ...logOf(2), continues: { incarnation: 'of 1', position: 30n, chain: '' } },
};
const before: Topology = { epoch: 4n, partitions: [p0, p1] };
const afterSplit: Topology = { epoch: 7n, partitions: [{ ...p0, slotsEpoch: 5n }, p1, child] };
const retired: RetiredPartition = {
  placement: { ...p1, slots: [] },
  sealedPosition: 50n,
  into: { partition: 0, generation: 1, position: 90n },
  slotsEpoch: 8n,
};
const afterMerge: Topology = { epoch: 10n, partitions: [{ ...p0, slotsEpoch: 8n }], retired: [retired] };

function courseAt(positions: Record<number, bigint>, epoch = 0n): WatchCourse {
  const places = Object.entries(positions).map(([partition, position]): [number, WatchPlace] => {
    return [Number(partition), { position, generation: Number(partition) === 2 ? 2 : 1, seen: 0 }];
  });
  return new WatchCourse(new Map(places), epoch);
}

function reach(course: WatchCourse, partition: number, position: bigint): void {
  course.places.set(partition, { ...course.places.get(partition)!, position });
}

describe('a partition that was split off', () => {
  test('is followed from behind the fence, once what it came from was followed up to there', () => {
    const course = courseAt({ 0: 12n, 1: 3n });
    course.take(afterSplit, true);
    expect(course.places.get(2)).toEqual({ position: 31n, generation: 2, seen: 0 });
    expect([course.mayFollow(0), course.mayFollow(1), course.mayFollow(2)]).toEqual([true, true, false]);
    reach(course, 0, 30n);
    expect(course.mayFollow(2)).toBe(false);
    reach(course, 0, 31n);
    expect(course.mayFollow(2)).toBe(true);
  });

  test('is followed at once by who knew nothing of it and is past the fence already', () => {
    const course = courseAt({ 0: 70n, 1: 3n });
    course.take(afterSplit, true);
    expect([course.mayFollow(2), course.places.get(2)?.position]).toEqual([true, 31n]);
  });

  test('goes on where it was', () => {
    const course = courseAt({ 0: 70n, 1: 3n, 2: 44n }, 7n);
    course.take(afterSplit, true);
    expect(course.places.get(2)?.position).toBe(44n);
  });

  test('of one that was split off itself: one after the other', () => {
    const origin = { partition: 2, generation: 2, position: 60n };
    const grandchild: PartitionPlacement = { ...child, partition: 3, slotsEpoch: 8n, origin, log: logOf(3) };
    const course = courseAt({ 0: 12n, 1: 3n });
    course.take({ epoch: 9n, partitions: [...afterSplit.partitions, grandchild] }, true);
    reach(course, 0, 31n);
    expect([course.mayFollow(2), course.mayFollow(3)]).toEqual([true, false]);
    reach(course, 2, 61n);
    expect(course.mayFollow(3)).toBe(true);
  });
});

describe('a partition that took the slots of another one', () => {
  test('is followed past that only after the other one was followed to its end', () => {
    const course = courseAt({ 0: 80n, 1: 40n }, 0n);
    course.take(before, false);
    expect(course.holdOf(0)).toBeUndefined();
    course.take(afterMerge, true);
    expect(course.holdOf(0)).toEqual(retired.into);
    reach(course, 1, 50n);
    expect(course.isDone(1)).toBe(false);
    reach(course, 1, 51n);
    expect(course.isDone(1)).toBe(true);
    course.places.delete(1);
    expect(course.holdOf(0)).toBeUndefined();
  });

  test('holds nobody who has seen all of the other one', () => {
    const course = courseAt({ 0: 80n, 1: 51n });
    course.take(afterMerge, true);
    expect([[...course.places.keys()], course.holdOf(0)]).toEqual([[0], undefined]);
    const later = courseAt({ 0: 80n }, 10n);
    later.take(afterMerge, true);
    expect([[...later.places.keys()], later.holdOf(0)]).toEqual([[0], undefined]);
  });

  test('and was split off meanwhile, by a cursor that knows nothing of it: both are followed', () => {
    const back: RetiredPartition = { ...retired, placement: { ...child, slots: [] }, sealedPosition: 45n };
    const course = courseAt({ 0: 12n, 1: 3n });
    course.take({ ...afterMerge, partitions: [{ ...p0, slotsEpoch: 8n }, p1], retired: [back] }, true);
    expect(course.places.get(2)).toEqual({ position: 31n, generation: 2, seen: 0 });
    expect([course.mayFollow(2), course.holdOf(0)?.position]).toEqual([false, 90n]);
  });
});

describe('a cursor', () => {
  const merged: Topology = { epoch: 12n, partitions: [{ ...p0, slotsEpoch: 8n }], forgotten: 8n };
  const take = (course: WatchCourse, topology: Topology) => () => course.take(topology, true);

  test('of before a merge that is not told of any more has expired', () => {
    expect(take(courseAt({ 0: 80n, 1: 40n }), merged)).toThrow(/not kept any more/);
    expect(take(courseAt({ 0: 80n }, 7n), merged)).toThrow(/not kept any more/);
    // Given while it was under way.
    expect(take(courseAt({ 0: 80n, 1: 40n }, 9n), merged)).toThrow(/not kept any more/);
    expect(take(courseAt({ 0: 80n }, 10n), merged)).not.toThrow();
  });

  test('of one whose log goes now has expired, where it was not followed to its end', () => {
    const ended: Topology = { ...afterMerge, retired: [{ ...retired, ended: true }] };
    expect(take(courseAt({ 0: 80n, 1: 40n }), ended)).toThrow(/not kept any more/);
    expect(take(courseAt({ 0: 80n, 1: 51n }), ended)).not.toThrow();
    expect(take(courseAt({ 0: 80n }, 10n), ended)).not.toThrow();
  });

  test('of another partition that had the number has expired', () => {
    const course = new WatchCourse(new Map([[2, { position: 400n, generation: 1, seen: 0 }]]), 6n);
    expect(take(course, afterSplit)).toThrow(/what was partition 2 then/);
  });

  test('of a log that was lost and carried on goes on', () => {
    const log = { ...logOf(3), continues: { incarnation: 'of 2', position: 60n, chain: '' } };
    const course = courseAt({ 0: 70n, 1: 3n, 2: 44n }, 7n);
    expect(take(course, { ...afterSplit, partitions: [p0, p1, { ...child, log }] })).not.toThrow();
  });

  test('says of which topology it is where slots have moved, and is what it was where none has', () => {
    const { places } = courseAt({ 0: 80n, 2: 40n });
    expect(decodePlaces(encodePlaces(places, 77n))).toEqual({ places, epoch: 77n });
    const old = new Map([[0, { position: 80n, seen: 2 }]]);
    expect(encodePlaces(old)).toEqual(Buffer.from([1, 0, 80, 2]));
    expect(decodePlaces(encodePlaces(old))).toEqual({ places: old, epoch: 0n });
  });
});
