// Entries with a time to live, written once: there until then, gone afterwards, and gone for good.
import type { HistoryEvent } from '../history.ts';
import { isRelaxed } from '../history.ts';
import type { Violation } from './violation.ts';
import { violation } from './violation.ts';

/** Difference allowed between the clocks of client and service, and for a clock's resolution. */
const clockMarginMs = 250;

/** Events of one key. */
export function checkExpiring(events: readonly HistoryEvent[]): Violation[] {
  const write = events.find(({ operation }) => operation.kind === 'writeExpiring');
  if (write?.operation.kind !== 'writeExpiring') return [];
  const { value, ttlMs } = write.operation;
  const violations: Violation[] = [];
  const reads = events
    .filter(({ operation, outcome }) => operation.kind === 'read' && outcome === 'ok')
    .toSorted((a, b) => a.returnedMs - b.returnedMs);
  let gone: HistoryEvent | undefined;
  for (const read of reads) {
    if (read.result === null) {
      if (mustBeThere(read, write, ttlMs)) {
        violations.push(violation('lost write', 'it is gone before its time', read, write));
      } else if (!isRelaxed(read) && write.outcome === 'ok' && write.returnedMs < read.invokedMs) gone ??= read;
    } else if (read.result !== value) {
      const message = `read ${JSON.stringify(read.result).slice(0, 60)}, which was never written`;
      violations.push(violation('torn value', message, read, write));
    } else if (write.outcome === 'ok' && read.invokedMs > write.returnedMs + ttlMs + clockMarginMs) {
      violations.push(violation('expiry', 'it is there after its time', read, write));
    } else if (!isRelaxed(read) && gone !== undefined && gone.returnedMs < read.invokedMs) {
      violations.push(violation('expiry', 'it is there again after it had gone', read, gone));
    }
  }
  return violations;
}

/** A relaxed read may show what was before the write; whether its session had seen it is judged elsewhere. */
function mustBeThere(read: HistoryEvent, write: HistoryEvent, ttlMs: number): boolean {
  return (
    !isRelaxed(read) &&
    write.outcome === 'ok' &&
    write.returnedMs < read.invokedMs &&
    read.returnedMs < write.invokedMs + ttlMs - clockMarginMs
  );
}
