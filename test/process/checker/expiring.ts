// Entries with a time to live, written once: there until then, gone afterwards.
import type { HistoryEvent } from '../history.ts';
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
  for (const read of events) {
    if (read.operation.kind !== 'read' || read.outcome !== 'ok') continue;
    if (read.result === null) {
      const mustBeThere =
        write.outcome === 'ok' &&
        write.returnedMs < read.invokedMs &&
        read.returnedMs < write.invokedMs + ttlMs - clockMarginMs;
      if (mustBeThere) violations.push(violation('lost write', 'it is gone before its time', read, write));
    } else if (read.result !== value) {
      violations.push(
        violation(
          'torn value',
          `read ${JSON.stringify(read.result).slice(0, 60)}, which was never written`,
          read,
          write,
        ),
      );
    } else if (write.outcome === 'ok' && read.invokedMs > write.returnedMs + ttlMs + clockMarginMs) {
      violations.push(violation('expiry', 'it is there after its time', read, write));
    }
  }
  return violations;
}
