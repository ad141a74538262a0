// One partition's part of a checkpoint: the request and its items.
import { binaryFromText, textFromBinary } from '@statestore/core';
import { WireReader, type WireWriter } from '@statestore/core/wire';
import type { CheckpointItem, CheckpointOrder } from '../node-service.ts';
import { eachField, encodeMessage, enter, repeated } from './message.ts';

export interface CheckpointRequest extends CheckpointOrder {
  readonly partition: number;
  readonly windowBytes: number;
}

type Slots = CheckpointOrder['slots'][number];

const millionths = 1_000_000;

export function encodeCheckpointRequest(request: CheckpointRequest): Uint8Array {
  return encodeMessage((w, { partition, windowBytes, checkpointId, previous = '', ...order }) => {
    if (order.slotsEpoch !== undefined) w.bigUint(10, order.slotsEpoch);
    w.uint(9, order.deadlineMs);
    w.uint(8, order.level);
    w.flag(7, order.full);
    repeated(w, 6, writeSlots, order.slots);
    w.uint(5, order.generation);
    w.binary(4, binaryFromText(previous));
    w.binary(3, binaryFromText(checkpointId));
    w.uint(2, windowBytes);
    w.uint(1, partition);
  }, request);
}

function writeSlots(w: WireWriter, { start, end }: Slots): void {
  w.uint(2, end);
  w.uint(1, start);
}

export function decodeCheckpointRequest(bytes: Uint8Array): CheckpointRequest {
  const r = new WireReader(bytes);
  const numbers = { partition: 0, windowBytes: 0, generation: 0, level: 0, deadlineMs: 0 };
  let [checkpointId, previous, full] = ['', '', false];
  const slots: Slots[] = [];
  let slotsEpoch = 0n;
  eachField(r, (field) => {
    if (field === 1) numbers.partition = r.uint();
    else if (field === 2) numbers.windowBytes = r.uint();
    else if (field === 3) checkpointId = textFromBinary(r.binary());
    else if (field === 4) previous = textFromBinary(r.binary());
    else if (field === 5) numbers.generation = r.uint();
    else if (field === 6) slots.push(enter(r, readSlots));
    else if (field === 7) full = r.uint() !== 0;
    else if (field === 8) numbers.level = r.uint();
    else if (field === 9) numbers.deadlineMs = r.uint();
    else if (field === 10) slotsEpoch = r.bigUint();
    else r.skip();
  });
  const epoch = slotsEpoch === 0n ? {} : { slotsEpoch };
  return { ...numbers, checkpointId, slots, full, ...epoch, ...(previous === '' ? {} : { previous }) };
}

function readSlots(r: WireReader): Slots {
  let [start, end] = [0, 0];
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) start = r.uint();
    else if (field === 2) end = r.uint();
    else r.skip();
  }
  return { start, end };
}

export function encodeCheckpointItem(item: CheckpointItem): Uint8Array {
  return encodeMessage((w, { records, bytes, part, uploadedBytes, reusedBytes, summary }) => {
    if (summary !== undefined) w.bytes(6, summary);
    w.uint(5, reusedBytes);
    w.uint(4, uploadedBytes);
    w.uint(3, Math.round(part * millionths));
    w.uint(2, bytes);
    w.uint(1, records);
  }, item);
}

/** The summary is a view of `bytes`. */
export function decodeCheckpointItem(bytes: Uint8Array): CheckpointItem {
  const r = new WireReader(bytes);
  const item = { records: 0, bytes: 0, part: 0, uploadedBytes: 0, reusedBytes: 0 };
  let summary: Uint8Array | undefined;
  eachField(r, (field) => {
    if (field === 1) item.records = r.uint();
    else if (field === 2) item.bytes = r.uint();
    else if (field === 3) item.part = r.uint() / millionths;
    else if (field === 4) item.uploadedBytes = r.uint();
    else if (field === 5) item.reusedBytes = r.uint();
    else if (field === 6) summary = r.bytes();
    else r.skip();
  });
  return summary === undefined ? item : { ...item, summary };
}
