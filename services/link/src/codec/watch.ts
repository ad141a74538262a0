// Watches: the request and its items.
import { type BinaryString, binaryFromText, changeKinds, textFromBinary } from '@statestore/core';
import { WireReader, type WireWriter } from '@statestore/core/wire';
import type { Change, ChangeBatch } from '../node-service.ts';
import { eachField, encodeMessage, enter, enumValue } from './message.ts';

export interface WatchRequest {
  readonly partition: number;
  readonly store: string;
  readonly prefix: BinaryString;
  readonly from: bigint | undefined;
  readonly generation?: number | undefined;
  readonly windowBytes: number;
}

export function encodeWatchRequest(request: WatchRequest): Uint8Array {
  return encodeMessage((w, { partition, store, prefix, from, generation = 0, windowBytes }) => {
    w.uint(6, generation);
    w.uint(5, windowBytes);
    // bigUint leaves 0 out, and position 0 is not "from now on".
    if (from === 0n) w.presentUint(4, 0);
    else if (from !== undefined) w.bigUint(4, from);
    w.binary(3, prefix);
    w.binary(2, binaryFromText(store));
    w.uint(1, partition);
  }, request);
}

export function decodeWatchRequest(bytes: Uint8Array): WatchRequest {
  const r = new WireReader(bytes);
  let partition = 0;
  let store = '';
  let prefix = '';
  let from: bigint | undefined;
  let windowBytes = 0;
  let generation: number | undefined;
  eachField(r, (field) => {
    if (field === 1) partition = r.uint();
    else if (field === 2) store = textFromBinary(r.binary());
    else if (field === 3) prefix = r.binary();
    else if (field === 4) from = r.bigUint();
    else if (field === 5) windowBytes = r.uint();
    else if (field === 6) generation = r.uint();
    else r.skip();
  });
  return { partition, store, prefix, from, generation, windowBytes };
}

export function encodeWatchItem(item: ChangeBatch): Uint8Array {
  return encodeMessage(writeItem, item);
}

function writeItem(w: WireWriter, { position, generation = 0, timeMs, changes, slotsEpoch }: ChangeBatch): void {
  if (slotsEpoch !== undefined) w.bigUint(6, slotsEpoch);
  w.uint(5, generation);
  const stores: string[] = [];
  const indexes = changes.map(({ store }) => {
    const index = stores.indexOf(store);
    return index === -1 ? stores.push(store) - 1 : index;
  });
  for (let i = changes.length - 1; i >= 0; i--) {
    const { kind, revision, key } = changes[i]!;
    const start = w.size;
    w.binary(4, key);
    w.uint(3, indexes[i]!);
    w.uint(2, changeKinds.indexOf(kind) + 1);
    w.bigUint(1, revision);
    w.lengthPrefix(4, w.size - start);
  }
  for (let i = stores.length - 1; i >= 0; i--) w.presentBinary(3, binaryFromText(stores[i]!));
  w.uint(2, timeMs);
  w.bigUint(1, position);
}

export function decodeWatchItem(bytes: Uint8Array): ChangeBatch {
  const r = new WireReader(bytes);
  let position = 0n;
  let timeMs = 0;
  let generation: number | undefined;
  let slotsEpoch: bigint | undefined;
  const stores: string[] = [];
  const changes: Change[] = [];
  eachField(r, (field) => {
    if (field === 1) position = r.bigUint();
    else if (field === 2) timeMs = r.uint();
    else if (field === 3) stores.push(textFromBinary(r.binary()));
    else if (field === 4) changes.push(enter(r, () => readChange(r, stores)));
    else if (field === 5) generation = r.uint();
    else if (field === 6) slotsEpoch = r.bigUint();
    else r.skip();
  });
  const item = { position, generation, timeMs, changes };
  return slotsEpoch === undefined ? item : { ...item, slotsEpoch };
}

function readChange(r: WireReader, stores: readonly string[]): Change {
  let revision = 0n;
  let kind = 0;
  let store = 0;
  let key = '';
  eachField(r, (field) => {
    if (field === 1) revision = r.bigUint();
    else if (field === 2) kind = r.uint();
    else if (field === 3) store = r.uint();
    else if (field === 4) key = r.binary();
    else r.skip();
  });
  return {
    kind: enumValue(changeKinds, kind - 1, 'change kind'),
    revision,
    store: enumValue(stores, store, 'store'),
    key,
  };
}
