// The head. Key: 0x01; value: Head of state.proto. One record, written with every batch: where the
// state stands, what its clock shows, what its hashes are.
import { StateStoreError } from '../errors.ts';
import type { Head } from '../gen/statestore/v1/state_pb.ts';
import { HeadSchema } from '../gen/statestore/v1/state_pb.ts';
import { WireWriter } from '../wire.ts';
import { decodeRecord } from './record.ts';

/** Layout of the keyspace. Raised when an older version could no longer read it. */
export const stateFormat = 1;

export type HeadFields = Omit<Head, '$typeName' | '$unknown' | 'format'>;

const writer = new WireWriter(256);

/** Written with every batch, and so by hand (docs/decisions/0002-wire-by-hand.md). */
export function encodeHead(fields: HeadFields): Uint8Array {
  writer.reset();
  writer.bigUint(12, fields.changesBytes);
  writer.bigUint(11, fields.changesFrom);
  writer.bigUint(10, fields.expired);
  writer.bigUint(9, fields.bytes);
  writer.bigUint(8, fields.entries);
  writer.uint(7, fields.nextOrdinal);
  writer.bytes(6, fields.stateHash);
  writer.bytes(5, fields.chain);
  writer.bigUint(4, fields.revision);
  writer.bigUint(3, fields.clockNanos);
  writer.bigUint(2, fields.position);
  writer.uint(1, stateFormat);
  return writer.finish();
}

/** Throws `data_format` where the state is of another layout, `data_corrupt` where the bytes are no head. */
export function decodeHead(bytes: Uint8Array): Head {
  const head = decodeRecord(HeadSchema, bytes);
  if (head.format !== stateFormat) {
    throw new StateStoreError('data_format', `the state has layout ${head.format}; this version knows ${stateFormat}`, {
      hint: 'run the version that wrote it, or a newer one',
    });
  }
  return head;
}
