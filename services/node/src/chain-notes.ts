// The chain at each of the last positions of a state, kept beside it in records of the node's own that no hash
// counts. A copy carries them along. So whoever is replaced by a copy, or recovered from, can be shown to be an earlier
// part of the same history, also by a process that was not there when it was made.
import type { BinaryString, PartitionState } from '@statestore/core';
import { chainNotePrefix, hashFromBytes, hashToBytes, hashToHex, limits, prefixEnd } from '@statestore/core';
import type { EngineReader } from './engine/engine.ts';

/** Position, 8 bytes, and chain, 16. */
const length = 24;

/** As an engine has it at a position: 32 hexadecimal digits; undefined where it has none of that position. */
export type ChainAt = (position: bigint) => string | undefined;

/** To be written with the effects of the batch that the state was brought up to. */
export function noteOfChain({
  position,
  chain,
}: Pick<PartitionState, 'position' | 'chain'>): ReadonlyMap<BinaryString, Uint8Array> {
  const bytes = Buffer.allocUnsafe(length);
  bytes.writeBigInt64BE(position, 0);
  bytes.set(hashToBytes(chain), 8);
  return new Map([[keyOf(position), bytes]]);
}

export function notedChain(reader: Pick<EngineReader, 'get'>, position: bigint): string | undefined {
  const bytes = position < 0n ? undefined : reader.get(keyOf(position));
  const note = bytes === undefined ? undefined : parse(bytes);
  return note?.position === position ? note.chain : undefined;
}

/** All of them, for when the engine is closed. */
export function notedChains(reader: Pick<EngineReader, 'range'>): ChainAt {
  const chains = new Map<bigint, string>();
  for (const { value } of reader.range({ start: chainNotePrefix, end: prefixEnd(chainNotePrefix)! })) {
    const note = parse(value);
    if (note !== undefined) chains.set(note.position, note.chain);
  }
  return (position) => chains.get(position);
}

function keyOf(position: bigint): BinaryString {
  const place = Number(position % BigInt(limits.chainNotesMax));
  return chainNotePrefix + String.fromCharCode(place >>> 8, place & 0xff);
}

function parse(bytes: Uint8Array): { readonly position: bigint; readonly chain: string } | undefined {
  if (bytes.length !== length) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return { position: view.readBigInt64BE(0), chain: hashToHex(hashFromBytes(view.subarray(8))) };
}
