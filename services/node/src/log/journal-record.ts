// A record of the shared journal: whose it is, and where in its owner's log. Little-endian:
//
//   0  uint16  partition
//   2  uint16  kind: 0 a record of the partition; 1 where every partition stands
//   4  uint64  kind 0: its position in the partition's log; kind 1: 0
//  12  …       kind 0: the record; kind 1: a uint64 for each partition, its last position
import { StateStoreError } from '@statestore/core';

export const journalHeaderBytes = 12;

export const journalKinds = { record: 0, positions: 1 } as const;

export interface JournalRecord {
  readonly partition: number;
  /** 0n in a positions record. */
  readonly position: bigint;
  /** Of a positions record: the last position of each partition; empty otherwise. */
  readonly lasts: readonly bigint[];
  readonly payload: Uint8Array;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The position is filled in by stampRecord. */
export function encodeJournalRecord(partition: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(journalHeaderBytes + payload.length);
  bytes[0] = partition;
  bytes[1] = partition >>> 8;
  bytes.set(payload, journalHeaderBytes);
  return bytes;
}

/** The positions are filled in by stampRecord. */
export function encodePositionsRecord(partitions: number): Uint8Array {
  const bytes = new Uint8Array(journalHeaderBytes + 8 * partitions);
  viewOf(bytes).setUint16(2, journalKinds.positions, true);
  return bytes;
}

/** Gives a record its position when it is about to be written, so that a refused one leaves no gap. */
export function stampRecord(bytes: Uint8Array, lasts: bigint[]): void {
  const view = viewOf(bytes);
  if (view.getUint16(2, true) === journalKinds.positions) {
    for (let i = 0; i < lasts.length; i++) view.setBigUint64(journalHeaderBytes + 8 * i, lasts[i]!, true);
    return;
  }
  const partition = view.getUint16(0, true);
  const position = lasts[partition]! + 1n;
  lasts[partition] = position;
  view.setBigUint64(4, position, true);
}

export function recordPosition(bytes: Uint8Array): bigint {
  return viewOf(bytes).getBigUint64(4, true);
}

/** Partition of a record; -1 where it is no partition's. */
export function recordPartition(bytes: Uint8Array): number {
  return bytes[2] === journalKinds.record ? bytes[0]! | (bytes[1]! << 8) : -1;
}

/** Throws `data_corrupt` where it is none. */
export function decodeJournalRecord(bytes: Uint8Array, partitions: number): JournalRecord {
  if (bytes.length < journalHeaderBytes) throw damaged(`it has ${bytes.length} bytes`);
  const view = viewOf(bytes);
  const partition = view.getUint16(0, true);
  const kind = view.getUint16(2, true);
  const payload = bytes.subarray(journalHeaderBytes);
  if (kind === journalKinds.record) {
    if (partition >= partitions) throw damaged(`it is of partition ${partition}, and there are ${partitions}`);
    return { partition, position: view.getBigUint64(4, true), lasts: [], payload };
  }
  if (kind !== journalKinds.positions || payload.length !== 8 * partitions) {
    throw damaged(`it is of kind ${kind} with ${payload.length} bytes, and there are ${partitions} partitions`);
  }
  const lasts = Array.from({ length: partitions }, (_, i) => view.getBigUint64(journalHeaderBytes + 8 * i, true));
  return { partition: -1, position: 0n, lasts, payload };
}

function damaged(why: string): StateStoreError {
  return new StateStoreError('data_corrupt', `a record of the journal cannot be read: ${why}`);
}
