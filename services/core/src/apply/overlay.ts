// The writes of one batch in front of what was there before: later commands of the batch see the
// effects of earlier ones, and a transaction that fails half-way is taken back.
import type { BinaryString } from '../binary-string.ts';
import type { OwnRecords } from './own-records.ts';
import type { StateReader } from './state.ts';

export class Overlay {
  readonly #reader: StateReader;
  readonly writes = new Map<BinaryString, Uint8Array | undefined>();
  /** Only then is a key without a value perhaps in `writes`. */
  #hasDeletes = false;
  /** What the keys held that were written since `begin`; `absent`: they were not in `writes`. */
  #undo: Map<BinaryString, Uint8Array | undefined | typeof absent> | undefined;

  constructor(reader: StateReader) {
    this.#reader = reader;
  }

  get(key: BinaryString): Uint8Array | undefined {
    const written = this.writes.get(key);
    if (written !== undefined || (this.#hasDeletes && this.writes.has(key))) return written;
    return this.#reader.get(key);
  }

  put(key: BinaryString, value: Uint8Array): void {
    this.#remember(key);
    this.writes.set(key, value);
  }

  delete(key: BinaryString): void {
    this.#remember(key);
    this.#hasDeletes = true;
    this.writes.set(key, undefined);
  }

  /** The first `limit` keys start ≤ key < end, ascending, as they are now; of those in `own`, where it is given. */
  firstKeys(start: BinaryString, end: BinaryString | undefined, limit: number, own?: OwnRecords): BinaryString[] {
    const found: BinaryString[] = [];
    const written: BinaryString[] = [];
    for (const key of this.writes.keys()) if (key >= start && (end === undefined || key < end)) written.push(key);
    written.sort();
    let next = 0;
    for (const key of this.#reader.keys(end === undefined ? { start } : { start, end })) {
      for (; next < written.length && written[next]! < key; next++) {
        if (this.writes.get(written[next]!) !== undefined) found.push(written[next]!);
      }
      if (found.length >= limit) return found.slice(0, limit);
      if (!this.writes.has(key) && (own === undefined || own.has(key))) found.push(key);
    }
    for (; next < written.length; next++) {
      if (this.writes.get(written[next]!) !== undefined) found.push(written[next]!);
    }
    return found.slice(0, limit);
  }

  /** Starts what `rollback` takes back. Not nested. */
  begin(): void {
    this.#undo = new Map();
  }

  commit(): void {
    this.#undo = undefined;
  }

  rollback(): void {
    for (const [key, before] of this.#undo ?? []) {
      if (before === absent) this.writes.delete(key);
      else this.writes.set(key, before);
    }
    this.#undo = undefined;
  }

  #remember(key: BinaryString): void {
    if (this.#undo === undefined || this.#undo.has(key)) return;
    this.#undo.set(key, this.writes.has(key) ? this.writes.get(key) : absent);
  }
}

const absent = Symbol('absent');
