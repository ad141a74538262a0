// First bytes of the keys in a partition's engine: which kind of record it is. Persisted, so stable;
// a number that was given up is never used again. Byte 0x00 belongs to the engine itself.
import type { BinaryString } from '../binary-string.ts';

/** One record: where the state stands. keyspace/head.ts */
export const headKey: BinaryString = '\x01';
/** Store name → its record. keyspace/store.ts */
export const storePrefix: BinaryString = '\x02';
/** Ordinal of a cleared store whose entries are still to be removed. keyspace/retired.ts */
export const retiredPrefix: BinaryString = '\x03';
/** One record: UUID of the log that the state was made from. Written by the node, not by apply. */
export const incarnationKey: BinaryString = '\x04';
/** One record: when the log stored the batch that was applied last. Written by the node, not by apply. */
export const lastRecordKey: BinaryString = '\x05';
/** Position modulo limits.chainNotesMax (2 bytes) → position, and the chain there. Written by the node, not by apply. */
export const chainNotePrefix: BinaryString = '\x06';
/** Ordinal, key → entry. keyspace/entry.ts */
export const entryPrefix: BinaryString = '\x10';
/** Expiry, ordinal, key: the entries that expire, by time. keyspace/expiry.ts */
export const expiryPrefix: BinaryString = '\x20';
/** Position → what it changed. keyspace/change.ts */
export const changePrefix: BinaryString = '\x30';
/** Session → what it was answered. keyspace/session.ts */
export const sessionPrefix: BinaryString = '\x40';
/** Idempotency id → result. keyspace/idempotency.ts */
export const idempotencyPrefix: BinaryString = '\x41';
/** Expiry, idempotency id: by time. keyspace/idempotency.ts */
export const idempotencyExpiryPrefix: BinaryString = '\x42';
