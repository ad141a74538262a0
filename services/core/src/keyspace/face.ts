// The kinds of records, for those who handle a state as records: checkpoints. Everybody else reads and writes a
// state through apply.
export { hashEntry } from '../apply/context.ts';
export { decodeEntry, entryExpiry, entryKeyPrefix, entryKeyPrefixLength, entryValueOffset } from './entry.ts';
export { expiryKey, parseExpiryKey } from './expiry.ts';
export { decodeHead, encodeHead, type HeadFields, stateFormat, stateFormatOwned } from './head.ts';
export {
  decodeIdempotency,
  idempotencyExpiryEnd,
  idempotencyExpiryKey,
  idempotencyKey,
  parseIdempotencyExpiryKey,
} from './idempotency.ts';
export { uint32At } from './numbers.ts';
export * from './prefix.ts';
export type { Owned } from './owned.ts';
export { decodeRetired, encodeRetired, parseRetiredKey, retiredKey, type RetiredKeyspace } from './retired.ts';
export { decodeStore, encodeStore, newStore, storeKey, type StoreState } from './store.ts';
