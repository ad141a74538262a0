// The records of a layer, ascending, and what it replaces. Of the entries of live stores it has those that change
// records name, as they are now or as deletions. Entries of a store's former ordinals change without a record of it
// (clears and their sweeps), so their ranges are replaced by what is still there. Change records are never changed:
// those after the checkpoint before are added, those that were dropped are replaced by nothing. Of everything else,
// the index by expiry above all, what is there is compared with what the checkpoint before has (range-changes.ts).
import type { BinaryString, PartitionState, StateReader } from '@statestore/core';
import { changeKey, keyspace, prefixEnd, prefixRange } from '@statestore/core';
import { unionOf } from './layer-merge.ts';
import type { LayerPlan } from './layer-plan.ts';
import type { RangeBefore } from './range-changes.ts';
import { RangeChanges } from './range-changes.ts';
import type { KeyRange, LayerRecord, StateRecord } from './records.ts';
import { entriesRange } from './records.ts';

type Parts = AsyncGenerator<Iterable<LayerRecord | undefined>, void>;

export interface LayerContentOptions {
  readonly reader: StateReader;
  readonly state: PartitionState;
  readonly plan: Extract<LayerPlan, { kind: 'layer' }>;
  /** What the checkpoint before has there. */
  readonly before: (range: KeyRange) => RangeBefore;
  /** Less than this is written whole rather than compared. */
  readonly compareFromBytes: number;
}

const beforeEntries: KeyRange = { start: '', end: entriesRange.start };
const betweenEntriesAndChanges: KeyRange = { start: entriesRange.end, end: keyspace.changePrefix };
const changesEnd = prefixEnd(keyspace.changePrefix)!;
const afterChanges: KeyRange = { start: changesEnd, end: '' };

export class LayerContent {
  readonly #options: LayerContentOptions;
  readonly #replaced: KeyRange[] = [];
  #others = 0;

  constructor(options: LayerContentOptions) {
    this.#options = options;
  }

  /** Ascending, apart from each other; complete when all parts were taken. */
  get replaced(): readonly KeyRange[] {
    return unionOf(this.#replaced);
  }

  /** Records of the state that are no entry of a live store, when all parts were taken. */
  get others(): number {
    return this.#others;
  }

  /** Ascending over all of them; undefined in between, where others may run. */
  async *parts(): Parts {
    yield* this.#changesOf(beforeEntries);
    yield this.#entries();
    yield* this.#changesOf(betweenEntriesAndChanges);
    yield this.#changeRecords();
    yield* this.#changesOf(afterChanges);
  }

  async *#changesOf(range: KeyRange): Parts {
    const { reader, before, compareFromBytes } = this.#options;
    const changes = new RangeChanges(reader, range, before(range));
    yield* changes.parts(compareFromBytes);
    this.#others += changes.records;
    if (changes.replaced !== undefined) this.#replaced.push(changes.replaced);
  }

  *#entries(): Generator<LayerRecord | undefined> {
    const { reader, state, plan } = this.#options;
    this.#replaced.push(...formerOrdinals(state));
    const retired = [...reader.keys(prefixRange(keyspace.retiredPrefix))].map(keyspace.parseRetiredKey);
    for (const ordinal of ascending([...plan.changed.keys(), ...retired])) {
      yield undefined;
      const prefix = keyspace.entryKeyPrefix(ordinal);
      if (!state.storesByOrdinal.has(ordinal)) yield* this.#counted(reader.range(prefixRange(prefix)));
      else
        for (const key of plan.changed.get(ordinal) ?? []) yield { key: prefix + key, value: reader.get(prefix + key) };
    }
  }

  *#changeRecords(): Generator<LayerRecord | undefined> {
    const { reader, state, plan } = this.#options;
    const first = changeKey(state.changesFrom);
    const next = changeKey(plan.since + 1n);
    if (first > keyspace.changePrefix) this.#replaced.push({ start: keyspace.changePrefix, end: first });
    for (const _ of reader.keys({ start: first, end: next })) {
      this.#others++;
      yield undefined;
    }
    yield* this.#counted(reader.range({ start: next, end: changesEnd }));
  }

  *#counted(records: Iterable<StateRecord>): Generator<StateRecord> {
    for (const record of records) {
      this.#others++;
      yield record;
    }
  }
}

function ascending(ordinals: readonly number[]): number[] {
  return [...new Set(ordinals)].toSorted((a, b) => a - b);
}

/** Keys of entries that are no live store's. */
function formerOrdinals({ storesByOrdinal }: PartitionState): KeyRange[] {
  const ranges: KeyRange[] = [];
  let start: BinaryString = entriesRange.start;
  for (const ordinal of ascending([...storesByOrdinal.keys()])) {
    const own = prefixRange(keyspace.entryKeyPrefix(ordinal));
    if (start < own.start!) ranges.push({ start, end: own.start! });
    start = own.end!;
  }
  ranges.push({ start, end: entriesRange.end });
  return ranges;
}
