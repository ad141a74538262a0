// Idempotency records. Key: 0x41, id (16 bytes); value: IdempotencyRecord of state.proto. And their
// index by time: 0x42, expiry (6 bytes), id; value: empty. Made when a command with an
// Idempotency-Key was judged, removed together by the sweep after the window.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { binaryFromBytes, bytesFromBinary } from '../binary-string.ts';
import type { BinaryString } from '../binary-string.ts';
import { decodeCommandResult, encodeCommandResult } from '../codec/result.ts';
import { CommandResultSchema, IdempotencyRecordSchema } from '../gen/statestore/v1/state_pb.ts';
import type { CommandResult } from '../result.ts';
import { timeKey } from './numbers.ts';
import { idempotencyExpiryPrefix, idempotencyPrefix } from './prefix.ts';
import { decodeRecord } from './record.ts';

export interface IdempotencyRecord {
  readonly fingerprint: BinaryString;
  readonly expiresAtMs: number;
  readonly result: CommandResult;
}

export function idempotencyKey(id: BinaryString): BinaryString {
  return idempotencyPrefix + id;
}

export function idempotencyExpiryKey(expiresAtMs: number, id: BinaryString): BinaryString {
  return idempotencyExpiryPrefix + timeKey(expiresAtMs) + id;
}

/** Exclusive end of what has expired at `clockMs`. */
export function idempotencyExpiryEnd(clockMs: number): BinaryString {
  return idempotencyExpiryPrefix + timeKey(clockMs + 1);
}

export function parseIdempotencyExpiryKey(key: BinaryString): BinaryString {
  return key.slice(7);
}

export function encodeIdempotency(record: IdempotencyRecord): Uint8Array {
  return toBinary(
    IdempotencyRecordSchema,
    create(IdempotencyRecordSchema, {
      fingerprint: bytesFromBinary(record.fingerprint),
      expiresAtMs: BigInt(record.expiresAtMs),
      result: fromBinary(CommandResultSchema, encodeCommandResult(record.result)),
    }),
  );
}

/** Throws `data_corrupt` where the bytes are no such record. */
export function decodeIdempotency(bytes: Uint8Array): IdempotencyRecord {
  const record = decodeRecord(IdempotencyRecordSchema, bytes);
  const result = record.result ?? create(CommandResultSchema);
  return {
    fingerprint: binaryFromBytes(record.fingerprint),
    expiresAtMs: Number(record.expiresAtMs),
    result: decodeCommandResult(toBinary(CommandResultSchema, result)),
  };
}
