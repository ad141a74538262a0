// When the log stored the record that a state was brought up to last. Kept beside the state, in a record of the
// node's own that no hash counts: it tells, later or in another process, whether a log that is long enough still
// has that record, or lost it and grew again.
import type { BinaryString } from '@statestore/core';
import { lastRecordKey } from '@statestore/core';
import type { LogRecord } from './log/log.ts';

/** Position and time, 8 bytes each. */
const length = 16;

/** To be written with the effects of the record. */
export function noteOfRecord({ position, timestampNanos }: LogRecord): ReadonlyMap<BinaryString, Uint8Array> {
  const bytes = Buffer.allocUnsafe(length);
  bytes.writeBigInt64BE(position, 0);
  bytes.writeBigInt64BE(timestampNanos, 8);
  return new Map([[lastRecordKey, bytes]]);
}

/** Nanoseconds since 1970. Undefined where nothing was noted of this position. */
export function lastRecordNanos(
  reader: { get(key: BinaryString): Uint8Array | undefined },
  position: bigint,
): bigint | undefined {
  const bytes = reader.get(lastRecordKey);
  if (bytes?.length !== length) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return view.readBigInt64BE(0) === position ? view.readBigInt64BE(8) : undefined;
}
