// Which partitions a checkpoint has while slots change hands beside it: pure. Each is written once, with the slots that it
// has at that moment. So some slots may come to be written twice, or not at all yet; a checkpoint has each of them once.
import { limits, type SlotRange, slotRanges } from '@statestore/core';
import type { PartitionTask } from './replicas.ts';

export interface WrittenSlots {
  readonly partition: number;
  readonly slots: readonly SlotRange[];
  readonly slotsEpoch: bigint;
}

/** Slots of a partition that is about to end. */
export interface LayoutMerge {
  readonly source: number;
  readonly target: number;
}

const allSlots: readonly SlotRange[] = [{ start: 0, end: limits.slotCount }];

/** What is in none of them. */
export function missingSlots(written: readonly Pick<WrittenSlots, 'slots'>[]): readonly SlotRange[] {
  return written.reduce<readonly SlotRange[]>((left, { slots }) => slotRanges.without(left, slots), allSlots);
}

/**
 * Those that have each slot once; undefined: they have not. A partition that was written with the slots of another one has
 * its records, whichever of the two was first: one that was written before it was split has its child's, and one that was
 * written after a merge those of the one that ended.
 */
export function layoutOf<W extends WrittenSlots>(written: readonly W[]): W[] | undefined {
  const chosen = written.filter((one) => !written.some((other) => other !== one && isWithin(one, other)));
  const slots = chosen.flatMap((each) => each.slots);
  const isWhole = missingSlots(chosen).length === 0 && slotRanges.slotCountOf(slots) === limits.slotCount;
  return isWhole ? chosen : undefined;
}

function isWithin(one: WrittenSlots, other: WrittenSlots): boolean {
  if (!slotRanges.contains(other.slots, one.slots)) return false;
  return !slotRanges.isSameSlots(other.slots, one.slots) || other.slotsEpoch > one.slotsEpoch;
}

/**
 * What is to be written next: of those that are left and have something that is missing. First what is about to end, since
 * when it is gone its slots can only be had with the one that has them then; and that one last.
 */
export function nextTask(
  tasks: readonly PartitionTask[],
  merges: readonly LayoutMerge[],
  { taken, missing }: { readonly taken: ReadonlySet<number>; readonly missing: readonly SlotRange[] },
): PartitionTask | undefined {
  const left = tasks.filter(({ partition, slots }) => !taken.has(partition) && slotRanges.meet(slots, missing));
  const rank = ({ partition }: PartitionTask): number =>
    merges.some(({ source }) => source === partition) ? 0 : merges.some(({ target }) => target === partition) ? 2 : 1;
  return left.toSorted((a, b) => rank(a) - rank(b))[0];
}
