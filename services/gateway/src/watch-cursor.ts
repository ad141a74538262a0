// Where a watcher is: for each partition the next position, and how many of that position's changes it
// has seen already, so that a batch that was cut in two is neither repeated nor lost.
import { StateStoreError } from '@statestore/core';
import type { CursorSigner } from './cursor.ts';

export interface WatchPlace {
  /** The first position wanted. */
  readonly position: bigint;
  /** Of the log that the position is of; undefined: its first one. */
  readonly generation?: number | undefined;
  /** Of that position's changes (of this store and prefix), those seen already. */
  readonly seen: number;
}

export type WatchPlaces = ReadonlyMap<number, WatchPlace>;

/**
 * Layout: count of places, then partition, position, seen of each, all as LEB128; then the generation of each, where
 * any of them is not 1; then, where slots were moved between partitions, the epoch of the topology that the places are
 * of (after the generations, whatever they are).
 */
export function encodePlaces(places: WatchPlaces, epoch = 0n): Buffer {
  const bytes: number[] = [];
  pushVarint(bytes, BigInt(places.size));
  for (const [partition, { position, seen }] of places) {
    pushVarint(bytes, BigInt(partition));
    pushVarint(bytes, position);
    pushVarint(bytes, BigInt(seen));
  }
  const generations = [...places.values()].map(({ generation = 1 }) => generation);
  if (epoch !== 0n || generations.some((generation) => generation !== 1)) {
    for (const generation of generations) pushVarint(bytes, BigInt(generation));
  }
  if (epoch !== 0n) pushVarint(bytes, epoch);
  return Buffer.from(bytes);
}

function pushVarint(bytes: number[], value: bigint): void {
  let rest = value;
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
}

export interface DecodedPlaces {
  readonly places: Map<number, WatchPlace>;
  /** Of the topology that they are of; 0n: no slot had moved in it. */
  readonly epoch: bigint;
}

/** Throws `invalid_cursor`. */
export function decodePlaces(bytes: Uint8Array): DecodedPlaces {
  let at = 0;
  const next = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new StateStoreError('invalid_cursor', 'the cursor cannot be read');
  };
  const places = new Map<number, WatchPlace>();
  for (let left = Number(next()); left > 0; left--) {
    const partition = Number(next());
    places.set(partition, { position: next(), seen: Number(next()) });
  }
  if (at === bytes.length) return { places, epoch: 0n };
  for (const [partition, place] of places) places.set(partition, { ...place, generation: Number(next()) });
  return { places, epoch: at === bytes.length ? 0n : next() };
}

/* oxlint-disable-next-line max-params -- what a cursor is made of */
export function signPlaces(
  cursors: CursorSigner,
  scope: readonly string[],
  places: WatchPlaces,
  epoch: bigint,
): string {
  return cursors.sign(scope, encodePlaces(places, epoch));
}
