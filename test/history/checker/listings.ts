// Listings taken apart: a listing is no snapshot, so it is a read of each key that it could have shown,
// each at some time between its call and its answer. What is left is the order of its entries.
import type { HistoryEvent, Listed } from '../history.ts';
import type { Violation } from './violation.ts';
import { violation } from './violation.ts';

/** The events without listings, and with what each of those says of every register of its prefix. */
export function takeListingsApart(events: readonly HistoryEvent[]): HistoryEvent[] {
  const partitions = new Map<string, number | undefined>();
  for (const { use, operation, key, partition } of events) {
    if (use === 'register' && operation.kind !== 'scan') partitions.set(key, partition);
  }
  const keys = [...partitions.keys()];
  const byPrefix = new Map<string, readonly string[]>();
  const result: HistoryEvent[] = [];
  for (const event of events) {
    const { operation, outcome } = event;
    if (operation.kind !== 'scan') {
      result.push(event);
      continue;
    }
    if (outcome !== 'ok') continue;
    const { prefix } = operation;
    const known = byPrefix.get(prefix) ?? keys.filter((key) => key.startsWith(prefix));
    byPrefix.set(prefix, known);
    const listed = new Map((event.result as readonly Listed[]).map((entry) => [entry[0], entry]));
    for (const key of new Set([...known, ...listed.keys()])) {
      result.push(readOf(event, key, listed.get(key), partitions.get(key)));
    }
  }
  return result;
}

function readOf(
  scan: HistoryEvent,
  key: string,
  listed: Listed | undefined,
  partition: number | undefined,
): HistoryEvent {
  const { result: _result, partition: _partition, ...rest } = scan;
  return {
    ...rest,
    key,
    operation: { kind: 'read' },
    result: listed === undefined ? null : listed[1],
    ...(listed !== undefined && { revision: listed[2] }),
    ...(partition !== undefined && { partition }),
  };
}

/** UTF-8 orders as code points do; keys of histories are ASCII. */
export function checkListings(events: readonly HistoryEvent[]): Violation[] {
  const violations: Violation[] = [];
  for (const event of events) {
    if (event.operation.kind !== 'scan' || event.outcome !== 'ok') continue;
    const { prefix } = event.operation;
    const keys = (event.result as readonly Listed[]).map(([key]) => key);
    const wrong = keys.find((key, at) => !key.startsWith(prefix) || (at > 0 && keys[at - 1]! >= key));
    if (wrong === undefined) continue;
    violations.push(violation('listing order', `${wrong} is listed twice, out of order, or not asked for`, event));
  }
  return violations;
}
