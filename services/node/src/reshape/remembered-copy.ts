// What a partition remembers of clients' requests, copied in rounds by the index of when it is forgotten. New records
// always come behind all that could come before, since the state's clock never runs backwards, and sweeps forget from the
// front: what a round has seen once is not read again.
import type { BinaryString } from '@statestore/core';
import { keyspace, limits, prefixEnd, StateStoreError } from '@statestore/core';
import type { Turn } from '@statestore/checkpoint';
import { type CopyTarget, CopyWrites, type Writes } from './copy-target.ts';
import { joinKeys } from './joined-keys.ts';
import type { ReshapeSource } from './reshape-work.ts';

export interface RememberedRound {
  readonly turn: Turn;
  readonly signal: AbortSignal;
  /** Only what is forgotten at this time or before, ms since 1970. Undefined: all. */
  readonly untilMs?: number;
  /** As CopyRound's. */
  readonly keepsWrites?: boolean;
}

const noValue = new Uint8Array(0);
const { idempotencyExpiryPrefix: indexStart } = keyspace;
const indexEnd = prefixEnd(indexStart)!;

/** Before this, nothing comes from now on: what is remembered at this time is so for a whole window. */
export function rememberedFrom({ clockNanos }: { readonly clockNanos: bigint }): BinaryString {
  return keyspace.idempotencyExpiryKey(Number(clockNanos / 1_000_000n) + limits.deduplicationWindowMs, '');
}

export class RememberedCopy {
  readonly #source: ReshapeSource;
  readonly #target: CopyTarget;
  readonly #writes: CopyWrites;
  /** Of the index: what is before it is copied. Undefined: begin anew. */
  #from: BinaryString | undefined;

  constructor(source: ReshapeSource, target: CopyTarget) {
    this.#source = source;
    this.#target = target;
    this.#writes = new CopyWrites(target);
  }

  /** As SlotsCopy's. */
  async round(round: RememberedRound): Promise<void> {
    const end = round.untilMs === undefined ? indexEnd : keyspace.idempotencyExpiryEnd(round.untilMs);
    const from = this.#from;
    const next = rememberedFrom(this.#source.state);
    // Of a round that kept them, or was left in the middle: that one is done again from where the one before ended.
    await this.#writes.flush();
    if (from !== undefined) await this.#forget(end, round);
    for (let at: BinaryString | undefined = least(from ?? indexStart, end); at !== undefined;) {
      at = this.#copyPart(at, end);
      await this.#betweenParts(round);
    }
    if (round.keepsWrites !== true) await this.#writes.flush();
    this.#from = least(next, end);
  }

  /** After a round that kept them. */
  takeWrites(): Writes {
    return this.#writes.take();
  }

  async #betweenParts({ turn, signal }: RememberedRound): Promise<void> {
    if (this.#writes.isFull) await this.#writes.flush();
    signal.throwIfAborted();
    const pause = turn();
    if (pause === undefined) return;
    await pause;
    signal.throwIfAborted();
  }

  /** What the source has forgotten: all that is before its first one. */
  async #forget(end: BinaryString, round: RememberedRound): Promise<void> {
    for (let start: BinaryString | undefined = indexStart; start !== undefined;) {
      const first = firstKey(this.#source.reader.keys({ start: indexStart, end, limit: 1 })) ?? indexEnd;
      let left = limits.reshapeTurnRecords;
      let last: BinaryString | undefined;
      for (const indexKey of this.#target.keys({ start, end: first, limit: left })) {
        left--;
        last = indexKey;
        this.#remove(indexKey);
      }
      start = left > 0 || last === undefined ? undefined : `${last}\0`;
      await this.#betweenParts(round);
    }
  }

  #copyPart(start: BinaryString, end: BinaryString): BinaryString | undefined {
    return joinKeys<BinaryString>(
      {
        source: this.#source.reader.keys({ start, end }),
        there: this.#target.keys({ start, end: indexEnd }),
        keyOf: (key) => key,
        thereKeyOf: (key) => key,
        onlySource: (indexKey) => this.#add(indexKey),
        onlyThere: (indexKey) => this.#remove(indexKey),
        // The same id with the same time is the same record: an id comes again only when it was forgotten, and later.
        both: () => undefined,
      },
      limits.reshapeTurnRecords,
    );
  }

  #add(indexKey: BinaryString): void {
    const id = keyspace.parseIdempotencyExpiryKey(indexKey);
    const key = keyspace.idempotencyKey(id);
    const value = this.#source.reader.get(key);
    if (value === undefined)
      throw new StateStoreError('data_corrupt', 'the index of remembered requests names one that is not there');
    const before = this.#writes.get(key);
    // One that was remembered anew under the same id.
    if (before !== undefined)
      this.#writes.set(keyspace.idempotencyExpiryKey(keyspace.decodeIdempotency(before).expiresAtMs, id), undefined);
    this.#writes.set(key, value);
    this.#writes.set(indexKey, noValue);
  }

  #remove(indexKey: BinaryString): void {
    const id = keyspace.parseIdempotencyExpiryKey(indexKey);
    const key = keyspace.idempotencyKey(id);
    this.#writes.set(indexKey, undefined);
    const record = this.#writes.get(key);
    if (record === undefined) return;
    if (keyspace.idempotencyExpiryKey(keyspace.decodeIdempotency(record).expiresAtMs, id) === indexKey)
      this.#writes.set(key, undefined);
  }
}

function least(a: BinaryString, b: BinaryString): BinaryString {
  return a < b ? a : b;
}

function firstKey(keys: Iterable<BinaryString>): BinaryString | undefined {
  for (const key of keys) return key;
  return undefined;
}
