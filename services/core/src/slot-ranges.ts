// Sets of slots, as half-open ranges that ascend and do not touch: what partitions own, give and take.
import type { SlotRange } from './topology.ts';

export function slotCountOf(slots: readonly SlotRange[]): number {
  let count = 0;
  for (const { start, end } of slots) count += end - start;
  return count;
}

export function containsSlot(slots: readonly SlotRange[], slot: number): boolean {
  for (const { start, end } of slots) if (slot >= start && slot < end) return true;
  return false;
}

/** Whether all of `part` are among `slots`. */
export function contains(slots: readonly SlotRange[], part: readonly SlotRange[]): boolean {
  return part.every((range) => slots.some(({ start, end }) => range.start >= start && range.end <= end));
}

/** Whether any slot is in both. */
export function meet(a: readonly SlotRange[], b: readonly SlotRange[]): boolean {
  return a.some((range) => b.some((other) => range.start < other.end && other.start < range.end));
}

export function isSameSlots(a: readonly SlotRange[], b: readonly SlotRange[]): boolean {
  return a.length === b.length && a.every(({ start, end }, i) => start === b[i]!.start && end === b[i]!.end);
}

/** Those of `slots` that are not among `taken`. */
export function without(slots: readonly SlotRange[], taken: readonly SlotRange[]): SlotRange[] {
  let left = [...slots];
  for (const hole of taken) {
    left = left.flatMap(({ start, end }) =>
      [
        { start, end: Math.min(end, hole.start) },
        { start: Math.max(start, hole.end), end },
      ].filter((range) => range.start < range.end),
    );
  }
  return left;
}

/** All of these, in whatever order they are, in as few ranges as can be. No slot may be among them twice. */
export function joined(slots: readonly SlotRange[]): SlotRange[] {
  const result: SlotRange[] = [];
  for (const range of [...slots].sort((a, b) => a.start - b.start)) {
    const last = result.at(-1);
    if (last !== undefined && last.end === range.start) result[result.length - 1] = { ...last, end: range.end };
    else result.push({ start: range.start, end: range.end });
  }
  return result;
}
