// The running replica that a merge's entries are staged in, beside its own. Its stores may be cleared at any time: what
// was staged for them is lost then, and staged anew where they have another keyspace.
import type { BinaryString, SlotRange, StateRange } from '@statestore/core';
import { keyspace, slotRanges, StateStoreError } from '@statestore/core';
import type { CopyTarget, SourceStore, Writes } from './copy-target.ts';
import type { ReshapeTarget } from './reshape-work.ts';

const expiryOrdinalAt = 7;

export class StageTarget implements CopyTarget {
  readonly isOwn = false;
  readonly #target: ReshapeTarget;
  readonly #slots: readonly SlotRange[];

  constructor(target: ReshapeTarget, slots: readonly SlotRange[]) {
    this.#target = target;
    this.#slots = slots;
  }

  get(key: BinaryString): Uint8Array | undefined {
    return this.#target.reader.get(key);
  }

  range(range: StateRange): Iterable<{ readonly key: BinaryString; readonly value: Uint8Array }> {
    return this.#target.reader.range(range);
  }

  keys(range: StateRange): Iterable<BinaryString> {
    return this.#target.reader.keys(range);
  }

  /** Whether it tells what is its own from what is staged. */
  get isPrepared(): boolean {
    return this.#target.state.slots !== undefined;
  }

  ordinalOf({ name }: Pick<SourceStore, 'name'>): number {
    return this.isPrepared ? (this.#target.state.stores.get(name)?.ordinal ?? 0) : 0;
  }

  isLive(ordinal: number): boolean {
    return this.#target.state.storesByOrdinal.has(ordinal);
  }

  *found(): Iterable<{ readonly ordinal: number; readonly store: string }> {
    if (!this.isPrepared) return;
    for (const [ordinal, { name }] of this.#target.state.storesByOrdinal) yield { ordinal, store: name };
  }

  write(writes: Writes): void | Promise<void> {
    const { state, partition } = this.#target;
    if (state.slots === undefined || slotRanges.meet(state.slots, this.#slots))
      throw new StateStoreError(
        'unavailable',
        `partition ${partition} owns the slots that entries were to be staged of`,
      );
    const live = new Map<BinaryString, Uint8Array | undefined>();
    // Under an ordinal that was given up nobody would remove them.
    for (const [key, value] of writes) if (this.isLive(ordinalIn(key))) live.set(key, value);
    return this.#target.stage(live);
  }
}

function ordinalIn(key: BinaryString): number {
  return keyspace.uint32At(key, key.startsWith(keyspace.expiryPrefix) ? expiryOrdinalAt : 1);
}
