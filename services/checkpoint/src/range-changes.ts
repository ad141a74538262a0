// What became of a range of records since the checkpoint before, where nothing in the state tells: the range as it is
// now beside what that checkpoint has of it, record by record, both in the order of their keys. So a layer grows with
// what changed, not with what there is: the index by expiry has a record for each entry that expires, and remembered
// requests are there for minutes, however few of them are new.
//
// Where comparing gains nothing (little was there, or most of it changed), what is left of the range is written whole.
import type { StateReader } from '@statestore/core';
import type { PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { binaryFromBytes } from '@statestore/core';
import { isDamage } from './markers.ts';
import type { KeyRange, LayerRecord, StateRecord } from './records.ts';
import { equalBytes } from './sealed.ts';

/** The checkpoint before cannot be read: nothing is to be built upon it. */
export class PreviousDamaged extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause });
  }
}

export interface RangeBefore {
  /** What the checkpoint before has of the range, in parts, ascending. */
  read(range: KeyRange): AsyncIterable<readonly StateRecord[]>;
  /** Of what is read then: of all layers' blocks. */
  readonly records: number;
  /** Of their content. */
  readonly bytes: number;
}

/** How much of the checkpoint lies in the range. Blocks at its ends count in full. */
export function sizeOf({ layers }: PartitionManifest, { start, end }: KeyRange): { records: number; bytes: number } {
  const size = { records: 0, bytes: 0 };
  for (const { blocks } of layers)
    for (const { firstKey, lastKey, records, bytes } of blocks) {
      if (binaryFromBytes(lastKey) < start || (end !== '' && binaryFromBytes(firstKey) >= end)) continue;
      size.records += Number(records);
      size.bytes += Number(bytes);
    }
  return size;
}

export class RangeChanges {
  /** Records that the state has in the range, when all parts were taken. */
  records = 0;
  /** What older layers have here counts for nothing: it was written whole. */
  replaced: KeyRange | undefined;
  readonly #range: KeyRange;
  readonly #before: RangeBefore;
  readonly #now: Ahead;
  #changed = 0;

  constructor(reader: StateReader, range: KeyRange, before: RangeBefore) {
    this.#range = range;
    this.#before = before;
    const bounds = range.end === '' ? { start: range.start } : { start: range.start, end: range.end };
    this.#now = new Ahead(reader.range(bounds));
  }

  /** Ascending over all of them; undefined for a record that did not change. */
  async *parts(compareFromBytes: number): AsyncGenerator<Iterable<LayerRecord | undefined>, void> {
    try {
      if (this.#before.bytes < compareFromBytes) this.replaced = this.#range;
      else yield* this.#compared();
      yield this.#rest();
    } finally {
      this.#now.leave();
    }
  }

  async *#compared(): AsyncGenerator<Iterable<LayerRecord | undefined>, void> {
    for await (const part of this.#read()) {
      yield this.#compare(part);
      if (this.replaced !== undefined) return;
    }
  }

  async *#read(): AsyncGenerator<readonly StateRecord[], void> {
    try {
      for await (const part of this.#before.read(this.#range)) if (part.length > 0) yield part;
    } catch (error) {
      throw isDamage(error) ? new PreviousDamaged(error) : error;
    }
  }

  *#compare(part: readonly StateRecord[]): Generator<LayerRecord | undefined> {
    // A deletion and a record for each that was replaced are more than all that there is.
    const changedMax = this.#before.records / 2;
    for (const { key, value } of part) {
      if (this.#changed > changedMax) {
        this.replaced = { start: key, end: this.#range.end };
        return;
      }
      let now = this.#now.record;
      // What is there now, and was not before.
      for (; now !== undefined && now.key < key; now = this.#now.record) {
        this.#changed++;
        yield now;
        this.#pass();
      }
      if (now?.key !== key) {
        this.#changed++;
        yield { key, value: undefined };
        continue;
      }
      const isSame = now.value.length === value.length && (value.length === 0 || equalBytes(now.value, value));
      if (!isSame) this.#changed++;
      yield isSame ? undefined : now;
      this.#pass();
    }
  }

  *#rest(): Generator<LayerRecord> {
    for (let now = this.#now.record; now !== undefined; now = this.#now.record) {
      yield now;
      this.#pass();
    }
  }

  #pass(): void {
    this.records++;
    this.#now.pass();
  }
}

/** A sequence, and what comes next in it: read when it is asked for, not before. */
class Ahead {
  readonly #records: Iterator<StateRecord>;
  #next: StateRecord | undefined;
  #isKnown = false;

  constructor(records: Iterable<StateRecord>) {
    this.#records = records[Symbol.iterator]();
  }

  get record(): StateRecord | undefined {
    if (this.#isKnown) return this.#next;
    const step = this.#records.next();
    this.#next = step.done === true ? undefined : step.value;
    this.#isKnown = true;
    return this.#next;
  }

  pass(): void {
    this.#isKnown = this.#next === undefined;
  }

  leave(): void {
    this.#records.return?.();
  }
}
