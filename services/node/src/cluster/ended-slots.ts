// Finds the batches of a log by which slots change hands, before they are applied: what is theirs must be in the engine
// by then. Looks at the fields' numbers alone, since every batch passes here.
import type { Absorb, HandOver } from '@statestore/core';
import { decodeBatch } from '@statestore/core';

/** Fields of proto/statestore/v1/log.proto. */
const commandsField = 6;
const handOverField = 18;
const absorbField = 21;

/** Undefined: no such command is in the batch, which is nearly always so. A batch that cannot be read has none: who applies it says so. */
export function slotsChange(batch: Uint8Array): HandOver | Absorb | undefined {
  if (!mayChange(batch)) return undefined;
  for (const { body } of decodeBatch(batch).commands) {
    if (body.kind === 'handOver' || body.kind === 'absorb') return body;
  }
  return undefined;
}

function mayChange(batch: Uint8Array): boolean {
  let found = false;
  walk(batch, 0, batch.length, (field, start, end) => {
    if (field !== commandsField) return;
    walk(batch, start, end, (inner) => {
      found ||= inner === handOverField || inner === absorbField;
    });
  });
  return found;
}

/** Tells of each field that has a length; stops where the bytes are no message. */
/* oxlint-disable-next-line max-params -- where, and whom to tell */
function walk(
  bytes: Uint8Array,
  start: number,
  end: number,
  field: (number: number, start: number, end: number) => void,
): void {
  let at = start;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; at < end; shift += 7) {
      const byte = bytes[at++]!;
      if (shift < 28) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return value;
  };
  while (at < end) {
    const tag = varint();
    switch (tag & 7) {
      case 0:
        varint();
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint();
        if (length < 0 || at + length > end) return;
        field(tag >>> 3, at, at + length);
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        return;
    }
  }
}
