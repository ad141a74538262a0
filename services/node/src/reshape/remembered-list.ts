// What a partition remembers of clients' requests, read in rounds into a list that another partition is told. Most of
// them are read before it is wanted at once; see remembered-copy.ts for why none is missed.
import type { BinaryString, RememberedRecord } from '@statestore/core';
import { keyspace, limits, prefixEnd } from '@statestore/core';
import { rememberedFrom, type RememberedRound } from './remembered-copy.ts';
import type { ReshapeSource } from './reshape-work.ts';

const { idempotencyExpiryPrefix: indexStart } = keyspace;
const indexEnd = prefixEnd(indexStart)!;

export class RememberedList {
  readonly #source: ReshapeSource;
  /** By their keys in the index, ascending but for those of one millisecond. */
  readonly #records = new Map<BinaryString, RememberedRecord>();
  /** Id → its key in the index. */
  readonly #indexKeys = new Map<BinaryString, BinaryString>();
  #from: BinaryString = indexStart;

  constructor(source: ReshapeSource) {
    this.#source = source;
  }

  async round({ turn, signal, untilMs }: RememberedRound): Promise<void> {
    const end = untilMs === undefined ? indexEnd : keyspace.idempotencyExpiryEnd(untilMs);
    const next = rememberedFrom(this.#source.state);
    for (let start: BinaryString | undefined = this.#from; start !== undefined;) {
      start = this.#readPart(start, end);
      signal.throwIfAborted();
      const pause = turn();
      if (pause === undefined) continue;
      await pause;
      signal.throwIfAborted();
    }
    this.#from = next < end ? next : end;
    this.#forget(end);
  }

  /** Those of the last round. */
  list(): readonly RememberedRecord[] {
    return [...this.#records.values()];
  }

  #readPart(start: BinaryString, end: BinaryString): BinaryString | undefined {
    const { reader } = this.#source;
    let left = limits.reshapeTurnRecords;
    let last: BinaryString | undefined;
    for (const indexKey of reader.keys({ start, end, limit: left })) {
      left--;
      last = indexKey;
      if (this.#records.has(indexKey)) continue;
      const id = keyspace.parseIdempotencyExpiryKey(indexKey);
      const before = this.#indexKeys.get(id);
      if (before !== undefined) this.#records.delete(before);
      this.#indexKeys.set(id, indexKey);
      this.#records.set(indexKey, { id, ...keyspace.decodeIdempotency(reader.get(keyspace.idempotencyKey(id))!) });
    }
    return left > 0 || last === undefined ? undefined : `${last}\0`;
  }

  /** What the source has forgotten, and what is not to be told of. */
  #forget(end: BinaryString): void {
    let first = end;
    for (const indexKey of this.#source.reader.keys({ start: indexStart, end, limit: 1 })) first = indexKey;
    for (const [indexKey, { id }] of this.#records) {
      if (indexKey >= first && indexKey < end) continue;
      this.#records.delete(indexKey);
      this.#indexKeys.delete(id);
    }
  }
}
