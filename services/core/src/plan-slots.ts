// More or fewer partitions: which are split, which are merged. A split halves the partition with most slots,
// so that the largest has at most twice the slots of the smallest; a merge joins the smallest with the
// smallest of its neighbours, so that ranges stay whole. What a number of partitions grew by, taking it back undoes.
import { partitionNumberMax } from './limits.ts';
import type { PlanStep } from './plan.ts';
import { joined, slotCountOf, without } from './slot-ranges.ts';
import type { PartitionPlacement, SlotRange } from './topology.ts';

export interface SlotsPlan {
  readonly steps: readonly PlanStep[];
  /** After the steps, ascending. */
  readonly partitions: readonly PartitionPlacement[];
}

export function planSlots(partitions: readonly PartitionPlacement[], count: number): SlotsPlan {
  if (partitions.length === count) return { steps: [], partitions };
  const steps: PlanStep[] = [];
  const all = new Map(partitions.map((placement) => [placement.partition, placement]));
  while (all.size < count) {
    const split = nextSplit(all);
    if (split === undefined) break;
    steps.push(split);
    takeSplit(all, split);
  }
  while (all.size > count) {
    const merge = nextMerge(all);
    steps.push(merge);
    takeMerge(all, merge);
  }
  return { steps, partitions: [...all.values()].sort((a, b) => a.partition - b.partition) };
}

type Split = PlanStep & { kind: 'split' };
type Merge = PlanStep & { kind: 'merge' };
type Partitions = Map<number, PartitionPlacement>;

function nextSplit(all: Partitions): Split | undefined {
  let largest: PartitionPlacement | undefined;
  for (const placement of all.values()) {
    if (largest === undefined || isLarger(placement, largest)) largest = placement;
  }
  if (largest === undefined || sizeOf(largest) < 2) return undefined;
  const slots = lastSlots(largest.slots, Math.floor(sizeOf(largest) / 2));
  return { kind: 'split', partition: largest.partition, child: newNumber(all), slots };
}

function isLarger(a: PartitionPlacement, b: PartitionPlacement): boolean {
  const more = sizeOf(a) - sizeOf(b);
  return more > 0 || (more === 0 && a.partition < b.partition);
}

/** A number that was given up is used again last: less is to be told apart. */
function newNumber(all: Partitions): number {
  let greatest = -1;
  for (const number of all.keys()) if (number > greatest) greatest = number;
  if (greatest < partitionNumberMax) return greatest + 1;
  for (let free = 0; ; free++) if (!all.has(free)) return free;
}

function nextMerge(all: Partitions): Merge {
  let smallest: PartitionPlacement | undefined;
  for (const placement of all.values()) {
    if (smallest === undefined || !isLarger(placement, smallest)) smallest = placement;
  }
  const { partition } = smallest!;
  let into: PartitionPlacement | undefined;
  let touches = false;
  for (const other of all.values()) {
    if (other.partition === partition) continue;
    const otherTouches = areNeighbours(smallest!, other);
    if (into !== undefined && touches && !otherTouches) continue;
    if (into === undefined || (otherTouches && !touches) || sizeOf(other) < sizeOf(into)) {
      into = other;
      touches = otherTouches;
    }
  }
  return { kind: 'merge', partition, into: into!.partition };
}

function areNeighbours(a: PartitionPlacement, b: PartitionPlacement): boolean {
  return a.slots.some(({ start, end }) => b.slots.some((other) => other.end === start || other.start === end));
}

/** What the step makes of the partitions. */
export function takeSplit(all: Partitions, { partition, child, slots }: Split): void {
  const parent = all.get(partition);
  if (parent === undefined) return;
  all.set(partition, { ...parent, slots: without(parent.slots, slots) });
  all.set(child, { partition: child, slots, replicas: parent.replicas });
}

/** What the step makes of the partitions. */
export function takeMerge(all: Partitions, { partition, into }: Merge): void {
  const [from, to] = [all.get(partition), all.get(into)];
  if (from === undefined || to === undefined) return;
  all.delete(partition);
  all.set(into, { ...to, slots: joined([...to.slots, ...from.slots]) });
}

function sizeOf({ slots }: PartitionPlacement): number {
  return slotCountOf(slots);
}

function lastSlots(slots: readonly SlotRange[], count: number): SlotRange[] {
  const taken: SlotRange[] = [];
  for (let i = slots.length - 1, left = count; i >= 0 && left > 0; i--) {
    const { start, end } = slots[i]!;
    const from = Math.max(start, end - left);
    taken.unshift({ start: from, end });
    left -= end - from;
  }
  return taken;
}
