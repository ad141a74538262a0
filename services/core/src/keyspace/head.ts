// The head. Key: 0x01; value: Head of state.proto. One record, written with every batch: where the
// state stands, what its clock shows, what its hashes are.
import { create, toBinary } from '@bufbuild/protobuf';
import { StateStoreError } from '../errors.ts';
import type { Head } from '../gen/statestore/v1/state_pb.ts';
import { HeadSchema } from '../gen/statestore/v1/state_pb.ts';
import { decodeRecord } from './record.ts';

/** Layout of the keyspace. Raised when an older version could no longer read it. */
export const stateFormat = 1;

export type HeadFields = Omit<Head, '$typeName' | '$unknown' | 'format'>;

export function encodeHead(fields: HeadFields): Uint8Array {
  return toBinary(HeadSchema, create(HeadSchema, { format: stateFormat, ...fields }));
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
