// The engine that a split's child is built in. What is copied comes first, and is no state yet: only head, stores and
// incarnation, in the last commit, make it one, and they go before anything else is changed.
import type { BinaryString, StateRange } from '@statestore/core';
import { changePrefix, keyspace, limits, prefixEnd } from '@statestore/core';
import type { Engine } from '../engine/engine.ts';
import type { CopyTarget, SourceStore, Writes } from './copy-target.ts';

/** Between them, kinds of records that a copy has none of. */
const copied: readonly { readonly start: BinaryString; readonly end: BinaryString }[] = [
  { start: keyspace.entryPrefix, end: changePrefix },
  { start: keyspace.idempotencyPrefix, end: prefixEnd(keyspace.idempotencyExpiryPrefix)! },
];

export class ChildEngine implements CopyTarget {
  readonly isOwn = true;
  readonly #engine: Engine;

  private constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** `positionMax`: a child's position is not greater; where the engine's is, it holds something else. */
  static async open(engine: Engine, positionMax: bigint): Promise<ChildEngine> {
    if (engine.position > positionMax) await engine.clear();
    const child = new ChildEngine(engine);
    await child.unname();
    return child;
  }

  get(key: BinaryString): Uint8Array | undefined {
    return this.#engine.get(key);
  }

  range(range: StateRange): Iterable<{ readonly key: BinaryString; readonly value: Uint8Array }> {
    return this.#engine.range(range);
  }

  keys(range: StateRange): Iterable<BinaryString> {
    return this.#engine.keys(range);
  }

  ordinalOf({ ordinal }: SourceStore): number {
    return ordinal;
  }

  isLive(): boolean {
    return true;
  }

  *found(): Iterable<{ readonly ordinal: number }> {
    const end = prefixEnd(keyspace.entryPrefix)!;
    for (let start: BinaryString | undefined = keyspace.entryPrefix; start !== undefined;) {
      let next: BinaryString | undefined;
      for (const key of this.#engine.keys({ start, end, limit: 1 })) {
        const ordinal = keyspace.uint32At(key, 1);
        yield { ordinal };
        next = prefixEnd(keyspace.entryKeyPrefix(ordinal));
      }
      start = next;
    }
  }

  write(writes: Writes): Promise<void> {
    return this.#engine.commit(writes, this.#engine.position);
  }

  /** Makes a state of it, of this position, durable where the engine is. */
  async name(records: Writes, position: bigint): Promise<void> {
    await this.#engine.commit(records, position);
    await this.#engine.sync();
  }

  /** It is no state any more. */
  async unname(): Promise<void> {
    const others = this.#others();
    // Of one that ran.
    if (others.length > limits.storesMax + limits.chainNotesMax) await this.#engine.clear();
    else if (others.length > 0) await this.write(new Map(others.map((key) => [key, undefined])));
  }

  #others(): readonly BinaryString[] {
    const others: BinaryString[] = [];
    let start: BinaryString | undefined;
    for (const range of [...copied, undefined]) {
      const bounds = {
        ...(start === undefined ? {} : { start }),
        ...(range === undefined ? {} : { end: range.start }),
      };
      for (const key of this.#engine.keys({ ...bounds, limit: 2 * (limits.storesMax + limits.chainNotesMax) }))
        others.push(key);
      start = range?.end;
    }
    return others;
  }
}
