// Registers: every written value is unique, so a read names the write that it saw. First the rules
// that say in plain words what went wrong; where none of them does, the full search (register-search.ts).
import type { HistoryEvent } from '../history.ts';
import { isRelaxed } from '../history.ts';
import { expectedValue, firstSeenTimes, mayHaveHappened, readValue, writtenValue } from './register-events.ts';
import { searchRegister } from './register-search.ts';
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
  return plain.length > 0 ? plain : searchRegister(events, writes);
}

function* torn(events: readonly HistoryEvent[], writes: ReadonlyMap<string, HistoryEvent>): Generator<Violation> {
  for (const event of events) {
    const value = event.outcome === 'ok' ? (readValue(event) ?? expectedValue(event)) : undefined;
    if (typeof value !== 'string') continue;
    const write = writes.get(value);
    if (write === undefined) yield violation('torn value', `read ${short(value)}, which was never written`, event);
    else if (write.invokedMs > event.returnedMs) {
      yield violation('not linearizable', `read ${short(value)} before it was written`, event, write);
    }
  }
}

/** Strong reads that show something older than a write acknowledged before they began. */
function* outdated(events: readonly HistoryEvent[], writes: ReadonlyMap<string, HistoryEvent>): Generator<Violation> {
  const inEffectBy = effectTimes(events, writes);
  const acknowledged = events.filter((event) => event.outcome === 'ok' && isChange(event));
  const deletes = events.filter((event) => event.operation.kind === 'delete' && mayHaveHappened(event));
  for (const read of events) {
    const value = isRelaxed(read) ? undefined : readValue(read);
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
    // Where anybody saw the newest of them later, it is there, and this reader was served late.
    const newest = newer.at(-1)!;
    const wasSeen = events.some((event) => event.invokedMs > newest.returnedMs && sees(event, newest));
    const what = `read ${short(value)} after ${short(writtenValue(newest) ?? 'the delete')} was acknowledged`;
    yield violation(wasSeen ? 'stale read' : 'lost write', what, read, newest);
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

function short(value: string | null): string {
  if (value === null) return 'nothing';
  return value.length > 60 ? `${value.slice(0, 60)}… (${value.length} characters)` : value;
}
