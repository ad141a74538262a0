// Exactly once: a command that was judged before gets the answer that it got then. Sessions as in
// RIFL (Lee et al., SOSP 2015) and in Raft's dissertation (Ongaro 2014, section 6.3); a client's own
// Idempotency-Key beside them. What is remembered is remembered until a sweep forgets it: the state's clock
// follows a log server's, which may jump, and would forget at once what a client is about to ask for again.
import type { Idempotency, SessionStamp } from '../command.ts';
import { decodeIdempotency, encodeIdempotency, idempotencyExpiryKey, idempotencyKey } from '../keyspace/idempotency.ts';
import type { SessionState } from '../keyspace/session.ts';
import { rememberedResult } from '../keyspace/session.ts';
import { deduplicationWindowMs, sessionInFlightMax, sessionsMax } from '../limits.ts';
import type { CommandResult, ResultCode } from '../result.ts';
import { commandResult } from '../result.ts';
import type { BatchContext } from './context.ts';

const noValue = new Uint8Array(0);

/** Refusals after which the very same command may be tried again: they are not remembered under a client's key. */
const passing: ReadonlySet<ResultCode> = new Set([
  'quota_exceeded',
  'overloaded',
  'too_many_stores',
  'session_expired',
  'moved',
]);

/** Runs `judge` unless this command of the session was judged before. */
export function oncePerSession(context: BatchContext, stamp: SessionStamp, judge: () => CommandResult): CommandResult {
  const session = sessionOf(context, stamp);
  if (typeof session === 'string') return commandResult(session);
  context.dirtySessions.add(stamp.session);
  session.lastUsedMs = context.clockMs;
  if (stamp.firstUnanswered > session.firstUnanswered) {
    session.firstUnanswered = stamp.firstUnanswered;
    for (const counter of session.results.keys()) if (counter < stamp.firstUnanswered) session.results.delete(counter);
  }
  if (stamp.counter < session.firstUnanswered) return commandResult('already_answered');
  const remembered = session.results.get(stamp.counter);
  if (remembered !== undefined) return remembered.result;
  if (session.results.size >= sessionInFlightMax) return commandResult('overloaded');
  const result = judge();
  session.results.set(stamp.counter, rememberedResult(result));
  return result;
}

function sessionOf(context: BatchContext, stamp: SessionStamp): SessionState | 'session_expired' | 'overloaded' {
  const { sessions } = context.state;
  const known = sessions.get(stamp.session);
  if (known !== undefined) return known;
  if (!stamp.opens) return 'session_expired';
  if (sessions.size >= sessionsMax) return 'overloaded';
  const opened: SessionState = { firstUnanswered: 0, lastUsedMs: context.clockMs, results: new Map() };
  sessions.set(stamp.session, opened);
  return opened;
}

/** Runs `judge` unless a request under this client's key was judged before. */
export function oncePerKey(
  context: BatchContext,
  { id, fingerprint }: Idempotency,
  judge: () => CommandResult,
): CommandResult {
  const { overlay, clockMs } = context;
  const key = idempotencyKey(id);
  const bytes = overlay.get(key);
  const before = bytes === undefined ? undefined : decodeIdempotency(bytes);
  if (before !== undefined) {
    return before.fingerprint === fingerprint ? before.result : commandResult('idempotency_key_reused');
  }
  const result = judge();
  if (changedNothingForNow(result)) return result;
  const expiresAtMs = clockMs + deduplicationWindowMs;
  overlay.put(key, encodeIdempotency({ fingerprint, expiresAtMs, result }));
  overlay.put(idempotencyExpiryKey(expiresAtMs, id), noValue);
  return result;
}

function changedNothingForNow({ code, operations }: CommandResult): boolean {
  if (code !== 'done') return passing.has(code);
  return operations.length > 0 && operations.every((operation) => passing.has(operation.code));
}
