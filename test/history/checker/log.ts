// Logs of appended tokens: the longest read is the order that the service claims; every other read
// must be its beginning, and real time must agree.
import type { HistoryEvent } from '../history.ts';
import type { Placed, Violation } from './violation.ts';
import { contradictions, violation } from './violation.ts';

const tokenEnd = ';';

/** Events of one key. It was absent, which counts as empty, before the history. */
export function checkLog(events: readonly HistoryEvent[]): Violation[] {
  const appends = new Map<string, HistoryEvent>();
  const reads: HistoryEvent[] = [];
  for (const event of events) {
    const { operation, outcome } = event;
    if (operation.kind === 'append' && (outcome === 'ok' || outcome === 'unknown')) appends.set(operation.token, event);
    if (operation.kind === 'read' && outcome === 'ok') reads.push(event);
  }
  const longest = reads.reduce<HistoryEvent | undefined>(
    (best, read) => (best === undefined || textOf(read).length > textOf(best).length ? read : best),
    undefined,
  );
  if (longest === undefined) return [];
  const content = [...contents(longest, appends)];
  if (content.length > 0) return content;
  const beginnings = reads.filter((read) => !textOf(longest).startsWith(textOf(read)));
  if (beginnings.length > 0) {
    const message = 'what was read here is not a beginning of what was read elsewhere';
    return beginnings.map((read) => violation('torn value', message, read, longest));
  }
  return orders(appends, reads, longest);
}

function textOf(read: HistoryEvent): string {
  return (read.result ?? '') as string;
}

function* contents(longest: HistoryEvent, appends: ReadonlyMap<string, HistoryEvent>): Generator<Violation> {
  const seen = new Set<string>();
  for (const part of textOf(longest).split(tokenEnd).slice(0, -1)) {
    const token = part + tokenEnd;
    const append = appends.get(token);
    if (append === undefined) yield violation('torn value', `${token} was never appended`, longest);
    else if (seen.has(token)) yield violation('applied twice', `${token} is there twice`, longest, append);
    seen.add(token);
  }
  if (!textOf(longest).endsWith(tokenEnd) && textOf(longest) !== '') {
    yield violation('torn value', 'the last token has no end', longest);
  }
}

function orders(
  appends: ReadonlyMap<string, HistoryEvent>,
  reads: readonly HistoryEvent[],
  longest: HistoryEvent,
): Violation[] {
  const text = textOf(longest);
  const placed: Placed<number>[] = reads.map((event) => ({ event, place: textOf(event).length }));
  for (const [token, event] of appends) {
    const at = text.startsWith(token) ? 0 : text.indexOf(tokenEnd + token) + 1;
    const isThere = at > 0 || text.startsWith(token);
    // What the longest read lacks comes after it.
    if (isThere) placed.push({ event, place: at + token.length });
    else if (event.outcome === 'ok') placed.push({ event, place: text.length + 1 });
  }
  const known = placed.map((one) =>
    one.event.outcome === 'ok' ? one : { ...one, event: { ...one.event, returnedMs: Infinity } },
  );
  const violations: Violation[] = [];
  for (const { earlier, later } of contradictions(known, ({ operation }) => operation.kind === 'append')) {
    const isRead = later.operation.kind === 'read';
    const isGone = earlier.operation.kind === 'append' && !text.includes(earlier.operation.token);
    const message = isRead
      ? 'a read lacks what was there before it began'
      : 'it was read before it was appended, or is in the wrong order';
    violations.push(
      violation(isGone ? 'lost write' : isRead ? 'stale read' : 'not linearizable', message, later, earlier),
    );
  }
  return violations;
}
