// The head. Key: 0x01; value: Head of state.proto. One record, written with every batch: where the
// state stands, what its clock shows, what its hashes are, which slots it owns (owned.ts).
import { StateStoreError } from '../errors.ts';
import type { Head } from '../gen/statestore/v1/state_pb.ts';
import { HeadSchema } from '../gen/statestore/v1/state_pb.ts';
import { WireWriter } from '../wire.ts';
import type { Owned } from './owned.ts';
import { ownedOf, writeOwned } from './owned.ts';
import { decodeRecord } from './record.ts';

/** Layout of the keyspace. Raised when an older version could no longer read it. */
export const stateFormat = 1;
/** Of partitions that were reshaped: not all records there need be the state's own. Others stay readable for versions of before. */
export const stateFormatOwned = 2;

export interface HeadFields extends Omit<Head, '$typeName' | '$unknown' | 'format' | 'owned'> {
  /** Undefined: the partition was never reshaped. */
  readonly owned?: Owned | undefined;
}

const writer = new WireWriter(256);

/** Written with every batch, and so by hand (docs/decisions/0002-wire-by-hand.md). */
export function encodeHead(fields: HeadFields): Uint8Array {
  writer.reset();
  if (fields.owned !== undefined) writeOwned(writer, 13, fields.owned);
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
  writer.uint(1, fields.owned === undefined ? stateFormat : stateFormatOwned);
  return writer.finish();
}

/** Throws `data_format` where the state is of another layout, `data_corrupt` where the bytes are no head. */
export function decodeHead(bytes: Uint8Array): HeadFields {
  const { owned, ...head } = decodeRecord(HeadSchema, bytes);
  if (head.format < stateFormat || head.format > stateFormatOwned) {
    throw new StateStoreError(
      'data_format',
      `the state has layout ${head.format}; this version knows ${stateFormat} to ${stateFormatOwned}`,
      { hint: 'run the version that wrote it, or a newer one' },
    );
  }
  if ((owned === undefined) !== (head.format === stateFormat)) {
    throw new StateStoreError('data_corrupt', `a head of layout ${head.format} with${owned ? '' : 'out'} slots`);
  }
  return owned === undefined ? head : { ...head, owned: ownedOf(owned) };
}
