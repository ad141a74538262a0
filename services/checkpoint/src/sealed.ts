// Small objects that say of themselves whether they are whole: a message of checkpoint.proto, and the SHA-256 of
// its bytes behind it. The first field of each is its format: who does not know it reads no further.
import { createHash } from 'node:crypto';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { limits, StateStoreError } from '@statestore/core';
import { damaged } from './damage.ts';
import type { ObjectName } from './repository.ts';

/** Of everything that is written here. A newer one is refused, an older one stays readable. */
export const checkpointFormat = 1;

export const sha256Bytes = 32;

export function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

export function seal<D extends DescMessage>(schema: D, message: MessageShape<D>): Uint8Array {
  const bytes = toBinary(schema, message);
  return Buffer.concat([bytes, sha256(bytes)]);
}

/** Throws `data_corrupt` where the object `name` is damaged, `data_format` where it is of a newer format. */
export function unseal<D extends DescMessage>(
  schema: D,
  name: ObjectName,
  bytes: Uint8Array,
): MessageShape<D> & { readonly format: number } {
  const { length } = bytes;
  if (length < sha256Bytes) throw damaged(name, `it has ${length} bytes; it must end in a checksum of ${sha256Bytes}`);
  if (length > limits.checkpointManifestBytesMax)
    throw damaged(name, `it has ${length} bytes; it may have ${limits.checkpointManifestBytesMax}`);
  const content = bytes.subarray(0, length - sha256Bytes);
  if (!equalBytes(sha256(content), bytes.subarray(length - sha256Bytes)))
    throw damaged(name, `its ${length} bytes do not have the checksum at their end: it was changed or cut short`);
  const message = decode(schema, name, content);
  const { format } = message;
  if (format > checkpointFormat) {
    throw new StateStoreError(
      'data_format',
      `${name}: it is of format ${format}; this version knows up to ${checkpointFormat}`,
      { hint: 'run a version at least as new as the one that wrote it' },
    );
  }
  if (format === 0) throw damaged(name, `it is no ${schema.name}: it has no format`);
  return message;
}

function decode<D extends DescMessage>(
  schema: D,
  name: ObjectName,
  content: Uint8Array,
): MessageShape<D> & { readonly format: number } {
  try {
    return fromBinary(schema, content) as MessageShape<D> & { readonly format: number };
  } catch (cause) {
    throw damaged(name, `it is no ${schema.name}`, cause);
  }
}
