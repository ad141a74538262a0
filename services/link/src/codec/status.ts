// NodeStatus.
import { binaryFromText, textFromBinary } from '@statestore/core';
import { WireReader, type WireWriter } from '@statestore/core/wire';
import type { HaltCause, NodeStatus, PartitionState, PartitionStatus } from '../node-service.ts';
import { eachField, encodeMessage, enter, repeated } from './message.ts';

const states: ReadonlySet<string> = new Set<PartitionState>(['starting', 'copying', 'running', 'halted', 'stopped']);
const haltCauses: ReadonlySet<string> = new Set<HaltCause>([
  'engine_failed',
  'log_failed',
  'log_trimmed',
  'log_regressed',
  'log_corrupt',
  'diverged',
]);

export function encodeNodeStatus(status: NodeStatus): Uint8Array {
  return encodeMessage((w, { version, partitions, counts }) => {
    w.uint(5, counts.misses);
    w.uint(4, counts.hits);
    repeated(w, 3, writeCount, Object.entries(counts.operations));
    repeated(w, 2, writePartition, partitions);
    w.binary(1, binaryFromText(version));
  }, status);
}

export function decodeNodeStatus(bytes: Uint8Array): NodeStatus {
  const r = new WireReader(bytes);
  let version = '';
  const partitions: PartitionStatus[] = [];
  const operations: [string, number][] = [];
  let hits = 0;
  let misses = 0;
  eachField(r, (field) => {
    if (field === 1) version = textFromBinary(r.binary());
    else if (field === 2) partitions.push(enter(r, readPartition));
    else if (field === 3) operations.push(enter(r, readCount));
    else if (field === 4) hits = r.uint();
    else if (field === 5) misses = r.uint();
    else r.skip();
  });
  return { version, partitions, counts: { operations: Object.fromEntries(operations), hits, misses } };
}

function writeCount(w: WireWriter, [operation, count]: readonly [string, number]): void {
  w.uint(2, count);
  w.binary(1, binaryFromText(operation));
}

function readCount(r: WireReader): [string, number] {
  let operation = '';
  let count = 0;
  eachField(r, (field) => {
    if (field === 1) operation = textFromBinary(r.binary());
    else if (field === 2) count = r.uint();
    else r.skip();
  });
  return [operation, count];
}

function writePartition(w: WireWriter, status: PartitionStatus): void {
  if (status.haltCause !== undefined) w.binary(20, status.haltCause);
  w.uint(19, status.writeBufferBytes);
  w.uint(18, status.queuedCommands);
  w.uint(17, status.logBytes);
  w.uint(16, status.engineBytes);
  w.uint(15, status.stores);
  w.uint(14, status.expired);
  w.uint(13, status.bytes);
  w.uint(12, status.entries);
  w.binary(11, status.stateHash);
  w.binary(10, status.chain);
  w.uint(9, status.clockMs);
  w.bigUint(8, status.revision);
  w.bigUint(7, status.storedPosition);
  w.bigUint(6, status.appliedPosition);
  w.binary(5, binaryFromText(status.incarnation));
  w.binary(4, binaryFromText(status.engine));
  w.binary(3, binaryFromText(status.reason));
  w.binary(2, status.state);
  w.uint(1, status.partition);
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

function readPartition(r: WireReader): PartitionStatus {
  const status: Writable<PartitionStatus> = {
    partition: 0,
    state: 'stopped',
    reason: '',
    engine: '',
    incarnation: '',
    appliedPosition: 0n,
    storedPosition: 0n,
    revision: 0n,
    clockMs: 0,
    chain: '',
    stateHash: '',
    entries: 0,
    bytes: 0,
    expired: 0,
    stores: 0,
    engineBytes: 0,
    logBytes: 0,
    queuedCommands: 0,
    writeBufferBytes: 0,
  };
  eachField(r, (field) => {
    if (field === 1) status.partition = r.uint();
    else if (field === 2) status.state = stateOf(r.binary());
    else if (field === 3) status.reason = textFromBinary(r.binary());
    else if (field === 4) status.engine = textFromBinary(r.binary());
    else if (field === 5) status.incarnation = textFromBinary(r.binary());
    else if (field === 6) status.appliedPosition = r.bigUint();
    else if (field === 7) status.storedPosition = r.bigUint();
    else if (field === 8) status.revision = r.bigUint();
    else if (field === 9) status.clockMs = r.uint();
    else if (field === 10) status.chain = r.binary();
    else if (field === 11) status.stateHash = r.binary();
    else if (field === 12) status.entries = r.uint();
    else if (field === 13) status.bytes = r.uint();
    else if (field === 14) status.expired = r.uint();
    else if (field === 15) status.stores = r.uint();
    else if (field === 16) status.engineBytes = r.uint();
    else if (field === 17) status.logBytes = r.uint();
    else if (field === 18) status.queuedCommands = r.uint();
    else if (field === 19) status.writeBufferBytes = r.uint();
    else if (field === 20) setHaltCause(status, r.binary());
    else r.skip();
  });
  return status;
}

/** A cause that only a newer version knows is left out: the reason says it in words. */
function setHaltCause(status: Writable<PartitionStatus>, name: string): void {
  if (haltCauses.has(name)) status.haltCause = name as HaltCause;
}

/** A state that only a newer version knows is shown as stopped: nothing can be asked of it. */
function stateOf(name: string): PartitionState {
  return states.has(name) ? (name as PartitionState) : 'stopped';
}
