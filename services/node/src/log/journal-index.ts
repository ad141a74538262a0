// Where a partition's records lie in the shared journal: one number for each record that is still there.
import { StateStoreError } from '@statestore/core';

export class JournalIndex {
  readonly #partition: number;
  /** Position in the journal of each record from `first` on: safe integers, a journal is never that long. */
  #places: number[] = [];
  /** Bytes of each of them. */
  #sizes: number[] = [];
  /** Of all records that are there. */
  sizeBytes = 0;
  /** Oldest position that is there; last + 1 where none is. */
  first = 1n;
  /** Newest durable one; first - 1 where there is none. */
  last = 0n;
  /** Positions below are not needed any more, whether they are still there or not. */
  #needed = 1n;
  /** Before anything is known, the first record or positions record says where the partition begins. */
  #known: boolean;

  /** `known`: the journal is whole, so the partition's first record is its first position. */
  constructor(partition: number, known: boolean) {
    this.#partition = partition;
    this.#known = known;
  }

  /** The next record of the partition, at this position of the journal. Throws `data_corrupt` at a gap. */
  add(position: bigint, at: bigint, bytes: number): void {
    if (!this.#known) this.#begin(position);
    if (position !== this.last + 1n) {
      throw new StateStoreError(
        'data_corrupt',
        `the journal has record ${position} of partition ${this.#partition} after ${this.last}`,
      );
    }
    this.last = position;
    this.#places.push(Number(at));
    this.#sizes.push(bytes);
    this.sizeBytes += bytes;
  }

  /** A positions record at this place says that the last one is this. Throws `data_corrupt` where that is another one. */
  confirm(last: bigint, at: bigint): void {
    // A journal that begins with one carries on what was restored.
    if (!this.#known || at === 1n) this.#begin(last + 1n);
    if (last !== this.last) {
      throw new StateStoreError(
        'data_corrupt',
        `the journal says that partition ${this.#partition} is at ${last}, but has its records up to ${this.last}`,
      );
    }
  }

  #begin(first: bigint): void {
    this.first = first;
    this.last = first - 1n;
    this.#known = true;
  }

  /** Where in the journal that position is; undefined where it is not there (yet). */
  placeOf(position: bigint): bigint | undefined {
    const place = position < this.first ? undefined : this.#places[Number(position - this.first)];
    return place === undefined ? undefined : BigInt(place);
  }

  /** Positions below are not needed any more. */
  release(below: bigint): void {
    if (below > this.#needed) this.#needed = below;
  }

  /** The oldest place in the journal that is needed; undefined where none is. */
  get neededPlace(): bigint | undefined {
    return this.placeOf(this.#needed < this.first ? this.first : this.#needed);
  }

  /** The journal begins here now. */
  trimmed(journalFirst: bigint): void {
    const gone = this.#places.findIndex((place) => place >= Number(journalFirst));
    const dropped = gone === -1 ? this.#places.length : gone;
    if (dropped === 0) return;
    this.#places = this.#places.slice(dropped);
    for (let i = 0; i < dropped; i++) this.sizeBytes -= this.#sizes[i]!;
    this.#sizes = this.#sizes.slice(dropped);
    this.first += BigInt(dropped);
  }
}
