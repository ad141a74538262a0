// Counters: an increment tells the value that it made, so the service claims an order itself; it
// must be without gaps, without repetition, and agree with real time. Those rules say in plain words what
// went wrong; where none of them does, the search for an order has the last word.
import type { HistoryEvent } from '../history.ts';
import { isRelaxed } from '../history.ts';
import type { Call, Model } from './linearizability.ts';
import { linearize } from './linearizability.ts';
import type { Placed, Violation } from './violation.ts';
import { contradictions, violation } from './violation.ts';

/** Events of one key. It was absent, which counts as 0, before the history. */
export function checkCounter(events: readonly HistoryEvent[]): Violation[] {
  const placed: Placed<number>[] = [];
  const violations: Violation[] = [];
  for (const event of events) {
    if (event.outcome !== 'ok') continue;
    const place = Number(event.result ?? 0);
    if (Number.isSafeInteger(place) && place >= 0) placed.push({ event, place });
    else violations.push(violation('torn value', `the counter shows ${JSON.stringify(event.result)}`, event));
  }
  for (const { earlier, later } of contradictions(placed, ({ operation }) => operation.kind === 'increment')) {
    const isRead = later.operation.kind === 'read';
    const message = `the counter shows ${shown(later)} after it had shown ${shown(earlier)}`;
    violations.push(violation(isRead ? 'stale read' : 'lost write', message, later, earlier));
  }
  violations.push(...gaps(events, placed));
  return violations.length > 0 ? violations : searched(events);
}

const model: Model<number, HistoryEvent> = {
  initial: 0,
  key: String,
  observes: ({ operation }) => operation.kind === 'read',
  step(state, { operation, outcome, result }) {
    if (operation.kind !== 'increment') return Number(result ?? 0) === state ? state : undefined;
    const sum = state + operation.amount;
    return outcome === 'unknown' || result === sum ? sum : undefined;
  },
};

function searched(events: readonly HistoryEvent[]): Violation[] {
  const calls: Call<HistoryEvent>[] = [];
  for (const event of events) {
    const { operation, outcome, invokedMs, returnedMs, result } = event;
    const isUnknown = outcome === 'unknown' && operation.kind === 'increment';
    if (isRelaxed(event) || (outcome !== 'ok' && !isUnknown)) continue;
    calls.push({
      operation: event,
      invokedMs,
      returnedMs: isUnknown ? Infinity : returnedMs,
      ...(typeof result === 'number' && { place: BigInt(result) }),
    });
  }
  if (calls.length === 0) return [];
  const verdict = linearize(model, calls);
  if (verdict.kind === 'linearizable') return [];
  if (verdict.kind === 'undecided') return [violation('undecided', `gave up after ${verdict.steps} steps`, events[0]!)];
  const message = `no order explains all ${calls.length} operations; at most ${verdict.ordered} can be ordered`;
  return [violation('not linearizable', message, verdict.stuck.operation)];
}

function shown({ result }: HistoryEvent): string {
  return JSON.stringify(result);
}

/** Every amount between 0 and the highest value belongs to one increment. */
function* gaps(events: readonly HistoryEvent[], placed: readonly Placed<number>[]): Generator<Violation> {
  const unknown = events.filter(({ outcome }) => outcome === 'unknown');
  let explained = unknown.reduce((sum, event) => sum + amountOf(event), 0);
  const ordered = placed.toSorted((a, b) => a.place - b.place || amountOf(b.event) - amountOf(a.event));
  let reached = 0;
  for (const { event, place } of ordered) {
    const from = place - amountOf(event);
    if (from < reached) {
      const isIncrement = event.operation.kind === 'increment';
      const message = isIncrement
        ? `two increments made the same value ${place}`
        : `a read shows ${place}, inside an increment`;
      yield violation(isIncrement ? 'lost write' : 'torn value', message, event);
    }
    if (from > reached) explained -= from - reached;
    if (explained < 0) {
      yield violation('applied twice', `nobody added what lies between ${reached} and ${from}`, event);
      return;
    }
    reached = Math.max(reached, place);
  }
}

function amountOf({ operation }: HistoryEvent): number {
  return operation.kind === 'increment' ? operation.amount : 0;
}
