// Revisions of a key: each change has one of its own, later changes have higher ones, readers never see
// them run backwards, and one revision is one value.
import type { HistoryEvent } from '../history.ts';
import type { Placed, Violation } from './violation.ts';
import { contradictions, violation } from './violation.ts';

/** Events of one key, of any use. */
export function checkRevisions(events: readonly HistoryEvent[]): Violation[] {
  const placed: Placed<bigint>[] = [];
  const changes = new Map<bigint, HistoryEvent>();
  const values = new Map<bigint, { readonly value: string; readonly event: HistoryEvent }>();
  const violations: Violation[] = [];
  for (const event of events) {
    if (event.revision === undefined || event.outcome !== 'ok') continue;
    const place = BigInt(event.revision);
    placed.push({ event, place });
    const other = isRead(event) ? undefined : changes.get(place);
    if (other !== undefined)
      violations.push(violation('revision order', `two changes have revision ${place}`, event, other));
    if (!isRead(event)) changes.set(place, event);
    const value = valueOf(event);
    if (value === undefined) continue;
    const known = values.get(place);
    if (known === undefined) values.set(place, { value, event });
    else if (known.value !== value) {
      violations.push(violation('revision order', `revision ${place} has two values`, event, known.event));
    }
  }
  for (const { earlier, later } of contradictions(placed, (event) => !isRead(event))) {
    const message = `revision ${later.revision} came after revision ${earlier.revision} had been told`;
    violations.push(violation('revision order', message, later, earlier));
  }
  return violations;
}

function isRead({ operation }: HistoryEvent): boolean {
  return operation.kind === 'read';
}

/** The whole value that goes with the revision, where the event knows it. */
function valueOf({ operation, result }: HistoryEvent): string | undefined {
  switch (operation.kind) {
    case 'write':
    case 'compareAndSet':
    case 'writeExpiring':
      return operation.value;
    case 'read':
    case 'increment':
      return typeof result === 'object' ? undefined : String(result);
    default:
      return undefined;
  }
}
