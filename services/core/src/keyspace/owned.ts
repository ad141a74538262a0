// Which slots a state owns: OwnedSlots of state.proto, a part of the head of partitions that were reshaped; and ranges
// of slots on the wire, wherever they are.
import type { EndedReshape, Fenced, GivenTotal, OwnedRange } from '../apply/state.ts';
import { binaryFromBytes } from '../binary-string.ts';
import type * as message from '../gen/statestore/v1/state_pb.ts';
import type { WireReader, WireWriter } from '../wire.ts';

export interface Owned {
  readonly slots: readonly OwnedRange[];
  readonly slotsEpoch: bigint;
  readonly fenced: Fenced | undefined;
  readonly ended: EndedReshape | undefined;
}

/** A repeated field, as of WireWriter: before those with smaller numbers. */
export function writeRanges(w: WireWriter, field: number, slots: readonly OwnedRange[]): void {
  for (let i = slots.length - 1; i >= 0; i--) {
    const from = w.size;
    w.uint(2, slots[i]!.end);
    w.uint(1, slots[i]!.start);
    w.lengthPrefix(field, w.size - from);
  }
}

/** One element of it. */
export function readRange(r: WireReader): OwnedRange {
  const outer = r.enter();
  let start = 0;
  let end = 0;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) start = r.uint();
    else if (field === 2) end = r.uint();
    else r.skip();
  }
  r.leave(outer);
  return { start, end };
}

export function writeOwned(w: WireWriter, field: number, { slots, slotsEpoch, fenced, ended }: Owned): void {
  const from = w.size;
  if (ended !== undefined) writeEnded(w, 4, ended);
  if (fenced !== undefined) writeFenced(w, 3, fenced);
  w.bigUint(2, slotsEpoch);
  writeRanges(w, 1, slots);
  w.lengthPrefix(field, w.size - from);
}

function writeEnded(w: WireWriter, field: number, ended: EndedReshape): void {
  const from = w.size;
  if (ended.given !== undefined) writeGiven(w, 5, ended.given);
  if (ended.fenced !== undefined) writeFenced(w, 4, ended.fenced);
  w.bigUint(3, ended.slotsEpoch);
  w.bigUint(2, ended.position);
  w.binary(1, ended.reshape);
  w.lengthPrefix(field, w.size - from);
}

function writeGiven(w: WireWriter, field: number, { entries, bytes, hash }: GivenTotal): void {
  const from = w.size;
  w.binary(3, hash);
  w.uint(2, bytes);
  w.uint(1, entries);
  w.lengthPrefix(field, w.size - from);
}

function writeFenced(w: WireWriter, field: number, fenced: Fenced): void {
  const from = w.size;
  w.uint(7, fenced.nextOrdinal);
  w.bytes(6, fenced.chain);
  w.bigUint(5, fenced.clockNanos);
  w.bigUint(4, fenced.revision);
  w.bigUint(3, fenced.position);
  writeRanges(w, 2, fenced.slots);
  w.binary(1, fenced.reshape);
  w.lengthPrefix(field, w.size - from);
}

export function ownedOf({ slots, slotsEpoch, fenced, ended }: message.OwnedSlots): Owned {
  return {
    slots: slots.map(rangeOf),
    slotsEpoch,
    fenced: fenced === undefined ? undefined : fencedOf(fenced),
    ended: ended === undefined ? undefined : endedOf(ended),
  };
}

function rangeOf({ start, end }: message.StateSlotRange): OwnedRange {
  return { start, end };
}

function fencedOf({ reshape, slots, position, revision, clockNanos, chain, nextOrdinal }: message.Fenced): Fenced {
  return {
    reshape: binaryFromBytes(reshape),
    slots: slots.map(rangeOf),
    position,
    revision,
    clockNanos,
    chain,
    nextOrdinal,
  };
}

function endedOf({ reshape, position, slotsEpoch, fenced, given }: message.EndedReshape): EndedReshape {
  return {
    reshape: binaryFromBytes(reshape),
    position,
    slotsEpoch,
    ...(fenced !== undefined && { fenced: fencedOf(fenced) }),
    ...(given !== undefined && { given: givenOf(given) }),
  };
}

function givenOf({ entries, bytes, hash }: message.GivenTotal): GivenTotal {
  return { entries: Number(entries), bytes: Number(bytes), hash: binaryFromBytes(hash) };
}
