// What of an engine is the partition's state, as a reader: where it was split or merged there may be entries beside it that
// are another partition's, more on one replica than on another. Those are not checkpointed.
import type { BinaryString, PartitionState, StateRange, StateReader } from '@statestore/core';
import { OwnRecords } from '@statestore/core';
import type { StateRecord } from './records.ts';

/** The reader itself where everything in it is the state's. The state does not change meanwhile. */
export function ownRecordsOf(reader: StateReader, state: PartitionState): StateReader {
  const own = OwnRecords.of(state, reader);
  return own === undefined ? reader : new OwnReader(reader, own);
}

class OwnReader implements StateReader {
  readonly #reader: StateReader;
  readonly #own: OwnRecords;

  constructor(reader: StateReader, own: OwnRecords) {
    this.#reader = reader;
    this.#own = own;
  }

  get(key: BinaryString): Uint8Array | undefined {
    return this.#own.has(key) ? this.#reader.get(key) : undefined;
  }

  *range({ limit = Infinity, ...range }: StateRange): Generator<StateRecord> {
    let left = limit;
    if (left > 0)
      for (const record of this.#reader.range(range)) {
        if (!this.#own.has(record.key)) continue;
        yield record;
        if (--left === 0) return;
      }
  }

  *keys({ limit = Infinity, ...range }: StateRange): Generator<BinaryString> {
    let left = limit;
    if (left > 0)
      for (const key of this.#reader.keys(range)) {
        if (!this.#own.has(key)) continue;
        yield key;
        if (--left === 0) return;
      }
  }
}
