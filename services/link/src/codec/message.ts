// One writer for all messages of the link, and its discipline: a message that cannot be written leaves
// nothing behind in it. The messages are those of proto/statestore/v1/node.proto; codec.test.ts holds
// each against protobuf-es.
import { StateStoreError } from '@statestore/core';
import { type WireReader, WireWriter } from '@statestore/core/wire';

const capacity = 64 * 1024;
/** A writer that grew beyond this for one message is not kept. */
const capacityMax = 4 * 1024 * 1024;
let writer = new WireWriter(capacity);

/** The bytes of what `write` writes: last field first, as WireWriter wants it. */
export function encodeMessage<T>(write: (w: WireWriter, value: T) => void, value: T): Uint8Array {
  try {
    write(writer, value);
    const bytes = writer.finishPassing();
    if (bytes.length > capacityMax) writer = new WireWriter(capacity);
    return bytes;
  } catch (error) {
    writer = new WireWriter(capacity);
    throw error;
  }
}

/** Writes a nested message; also where it is empty. */
export function nested<T>(w: WireWriter, field: number, write: (w: WireWriter, value: T) => void, value: T): void {
  const start = w.size;
  write(w, value);
  w.lengthPrefix(field, w.size - start);
}

/** Writes a repeated field. */
export function repeated<T>(
  w: WireWriter,
  field: number,
  write: (w: WireWriter, value: T) => void,
  values: readonly T[],
): void {
  for (let i = values.length - 1; i >= 0; i--) nested(w, field, write, values[i]!);
}

/** Reads a nested message. */
export function enter<T>(r: WireReader, read: (r: WireReader) => T): T {
  const outer = r.enter();
  const value = read(r);
  r.leave(outer);
  return value;
}

/** Calls `onField` with each field's number; it must take or skip the field. */
export function eachField(r: WireReader, onField: (field: number) => void): void {
  for (let field = r.field(); field !== 0; field = r.field()) onField(field);
}

/** An amount as a protobuf uint64; what is beyond exact integers (Infinity: no bound) is the greatest of them. */
export function amount(value: number): number {
  return Math.min(Math.max(value, 0), Number.MAX_SAFE_INTEGER);
}

/** The value at `number` of a list that mirrors an enum. Throws `invalid_body` where there is none. */
export function enumValue<T>(values: readonly (T | undefined)[], number: number, what: string): T {
  const value = values[number];
  if (value === undefined) throw new StateStoreError('invalid_body', `${what} ${number} is not known to this version`);
  return value;
}
