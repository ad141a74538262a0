// Change records. Key: 0x30, position (8 bytes); value: ChangeRecord of state.proto. Made by each batch
// that changed something, read by watchers, dropped by sweeps, oldest first, when all of them take
// more than their bound.
import type { BinaryString } from '../binary-string.ts';
import type { Change, ChangeRecord } from '../change.ts';
import { changeKinds } from '../change.ts';
import { malformed, WireReader, WireWriter } from '../wire.ts';
import { uint64At, uint64Key } from './numbers.ts';
import { changePrefix } from './prefix.ts';

const writer = new WireWriter(64 * 1024);

export function changeKey(position: bigint): BinaryString {
  return changePrefix + uint64Key(position);
}

export function parseChangeKey(key: BinaryString): bigint {
  return uint64At(key, 1);
}

export function encodeChanges(record: ChangeRecord): Uint8Array {
  const stores = [...new Set(record.changes.map((change) => change.store))];
  writer.reset();
  writer.bigUint(3, record.clockNanos);
  for (let i = record.changes.length - 1; i >= 0; i--) {
    const { kind, revision, store, key } = record.changes[i]!;
    const start = writer.size;
    writer.binary(4, key);
    writer.uint(3, stores.indexOf(store));
    writer.uint(2, changeKinds.indexOf(kind) + 1);
    writer.bigUint(1, revision);
    writer.lengthPrefix(2, writer.size - start);
  }
  for (let i = stores.length - 1; i >= 0; i--) writer.presentBinary(1, stores[i]!);
  return writer.finish();
}

/** Throws `data_corrupt` where the bytes are no change record. */
export function decodeChanges(bytes: Uint8Array): ChangeRecord {
  const r = new WireReader(bytes);
  const stores: string[] = [];
  const changes: Change[] = [];
  let clockNanos = 0n;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) stores.push(r.binary());
    else if (field === 2) {
      const outer = r.enter();
      changes.push(readChange(r, stores));
      r.leave(outer);
    } else if (field === 3) clockNanos = r.bigUint();
    else r.skip();
  }
  return { changes, clockNanos };
}

function readChange(r: WireReader, stores: readonly string[]): Change {
  let revision = 0n;
  let kindNumber = 0;
  let storeIndex = 0;
  let key = '';
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) revision = r.bigUint();
    else if (field === 2) kindNumber = r.uint();
    else if (field === 3) storeIndex = r.uint();
    else if (field === 4) key = r.binary();
    else r.skip();
  }
  const kind = changeKinds[kindNumber - 1];
  const store = stores[storeIndex];
  if (kind === undefined || store === undefined) throw malformed(`change of kind ${kindNumber} in store ${storeIndex}`);
  return { kind, revision, store, key };
}
