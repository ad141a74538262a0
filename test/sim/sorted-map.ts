// The plainest engine there can be: a map, sorted when it is read. For tests that need no other, and as
// what the real engines are compared with.
import type { BinaryString, StateRange, StateReader } from '@statestore/core';

export class SortedMap implements StateReader {
  readonly #entries: Map<BinaryString, Uint8Array>;
  #sorted: BinaryString[] | undefined;

  constructor(entries: Iterable<readonly [BinaryString, Uint8Array]> = []) {
    this.#entries = new Map(entries);
  }

  copy(): SortedMap {
    return new SortedMap(this.#entries);
  }

  write(writes: ReadonlyMap<BinaryString, Uint8Array | undefined>): void {
    for (const [key, value] of writes) {
      if (value === undefined) this.#entries.delete(key);
      else this.#entries.set(key, value);
    }
    this.#sorted = undefined;
  }

  get(key: BinaryString): Uint8Array | undefined {
    return this.#entries.get(key);
  }

  *range(range: StateRange): IterableIterator<{ key: BinaryString; value: Uint8Array }> {
    for (const key of this.keys(range)) yield { key, value: this.#entries.get(key)! };
  }

  *keys({ start, end, reverse, limit = Infinity }: StateRange): IterableIterator<BinaryString> {
    this.#sorted ??= [...this.#entries.keys()].toSorted((a, b) => (a < b ? -1 : 1));
    const inside = this.#sorted.filter(
      (key) => (start === undefined || key >= start) && (end === undefined || key < end),
    );
    yield* (reverse === true ? inside.toReversed() : inside).slice(0, limit);
  }
}

/** Every record as text, in order: two engines hold the same where this is the same. */
export function dump(reader: StateReader): string[] {
  const hex = (byte: number): string => byte.toString(16).padStart(2, '0');
  return Array.from(reader.range({}), ({ key, value }) => {
    const keyHex = Array.from(key, (char) => hex(char.charCodeAt(0))).join('');
    return `${keyHex}=${Array.from(value, hex).join('')}`;
  });
}
