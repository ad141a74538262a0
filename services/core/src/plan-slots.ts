// More or fewer partitions: which are split, which are merged. A split halves the partition with most slots,
// so that the largest has at most twice the slots of the smallest; a merge joins the smallest with the
// smallest of its neighbours, so that ranges stay whole. What a number of partitions grew by, taking it back undoes.
//
// Steps that have no partition in common may be taken in any order: what is planned after some of them is the rest. So
// nothing but slots decides: who goes where is planned by these steps, and would move them.
import { partitionNumberMax, slotCount } from './limits.ts';
import { Heap } from './plan-heap.ts';
import type { PlanStep } from './plan.ts';
import { joined, slotCountOf, without } from './slot-ranges.ts';
import type { PartitionPlacement, SlotRange } from './topology.ts';

export type SplitStep = PlanStep & { kind: 'split' };
export type MergeStep = PlanStep & { kind: 'merge' };
export type SlotsStep = SplitStep | MergeStep;

export interface SlotsPlan {
  readonly steps: readonly SlotsStep[];
  /** After the steps, ascending. */
  readonly partitions: readonly PartitionPlacement[];
}

type Partitions = Map<number, PartitionPlacement>;

/** `taken`: numbers that no new partition may have, beside those of the partitions. */
export function planSlots(
  partitions: readonly PartitionPlacement[],
  count: number,
  taken: readonly number[] = [],
): SlotsPlan {
  if (partitions.length === count) return { steps: [], partitions };
  const all = new Map(partitions.map((placement) => [placement.partition, placement]));
  const steps = all.size < count ? splits(all, count, taken) : merges(all, count);
  return { steps, partitions: [...all.values()].sort((a, b) => a.partition - b.partition) };
}

function splits(all: Partitions, count: number, taken: readonly number[]): SplitStep[] {
  const steps: SplitStep[] = [];
  const numbers = new NewNumbers([...all.keys(), ...taken]);
  const largest = new Heap<PartitionPlacement>((a, b) => sizeOf(b) - sizeOf(a) || a.partition - b.partition);
  for (const placement of all.values()) largest.push(placement);
  while (all.size < count) {
    const parent = largest.pop();
    if (parent === undefined || sizeOf(parent) < 2) break;
    const slots = lastSlots(parent.slots, Math.floor(sizeOf(parent) / 2));
    const step: SplitStep = { kind: 'split', partition: parent.partition, child: numbers.next(), slots };
    steps.push(step);
    takeSplit(all, step);
    largest.push(all.get(step.partition)!);
    largest.push(all.get(step.child)!);
  }
  return steps;
}

/** A number that was given up is used again last: less is to be told apart. */
class NewNumbers {
  readonly #taken: Set<number>;
  #next: number;

  constructor(taken: readonly number[]) {
    this.#taken = new Set(taken);
    this.#next = taken.reduce((greatest, each) => Math.max(greatest, each), -1) + 1;
  }

  next(): number {
    if (this.#next > partitionNumberMax) this.#next = 0;
    while (this.#taken.has(this.#next)) this.#next++;
    this.#taken.add(this.#next);
    return this.#next++;
  }
}

function merges(all: Partitions, count: number): MergeStep[] {
  const steps: MergeStep[] = [];
  const neighbours = new Neighbours(all);
  const smallest = new Heap<PartitionPlacement>((a, b) => sizeOf(a) - sizeOf(b) || b.partition - a.partition);
  for (const placement of all.values()) smallest.push(placement);
  while (all.size > count) {
    const source = smallest.pop();
    if (source === undefined) break;
    // It was merged, or has grown since.
    if (all.get(source.partition) !== source) continue;
    const others = neighbours.of(source).map((partition) => all.get(partition)!);
    const into = others.reduce((best, other) => (sizeOf(other) < sizeOf(best) ? other : best));
    const step: MergeStep = { kind: 'merge', partition: source.partition, into: into.partition };
    steps.push(step);
    takeMerge(all, step);
    neighbours.taken(source, into.partition);
    smallest.push(all.get(into.partition)!);
  }
  return steps;
}

/** Who has the slots before and after those of a partition. */
class Neighbours {
  readonly #owners = new Int32Array(slotCount);

  constructor(all: Partitions) {
    for (const placement of all.values()) this.taken(placement, placement.partition);
  }

  /** Ascending; never none, while there is another partition. */
  of({ partition, slots }: PartitionPlacement): readonly number[] {
    const found = new Set<number>();
    for (const { start, end } of slots) {
      if (start > 0) found.add(this.#owners[start - 1]!);
      if (end < slotCount) found.add(this.#owners[end]!);
    }
    found.delete(partition);
    return [...found].sort((a, b) => a - b);
  }

  taken({ slots }: PartitionPlacement, by: number): void {
    for (const { start, end } of slots) this.#owners.fill(by, start, end);
  }
}

/** What the step makes of the partitions. */
export function takeSplit(all: Partitions, { partition, child, slots }: SplitStep): void {
  const parent = all.get(partition);
  if (parent === undefined) return;
  all.set(partition, { ...parent, slots: without(parent.slots, slots) });
  all.set(child, { partition: child, slots, replicas: parent.replicas });
}

/** What the step makes of the partitions. */
export function takeMerge(all: Partitions, { partition, into }: MergeStep): void {
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
