// What events of a register say of its values.
import type { HistoryEvent } from '../history.ts';

export function writtenValue({ operation }: HistoryEvent): string | undefined {
  return operation.kind === 'write' || operation.kind === 'compareAndSet' ? operation.value : undefined;
}

export function expectedValue({ operation }: HistoryEvent): string | undefined {
  return operation.kind === 'compareAndSet' ? operation.expected : undefined;
}

export function mayHaveHappened({ outcome }: HistoryEvent): boolean {
  return outcome === 'ok' || outcome === 'unknown';
}

/** Undefined: it is no read, or has no answer. */
export function readValue(event: HistoryEvent): string | null | undefined {
  return event.operation.kind === 'read' && event.outcome === 'ok' ? (event.result as string | null) : undefined;
}

/**
 * By value: when the first operation that it was certainly there for had returned. A successful
 * comparison saw what it expected; so did one of unknown outcome whose own value was seen, and so on.
 */
export function firstSeenTimes(events: readonly HistoryEvent[]): Map<string, number> {
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
  const unknown = events.filter(
    ({ operation, outcome }) => operation.kind === 'compareAndSet' && outcome === 'unknown',
  );
  for (let more = true; more;) {
    more = false;
    for (const { operation } of unknown) {
      if (operation.kind !== 'compareAndSet') continue;
      const seenMs = times.get(operation.value);
      if (seenMs !== undefined && see(operation.expected, seenMs)) more = true;
    }
  }
  return times;
}
