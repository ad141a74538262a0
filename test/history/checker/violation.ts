// What the checker finds, and the order check that most of its rules are made of.
import type { HistoryEvent } from '../history.ts';
import { isRelaxed } from '../history.ts';

export type Rule =
  | 'lost write'
  | 'stale read'
  | 'torn value'
  | 'applied twice'
  | 'not linearizable'
  | 'not atomic'
  | 'revision order'
  | 'expiry'
  | 'listing order'
  | 'watch'
  /** A session did not see what it had written. */
  | 'read your writes'
  /** A session saw an older state than before. */
  | 'monotonic reads'
  /** A session's write came before what it had read or written. */
  | 'writes follow reads'
  /** A read with a bound on its age was older. */
  | 'staleness bound'
  /** Replicas differ at the same position. */
  | 'replicas differ'
  /** Some time after everything was healed, replicas were not at the same position, or not all there. */
  | 'no convergence'
  /** Nothing of what a client may be told, or a history without its end. */
  | 'unexplained answer'
  /** The search was given up: no proof either way, which is not to be taken for a pass. */
  | 'undecided';

export interface Violation {
  readonly rule: Rule;
  readonly key: string;
  readonly message: string;
  /** What proves it. */
  readonly events: readonly object[];
}

export function violation(rule: Rule, message: string, ...events: readonly HistoryEvent[]): Violation {
  return { rule, key: events[0]!.key, message, events };
}

/** An event with its place in the order that the service itself claims (a revision, a counter's value). */
export interface Placed<Place> {
  readonly event: HistoryEvent;
  readonly place: Place;
}

/**
 * Pairs where the claimed order contradicts real time: `earlier` had returned before `later` was
 * invoked, and yet has the higher place (or the same one, where `strict(later)`). One pair for each such
 * `later`; `mayBeLater` says which can be: by default not relaxed reads, which may show what was.
 */
export function* contradictions<Place extends bigint | number>(
  placed: readonly Placed<Place>[],
  strict: (event: HistoryEvent) => boolean,
  mayBeLater: (event: HistoryEvent) => boolean = (event) => !isRelaxed(event),
): Generator<{ readonly earlier: HistoryEvent; readonly later: HistoryEvent }> {
  const byReturn = placed.toSorted((a, b) => a.event.returnedMs - b.event.returnedMs);
  const byInvocation = placed
    .filter(({ event }) => mayBeLater(event))
    .toSorted((a, b) => a.event.invokedMs - b.event.invokedMs);
  let highest: Placed<Place> | undefined;
  let at = 0;
  for (const later of byInvocation) {
    for (; at < byReturn.length && byReturn[at]!.event.returnedMs < later.event.invokedMs; at++) {
      const returned = byReturn[at]!;
      if (highest === undefined || returned.place > highest.place) highest = returned;
    }
    if (highest === undefined) continue;
    const wrong = highest.place > later.place || (highest.place === later.place && strict(later.event));
    if (wrong) yield { earlier: highest.event, later: later.event };
  }
}
