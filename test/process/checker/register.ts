// Registers: every written value is unique, so a read names the write that it saw. First the rules
// that say in plain words what went wrong; where none of them does, the full search.
import type { HistoryEvent } from '../history.ts';
import type { Call, Model } from './linearizability.ts';
import { linearize } from './linearizability.ts';
import type { Violation } from './violation.ts';
import { violation } from './violation.ts';

/** Events of one key. It was absent before the history. */
export function checkRegister(events: readonly HistoryEvent[]): Violation[] {
  const writes = new Map<string, HistoryEvent>();
  for (const event of events) {
    const value = writtenValue(event);
    if (value !== undefined && mayHaveHappened(event)) writes.set(value, event);
  }
  const plain = [...torn(events, writes), ...outdated(events, writes)];
  return plain.length > 0 ? plain : searched(events);
}

function writtenValue({ operation }: HistoryEvent): string | undefined {
  return operation.kind === 'write' || operation.kind === 'compareAndSet' ? operation.value : undefined;
}

function mayHaveHappened({ outcome }: HistoryEvent): boolean {
  return outcome === 'ok' || outcome === 'unknown';
}

function readValue(event: HistoryEvent): string | null | undefined {
  return event.operation.kind === 'read' && event.outcome === 'ok' ? (event.result as string | null) : undefined;
}

function* torn(events: readonly HistoryEvent[], writes: ReadonlyMap<string, HistoryEvent>): Generator<Violation> {
  for (const event of events) {
    const value = readValue(event);
    if (typeof value !== 'string') continue;
    const write = writes.get(value);
    if (write === undefined) yield violation('torn value', `read ${short(value)}, which was never written`, event);
    else if (write.invokedMs > event.returnedMs) {
      yield violation('not linearizable', `read ${short(value)} before it was written`, event, write);
    }
  }
}

/** Reads that show something older than a write acknowledged before they began. */
function* outdated(events: readonly HistoryEvent[], writes: ReadonlyMap<string, HistoryEvent>): Generator<Violation> {
  const inEffectBy = effectTimes(events, writes);
  const acknowledged = events.filter((event) => event.outcome === 'ok' && isChange(event));
  const deletes = events.filter((event) => event.operation.kind === 'delete' && mayHaveHappened(event));
  for (const read of events) {
    const value = readValue(read);
    if (value === undefined) continue;
    const newer = acknowledged.filter((write) => {
      if (write.returnedMs >= read.invokedMs) return false;
      if (value !== null) return writtenValue(write) !== value && inEffectBy.get(value)! < write.invokedMs;
      // Absent: some delete must have been able to come after the write.
      const isExplained = deletes.some(
        (one) => one.invokedMs < read.returnedMs && (one.outcome === 'unknown' || one.returnedMs > write.invokedMs),
      );
      return write.operation.kind !== 'delete' && !isExplained;
    });
    if (newer.length === 0) continue;
    // Where anybody saw one of the newer ones later, they are there, and this reader was served late.
    const wasSeen = newer.some((write) =>
      events.some((event) => event.invokedMs > write.returnedMs && sees(event, write)),
    );
    const what = `read ${short(value)} after ${short(writtenValue(newer.at(-1)!) ?? 'the delete')} was acknowledged`;
    yield violation(wasSeen ? 'stale read' : 'lost write', what, read, newer.at(-1)!);
  }
}

function isChange({ operation }: HistoryEvent): boolean {
  return operation.kind !== 'read';
}

function sees(event: HistoryEvent, write: HistoryEvent): boolean {
  const value = readValue(event);
  if (value === undefined) return false;
  return write.operation.kind === 'delete' ? value === null : value === writtenValue(write);
}

/** By value: a time by which its write had certainly taken effect. */
function effectTimes(events: readonly HistoryEvent[], writes: ReadonlyMap<string, HistoryEvent>): Map<string, number> {
  const times = firstSeenTimes(events);
  for (const [value, write] of writes) {
    const returnedMs = write.outcome === 'ok' ? write.returnedMs : Infinity;
    times.set(value, Math.min(times.get(value) ?? Infinity, returnedMs));
  }
  return times;
}

/**
 * By value: when the first operation that it was certainly there for had returned. A successful
 * comparison saw what it expected; so did one of unknown outcome whose own value was seen, and so on.
 */
function firstSeenTimes(events: readonly HistoryEvent[]): Map<string, number> {
  const times = new Map<string, number>();
  const see = (value: string, atMs: number): boolean => {
    const isEarlier = atMs < (times.get(value) ?? Infinity);
    if (isEarlier) times.set(value, atMs);
    return isEarlier;
  };
  for (const event of events) {
    if (event.outcome !== 'ok') continue;
    const value = readValue(event) ?? expectedValue(event);
    if (typeof value === 'string') see(value, event.returnedMs);
  }
  for (let more = true; more;) {
    more = false;
    for (const { operation, outcome } of events) {
      if (operation.kind !== 'compareAndSet' || outcome !== 'unknown') continue;
      const seenMs = times.get(operation.value);
      if (seenMs !== undefined && see(operation.expected, seenMs)) more = true;
    }
  }
  return times;
}

function expectedValue({ operation }: HistoryEvent): string | undefined {
  return operation.kind === 'compareAndSet' ? operation.expected : undefined;
}

const registerModel: Model<string | null, HistoryEvent> = {
  initial: null,
  key: (state) => (state === null ? 'absent' : `value ${state}`),
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

function searched(events: readonly HistoryEvent[]): Violation[] {
  const calls = callsOf(events);
  if (calls.length === 0) return [];
  const verdict = linearize(registerModel, calls);
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
 * that nobody saw can be left out, unless a failed comparison could be its doing.
 */
function callsOf(events: readonly HistoryEvent[]): Call<HistoryEvent>[] {
  const hasConflicts = events.some(({ outcome }) => outcome === 'conflict');
  const firstSeen = firstSeenTimes(events);
  const calls: Call<HistoryEvent>[] = [];
  for (const event of events) {
    const { operation, outcome, invokedMs, returnedMs } = event;
    if (outcome === 'ok' || (outcome === 'conflict' && operation.kind === 'compareAndSet')) {
      calls.push({ operation: event, invokedMs, returnedMs });
    } else if (outcome === 'unknown' && operation.kind !== 'read') {
      const seenMs = firstSeen.get(writtenValue(event) ?? '') ?? Infinity;
      const matters = seenMs !== Infinity || operation.kind === 'delete' || hasConflicts;
      if (matters) calls.push({ operation: event, invokedMs, returnedMs: seenMs });
    }
  }
  return calls;
}

function short(value: string | null): string {
  if (value === null) return 'nothing';
  return value.length > 60 ? `${value.slice(0, 60)}… (${value.length} characters)` : value;
}
