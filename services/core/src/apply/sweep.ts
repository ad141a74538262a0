// Physical removal of what no reader can see any more: expired entries, the entries of cleared stores, old
// change records; and the forgetting of idempotency records and sessions, which nothing else forgets. By
// command, so that replicas stay equal; bounded, so that a partition is not held for long.
import type { BinaryString } from '../binary-string.ts';
import { prefixEnd } from '../binary-string.ts';
import type { Sweep } from '../command.ts';
import { entryExpiry, entryKeyPrefix, entryKeyPrefixLength } from '../keyspace/entry.ts';
import { expiryEnd, expiryKey, parseExpiryKey } from '../keyspace/expiry.ts';
import { idempotencyExpiryEnd, idempotencyKey, parseIdempotencyExpiryKey } from '../keyspace/idempotency.ts';
import { changePrefix, expiryPrefix, idempotencyExpiryPrefix, retiredPrefix } from '../keyspace/prefix.ts';
import { parseChangeKey } from '../keyspace/change.ts';
import { parseRetiredKey } from '../keyspace/retired.ts';
import { sessionKey } from '../keyspace/session.ts';
import { deduplicationWindowMs } from '../limits.ts';
import type { CommandResult } from '../result.ts';
import { commandResult } from '../result.ts';
import type { BatchContext } from './context.ts';
import { OwnRecords } from './own-records.ts';
import type { PartitionState, StateReader } from './state.ts';

export function sweep(context: BatchContext, command: Sweep): CommandResult {
  let left = command.limit;
  const own = OwnRecords.of(context.state, context.overlay);
  const expired = sweepExpired(context, command.countStore, left, own);
  left -= expired.removed;
  const forgottenMs = forgottenUntilMs(context.state, command.forgetBeforeMs, context.clockMs);
  left -= sweepIdempotency(context, forgottenMs, left);
  left -= sweepSessions(context, forgottenMs, left);
  left -= sweepRetired(context, left, own);
  left -= sweepChanges(context, command.changesKeptBytes, left);
  return commandResult('done', { count: expired.counted, removed: command.limit - left, more: left <= 0 });
}

/* oxlint-disable-next-line max-params -- what is due, where, how much of it, and whose */
function sweepExpired(
  context: BatchContext,
  countStore: string,
  limit: number,
  own: OwnRecords | undefined,
): { removed: number; counted: number } {
  const { overlay, state } = context;
  let counted = 0;
  const due = overlay.firstKeys(expiryPrefix, expiryEnd(context.clockMs), limit, own);
  for (const indexKey of due) {
    const { ordinal, key } = parseExpiryKey(indexKey);
    const store = state.storesByOrdinal.get(ordinal);
    const before = store === undefined ? undefined : context.entryBytes(store, key);
    if (store === undefined || before === undefined) {
      // Of a cleared store: the entry goes with its keyspace.
      overlay.delete(indexKey);
      continue;
    }
    context.removeEntry(store, key, before, 'expire');
    if (countStore === '' || countStore === store.name) counted++;
  }
  return { removed: due.length, counted };
}

/** Forgotten is what was remembered for a window that ended at this time or before, on the state's clock. */
function forgottenUntilMs(state: PartitionState, forgetBeforeMs: number | undefined, clockMs: number): number {
  if (forgetBeforeMs === undefined) return clockMs;
  // Never what is remembered now, whoever asks for it: the clock may stand still for long.
  const beforeMs = Math.min(forgetBeforeMs, Number(state.clockNanos / 1_000_000n));
  return beforeMs + deduplicationWindowMs - 1;
}

function sweepIdempotency(context: BatchContext, forgottenMs: number, limit: number): number {
  const due = context.overlay.firstKeys(idempotencyExpiryPrefix, idempotencyExpiryEnd(forgottenMs), limit);
  for (const indexKey of due) {
    context.overlay.delete(indexKey);
    context.overlay.delete(idempotencyKey(parseIdempotencyExpiryKey(indexKey)));
  }
  return due.length;
}

function sweepSessions(context: BatchContext, forgottenMs: number, limit: number): number {
  const { sessions } = context.state;
  const idle = idleSessions(context.state, forgottenMs).toSorted().slice(0, limit);
  for (const id of idle) {
    sessions.delete(id);
    context.dirtySessions.delete(id);
    context.overlay.delete(sessionKey(id));
  }
  return idle.length;
}

function idleSessions(state: PartitionState, forgottenMs: number): BinaryString[] {
  const idle: BinaryString[] = [];
  for (const [id, { lastUsedMs }] of state.sessions)
    if (lastUsedMs + deduplicationWindowMs <= forgottenMs) idle.push(id);
  return idle;
}

function sweepRetired(context: BatchContext, limit: number, own: OwnRecords | undefined): number {
  const { overlay } = context;
  let removed = 0;
  // Looked for once: behind each of them the search would pass again over all that were removed and not yet flushed.
  for (const retired of overlay.firstKeys(retiredPrefix, prefixEnd(retiredPrefix), limit)) {
    if (removed >= limit) break;
    const ordinal = parseRetiredKey(retired);
    const prefix = entryKeyPrefix(ordinal);
    const keys = overlay.firstKeys(prefix, prefixEnd(prefix), limit - removed, own);
    for (const key of keys) {
      const expiresAtMs = entryExpiry(overlay.get(key)!);
      if (expiresAtMs !== 0) overlay.delete(expiryKey(expiresAtMs, ordinal, key.slice(entryKeyPrefixLength)));
      overlay.delete(key);
    }
    removed += keys.length;
    if (removed >= limit) break;
    overlay.delete(retired);
    removed++;
  }
  return removed;
}

function sweepChanges(context: BatchContext, keptBytes: number, limit: number): number {
  const { overlay, state } = context;
  if (limit <= 0 || state.changesBytes <= keptBytes) return 0;
  let removed = 0;
  for (const key of overlay.firstKeys(changePrefix, prefixEnd(changePrefix), limit)) {
    if (state.changesBytes <= keptBytes) break;
    state.changesBytes -= key.length + overlay.get(key)!.length;
    state.changesFrom = parseChangeKey(key) + 1n;
    overlay.delete(key);
    removed++;
  }
  return removed;
}

/** Whether this sweep would find something at this time; `clockMs` may be the wall clock's. */
export function sweepIsDue(
  state: PartitionState,
  reader: StateReader,
  clockMs: number,
  { changesKeptBytes, forgetBeforeMs }: Pick<Sweep, 'changesKeptBytes' | 'forgetBeforeMs'>,
): boolean {
  // A sweep does nothing then.
  if (state.fenced !== undefined) return false;
  if (state.changesBytes > changesKeptBytes) return true;
  if (hasKey(reader, expiryPrefix, expiryEnd(clockMs), OwnRecords.of(state, reader))) return true;
  const forgottenMs = forgottenUntilMs(state, forgetBeforeMs, clockMs);
  if (hasKey(reader, idempotencyExpiryPrefix, idempotencyExpiryEnd(forgottenMs))) return true;
  if (hasKey(reader, retiredPrefix, prefixEnd(retiredPrefix))) return true;
  return idleSessions(state, forgottenMs).length > 0;
}

/* oxlint-disable-next-line max-params -- a range, and whose */
function hasKey(reader: StateReader, start: BinaryString, end: BinaryString | undefined, own?: OwnRecords): boolean {
  const bounds = end === undefined ? { start } : { start, end };
  for (const key of reader.keys(own === undefined ? { ...bounds, limit: 1 } : bounds))
    if (own === undefined || own.has(key)) return true;
  return false;
}
