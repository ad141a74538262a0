// Records that are read rarely are read by protobuf-es; whatever it throws over damaged bytes becomes
// the one error that stops a partition.
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { fromBinary } from '@bufbuild/protobuf';
import { StateStoreError } from '../errors.ts';
import type { Hash128 } from '../hash.ts';
import { hashFromBytes } from '../hash.ts';

/** Throws `data_corrupt` where the bytes are no such record. */
export function decodeRecord<D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new StateStoreError('data_corrupt', `a record of ${bytes.length} bytes is no ${schema.name}`, { cause });
  }
}

/** Throws `data_corrupt` where there are not 16 bytes. */
export function decodeHash(bytes: Uint8Array, what: string): Hash128 {
  if (bytes.length !== 16) throw new StateStoreError('data_corrupt', `${what} has ${bytes.length} bytes instead of 16`);
  return hashFromBytes(bytes);
}
