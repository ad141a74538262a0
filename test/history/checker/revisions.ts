// Revisions: each change has one of its own in its partition, later changes have higher ones, readers never
// see those of a key run backwards, and one revision is one value of one key.
import type { HistoryEvent } from '../history.ts';
import type { Placed, Violation } from './violation.ts';
import { contradictions, violation } from './violation.ts';

/** Events of one key, of any use but accounts. */
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
  violations.push(...disorder(placed));
  return violations;
}

/** Events of one partition, listings taken apart. What concerns one key alone is left to `checkRevisions`. */
export function checkPartitionRevisions(events: readonly HistoryEvent[]): Violation[] {
  const placed: Placed<bigint>[] = [];
  const owners = new Map<bigint, { readonly key: string; readonly event: HistoryEvent }>();
  const violations: Violation[] = [];
  for (const event of events) {
    const { outcome, key, revision, revisions } = event;
    if (outcome !== 'ok' || (revision === undefined && revisions === undefined)) continue;
    for (const [of, told] of revisions === undefined ? [[key, revision!]] : Object.entries(revisions)) {
      const place = BigInt(told!);
      placed.push({ event, place });
      const owner = owners.get(place);
      if (owner === undefined) owners.set(place, { key: of!, event });
      else if (owner.key !== of) {
        const message = `revision ${place} belongs to ${owner.key} and to ${of}`;
        violations.push(violation('revision order', message, event, owner.event));
      }
    }
  }
  violations.push(...disorder(placed, (event) => !isRead(event)));
  return violations;
}

function* disorder(
  placed: readonly Placed<bigint>[],
  mayBeLater?: (event: HistoryEvent) => boolean,
): Generator<Violation> {
  for (const { earlier, later } of contradictions(placed, (event) => !isRead(event), mayBeLater)) {
    const message = `revision ${later.revision} came after revision ${earlier.revision} had been told`;
    yield violation('revision order', message, later, earlier);
  }
}

function isRead({ operation: { kind } }: HistoryEvent): boolean {
  return kind === 'read' || kind === 'audit';
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
