// One ordered listing over all partitions of a store: a k-way merge whose inputs are refilled as they run
// dry, each by about its share of what is still wanted. Every partition is read as it is at its refill;
// there is no snapshot over partitions. All of them are read by one layout of the slots, so that each slot is read
// once; where it changes on the way, what was not given yet is read anew by the next one.
import { limits, type BinaryString } from '@statestore/core';
import type { KeyedEntry, Scan } from '@statestore/link';
import type { ClientSession } from './client-session.ts';
import { isMoved, type Moves } from './moves.ts';
import type { Layout, Routing } from './routing.ts';

export interface MergeRange {
  readonly store: string;
  /** Keys start ≤ key < end; undefined: open. */
  readonly start?: BinaryString;
  readonly end?: BinaryString;
  readonly reverse: boolean;
  readonly values: boolean;
}

interface Source {
  readonly partition: number;
  entries: readonly KeyedEntry[];
  at: number;
  more: boolean;
}

/** Entries beyond its share that a source is asked for: shares are never quite even. */
const spareEntries = 16;

/** What is read of: a part of the context. */
interface Reading {
  readonly routing: Routing;
  readonly moves: Moves;
}

export class MergeScan {
  readonly #context: Reading;
  readonly #session: ClientSession;
  /** What is left of the listing. */
  #range: MergeRange;
  #layout: Layout;
  #sources: Source[];
  /** The last one given. */
  #last: BinaryString | undefined;

  constructor(context: Reading, range: MergeRange, session: ClientSession) {
    this.#context = context;
    this.#range = range;
    this.#session = session;
    this.#layout = context.routing.layout;
    this.#sources = sourcesOf(this.#layout);
  }

  /**
   * Gives the next entries to `take`, in order, until it answers false (that entry counts as taken), `limit`
   * were taken, or there are no more. Resolves with whether more may follow.
   */
  async run(limit: number, take: (entry: KeyedEntry) => boolean): Promise<boolean> {
    let left = limit;
    await this.#fill(left);
    while (left > 0) {
      const source = this.#first();
      if (source === undefined) return false;
      const entry = source.entries[source.at++]!;
      left--;
      this.#last = entry.key;
      const goOn = take(entry);
      if (isDry(source) && left > 0 && goOn) await this.#fill(left);
      if (!goOn) break;
    }
    return this.#sources.some((source) => source.at < source.entries.length || source.more);
  }

  /** Until each source has an entry to show, or nothing left. */
  async #fill(wanted: number): Promise<void> {
    try {
      await this.#refillDry(wanted);
    } catch (error) {
      await this.#beginAnew(wanted, error);
    }
  }

  async #refillDry(wanted: number): Promise<void> {
    await Promise.all(this.#sources.map((source) => (isDry(source) ? this.#refill(source, wanted) : undefined)));
  }

  /** By a newer layout, from behind the last entry that was given. */
  async #beginAnew(wanted: number, error: unknown): Promise<void> {
    if (!isMoved(error)) throw error;
    const { moves } = this.#context;
    const patience = moves.begin();
    await patience.after(this.#layout.epoch, error);
    await moves.through((layout) => {
      this.#range = { ...this.#range, ...afterKey(this.#range, this.#last) };
      this.#layout = layout;
      this.#sources = sourcesOf(layout);
      return this.#refillDry(wanted);
    }, patience);
  }

  #first(): Source | undefined {
    let first: Source | undefined;
    let firstKey = '';
    for (const source of this.#sources) {
      const entry = source.entries[source.at];
      if (entry === undefined) continue;
      const { key } = entry;
      if (first === undefined || (this.#range.reverse ? key > firstKey : key < firstKey)) {
        first = source;
        firstKey = key;
      }
    }
    return first;
  }

  async #refill(source: Source, wanted: number): Promise<void> {
    const { store, reverse, values } = this.#range;
    const count = this.#sources.length;
    const limit = count === 1 ? wanted : Math.min(wanted, Math.ceil(wanted / count) + spareEntries);
    const bounds = afterKey(this.#range, source.entries.at(-1)?.key);
    const scan: Scan = { store, reverse, values, limit, bytesMax: limits.listRefillBytes, ...bounds };
    const { partition } = source;
    const options = this.#session.reading(partition, this.#layout.slotsEpochOf(partition));
    const page = await this.#context.routing.nodeOf(partition).scan(partition, scan, options);
    this.#session.saw(partition, page);
    source.entries = page.entries;
    source.at = 0;
    // Whoever has more shows some of it, or a merge would never end.
    source.more = page.more && page.entries.length > 0;
  }
}

function sourcesOf({ partitions }: Layout): Source[] {
  return partitions.map((partition) => ({ partition, entries: [], at: 0, more: true }));
}

function isDry(source: Source): boolean {
  return source.more && source.at === source.entries.length;
}

/** The range from behind `last` on, in its direction. */
export function afterKey(
  range: MergeRange,
  last: BinaryString | undefined,
): { start?: BinaryString; end?: BinaryString } {
  const start = last === undefined || range.reverse ? range.start : `${last}\0`;
  const end = last === undefined || !range.reverse ? range.end : last;
  return { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) };
}
