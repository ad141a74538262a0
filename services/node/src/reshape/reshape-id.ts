// A reshape is named by a UUID in the topology, and by its 16 bytes in logs.
import type { BinaryString } from '@statestore/core';
import { binaryFromBytes } from '@statestore/core';

export function reshapeIdOf(uuid: string): BinaryString {
  return binaryFromBytes(Buffer.from(uuid.replaceAll('-', ''), 'hex'));
}
