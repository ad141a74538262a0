// The full search for an order of a register's operations. Relaxed reads take part: an eventual one may be
// put anywhere before its answer, one of a session anywhere after what its session had seen or written.
import type { HistoryEvent } from '../history.ts';
import { expectedValue, firstSeenTimes, readValue, writtenValue } from './register-events.ts';
import type { Call, Model } from './linearizability.ts';
import { linearize } from './linearizability.ts';
import type { Violation } from './violation.ts';
import { violation } from './violation.ts';

const model: Model<string | null, HistoryEvent> = {
  initial: null,
  key: (state) => (state === null ? 'absent' : `value ${state}`),
  observes: ({ operation, outcome }) => operation.kind === 'read' || outcome === 'conflict',
  step(state, { operation, outcome, result }) {
    switch (operation.kind) {
      case 'read':
        return result === state ? state : undefined;
      case 'write':
        return operation.value;
      case 'delete':
        return null;
      case 'compareAndSet':
        if (outcome === 'conflict') return state === operation.expected ? undefined : state;
        return state === operation.expected ? operation.value : undefined;
      default:
        throw new Error(`a register knows no ${operation.kind}`);
    }
  },
};

/** `writes`: by the value that they write. */
export function searchRegister(
  events: readonly HistoryEvent[],
  writes: ReadonlyMap<string, HistoryEvent>,
): Violation[] {
  const calls = callsOf(events, writes);
  if (calls.length === 0) return [];
  const verdict = linearize(model, calls);
  switch (verdict.kind) {
    case 'linearizable':
      return [];
    case 'undecided':
      return [violation('undecided', `gave up after ${verdict.steps} steps`, events[0]!)];
    case 'not linearizable': {
      const message = `no order explains all ${calls.length} operations; at most ${verdict.ordered} can be ordered`;
      return [violation('not linearizable', message, verdict.stuck.operation)];
    }
  }
}

/**
 * Unknown outcomes are what makes the search long. One that was seen happened before it was seen; one
 * that nobody saw can be left out, unless a failed comparison or an absence could be its doing. Of
 * those, writes are alike: nobody ever expected their values, so every failed comparison fits each of them.
 */
function callsOf(events: readonly HistoryEvent[], writes: ReadonlyMap<string, HistoryEvent>): Call<HistoryEvent>[] {
  const hasConflicts = events.some(({ outcome }) => outcome === 'conflict');
  const hasAbsences = events.some((event) => readValue(event) === null);
  const firstSeen = firstSeenTimes(events);
  const places = placesOf(events);
  const expected = new Set(events.map(expectedValue));
  const calls: Call<HistoryEvent>[] = [];
  /** Of each session, the last that is certain. */
  const sessions = new Map<string, Call<HistoryEvent>>();
  for (const event of events.toSorted((a, b) => a.invokedMs - b.invokedMs)) {
    const { operation, outcome, invokedMs, returnedMs, session } = event;
    const place = places.get(writtenValue(event) ?? '');
    const base = { operation: event, ...(place !== undefined && { place }) };
    let call: Call<HistoryEvent> | undefined;
    if (outcome === 'ok' && event.consistency === 'eventual') {
      call = { ...base, invokedMs: writeTime(event, writes), returnedMs };
    } else if (outcome === 'ok' && event.consistency === 'session') {
      const after = session === undefined ? undefined : sessions.get(session);
      const fromMs = Math.max(writeTime(event, writes), after?.invokedMs ?? -Infinity);
      call = { ...base, invokedMs: fromMs, returnedMs, ...(after !== undefined && { after }) };
    } else if (outcome === 'ok' || (outcome === 'conflict' && operation.kind === 'compareAndSet')) {
      call = { ...base, invokedMs, returnedMs };
    } else if (outcome === 'unknown' && operation.kind !== 'read') {
      const seenMs = firstSeen.get(writtenValue(event) ?? '') ?? Infinity;
      const matters = seenMs !== Infinity || hasConflicts || (operation.kind === 'delete' && hasAbsences);
      const isAlike = seenMs === Infinity && (operation.kind === 'delete' || !expected.has(writtenValue(event)));
      const alike = isAlike ? `${operation.kind} ${expectedValue(event) ?? ''}` : undefined;
      if (matters) call = { ...base, invokedMs, returnedMs: seenMs, ...(alike !== undefined && { alike }) };
    }
    if (call === undefined) continue;
    calls.push(call);
    const isCertain = outcome === 'ok' && event.consistency !== 'eventual';
    if (isCertain && session !== undefined) sessions.set(session, call);
  }
  return calls;
}

/** When what was read can have been there at the earliest. */
function writeTime(read: HistoryEvent, writes: ReadonlyMap<string, HistoryEvent>): number {
  const value = readValue(read);
  return typeof value === 'string' ? (writes.get(value)?.invokedMs ?? -Infinity) : -Infinity;
}

/** By value: its revision, where a write or a read told it. */
function placesOf(events: readonly HistoryEvent[]): Map<string, bigint> {
  const places = new Map<string, bigint>();
  for (const event of events) {
    if (event.outcome !== 'ok' || event.revision === undefined) continue;
    const value = readValue(event) ?? writtenValue(event);
    if (typeof value === 'string') places.set(value, BigInt(event.revision));
  }
  return places;
}
