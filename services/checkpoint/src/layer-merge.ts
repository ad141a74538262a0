// Layers laid over each other: of each key, the newest layer that has it decides, and older ones count for nothing
// in the ranges that a newer one replaces. One layer's blocks pass as they are; several are merged record by record.
import type { BinaryString } from '@statestore/core';
import type { KeyRange, LayerRecord, StateRecord } from './records.ts';

export interface LayerSource {
  /** Parts of the layer, ascending by key over all of them. */
  readonly parts: AsyncIterator<readonly LayerRecord[], void>;
  /** What newer layers replace: ascending, apart from each other. */
  readonly replaced: readonly KeyRange[];
}

/** Parts that are handed out when they have so many records. */
const partRecords = 4096;

class LayerCursor {
  record: LayerRecord | undefined;
  readonly #source: LayerSource;
  #part: readonly LayerRecord[] = [];
  #at = 0;
  #range = 0;

  constructor(source: LayerSource) {
    this.#source = source;
  }

  /** To the next record; a promise where the next part has to be waited for. */
  next(): Promise<void> | undefined {
    for (;;) {
      if (this.#at >= this.#part.length) return this.#fetch();
      const record = this.#part[this.#at++]!;
      if (this.#isReplaced(record.key)) continue;
      this.record = record;
      return undefined;
    }
  }

  async #fetch(): Promise<void> {
    const step = await this.#source.parts.next();
    this.record = undefined;
    if (step.done === true) return;
    this.#part = step.value;
    this.#at = 0;
    await this.next();
  }

  #isReplaced(key: BinaryString): boolean {
    const { replaced } = this.#source;
    let range = replaced[this.#range];
    while (range !== undefined && range.end !== '' && key >= range.end) range = replaced[++this.#range];
    return range !== undefined && key >= range.start;
  }
}

/** Ranges that cover what these do, ascending and apart from each other. */
export function unionOf(ranges: readonly KeyRange[]): KeyRange[] {
  const union: { start: BinaryString; end: BinaryString }[] = [];
  for (const { start, end } of ranges.toSorted((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0))) {
    const last = union.at(-1);
    if (last === undefined || (last.end !== '' && start > last.end)) union.push({ start, end });
    else if (last.end !== '' && (end === '' || end > last.end)) last.end = end;
  }
  return union;
}

/** `layers`: the oldest first. A deletion of what no older layer has is passed over. */
export async function* mergeLayers(layers: readonly LayerSource[]): AsyncGenerator<readonly StateRecord[], void> {
  const cursors = layers.map((layer) => new LayerCursor(layer));
  await Promise.all(cursors.map((cursor) => cursor.next()));
  let part: StateRecord[] = [];
  for (;;) {
    let newest: LayerCursor | undefined;
    for (const cursor of cursors) {
      const { record } = cursor;
      if (record !== undefined && (newest === undefined || record.key <= newest.record!.key)) newest = cursor;
    }
    if (newest === undefined) break;
    const { key, value } = newest.record!;
    if (value !== undefined) part.push({ key, value });
    for (const cursor of cursors) {
      if (cursor.record?.key !== key) continue;
      const wait = cursor.next();
      if (wait !== undefined) await wait;
    }
    if (part.length < partRecords) continue;
    yield part;
    part = [];
  }
  if (part.length > 0) yield part;
}
