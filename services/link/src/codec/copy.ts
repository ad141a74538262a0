// A copied state: the request and its parts.
import { WireReader, type WireWriter } from '@statestore/core/wire';
import type { StatePart, StateRecord } from '../node-service.ts';
import { eachField, encodeMessage, enter, repeated } from './message.ts';

export interface CopyRequest {
  readonly partition: number;
  readonly windowBytes: number;
}

const noBytes = new Uint8Array(0);

export function encodeCopyRequest(request: CopyRequest): Uint8Array {
  return encodeMessage((w, { partition, windowBytes }) => {
    w.uint(2, windowBytes);
    w.uint(1, partition);
  }, request);
}

export function decodeCopyRequest(bytes: Uint8Array): CopyRequest {
  const r = new WireReader(bytes);
  let partition = 0;
  let windowBytes = 0;
  eachField(r, (field) => {
    if (field === 1) partition = r.uint();
    else if (field === 2) windowBytes = r.uint();
    else r.skip();
  });
  return { partition, windowBytes };
}

export function encodeStatePart(part: StatePart): Uint8Array {
  return encodeMessage((w, { position, records, total }) => {
    // 0 is told too: a state without records has a last part like any other.
    if (total !== undefined) w.presentUint(3, total);
    repeated(w, 2, writeRecord, records);
    w.bigUint(1, position);
  }, part);
}

function writeRecord(w: WireWriter, { key, value }: StateRecord): void {
  w.bytes(2, value);
  w.binary(1, key);
}

/** Values are views of `bytes`. */
export function decodeStatePart(bytes: Uint8Array): StatePart {
  const r = new WireReader(bytes);
  let position = 0n;
  const records: StateRecord[] = [];
  let total: number | undefined;
  eachField(r, (field) => {
    if (field === 1) position = r.bigUint();
    else if (field === 2) records.push(enter(r, readRecord));
    else if (field === 3) total = r.uint();
    else r.skip();
  });
  return total === undefined ? { position, records } : { position, records, total };
}

function readRecord(r: WireReader): StateRecord {
  let key = '';
  let value = noBytes as Uint8Array;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) key = r.binary();
    else if (field === 2) value = r.bytes();
    else r.skip();
  }
  return { key, value };
}
