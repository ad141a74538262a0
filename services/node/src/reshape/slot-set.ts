// Whether a slot is one of them, as fast as can be: it is asked of each key of a partition.
import type { BinaryString } from '@statestore/core';
import { limits, slotOf } from '@statestore/core';

export class SlotSet {
  readonly #isIn = new Uint8Array(limits.slotCount);

  constructor(slots: readonly { readonly start: number; readonly end: number }[]) {
    for (const { start, end } of slots) this.#isIn.fill(1, start, end);
  }

  hasKey(store: string, key: BinaryString): boolean {
    return this.#isIn[slotOf(store, key)] === 1;
  }
}
