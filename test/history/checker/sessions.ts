// Guarantees of sessions (Terry et al., 1994), over all keys of a partition: revisions count the effects
// of a partition in their order, so what a session was told of is one number, its floor. And the bound on
// the age of eventual reads that ask for one.
import type { HistoryEvent } from '../history.ts';
import { isRelaxed } from '../history.ts';
import type { Rule, Violation } from './violation.ts';
import { violation } from './violation.ts';

/** What an event says of one key. */
interface Seen {
  readonly event: HistoryEvent;
  readonly key: string;
  /** Undefined: it was absent. */
  readonly revision: bigint | undefined;
  readonly isRead: boolean;
}

interface Floor {
  readonly revision: bigint;
  readonly by: HistoryEvent;
}

/** What is known of a key from all clients. */
interface Known {
  /** Changes with their revisions. */
  readonly changes: Map<bigint, HistoryEvent>;
  /** Those that may have taken effect. */
  readonly deletes: HistoryEvent[];
  /** Of entries that end on their own, an absence proves nothing here. */
  expires: boolean;
}

/** Difference allowed between a bound and what a client can measure of it. */
const lagMarginMs = 250;

/** Events of one partition, listings taken apart. */
export function checkSessions(events: readonly HistoryEvent[]): Violation[] {
  const known = knownOf(events);
  const violations: Violation[] = [];
  for (const event of events) violations.push(...tooOld(event, known));
  for (const [session, ofSession] of Map.groupBy(events, ({ session }) => session)) {
    if (session !== undefined) violations.push(...checkSession(ofSession, known));
  }
  return violations;
}

function knownOf(events: readonly HistoryEvent[]): Map<string, Known> {
  const known = new Map<string, Known>();
  for (const event of events) {
    for (const { key, revision, isRead } of seenBy(event)) {
      const ofKey = known.get(key) ?? { changes: new Map<bigint, HistoryEvent>(), deletes: [], expires: false };
      known.set(key, ofKey);
      ofKey.expires ||= event.use === 'expiring';
      // A write knows best when it happened.
      if (revision !== undefined && !(isRead && ofKey.changes.has(revision))) ofKey.changes.set(revision, event);
    }
    const isDelete = event.operation.kind === 'delete' && (event.outcome === 'ok' || event.outcome === 'unknown');
    if (!isDelete) continue;
    const ofKey = known.get(event.key) ?? { changes: new Map<bigint, HistoryEvent>(), deletes: [], expires: false };
    known.set(event.key, ofKey);
    ofKey.deletes.push(event);
  }
  return known;
}

function seenBy(event: HistoryEvent): Seen[] {
  const { operation, outcome, key, revision, revisions } = event;
  if (outcome !== 'ok') return [];
  const isRead = operation.kind === 'read' || operation.kind === 'audit';
  if (revisions !== undefined) {
    return Object.entries(revisions).map(([of, told]) => ({ event, key: of, revision: BigInt(told), isRead }));
  }
  if (revision !== undefined) return [{ event, key, revision: BigInt(revision), isRead }];
  return operation.kind === 'read' && event.result === null ? [{ event, key, revision: undefined, isRead }] : [];
}

function* checkSession(events: readonly HistoryEvent[], known: ReadonlyMap<string, Known>): Generator<Violation> {
  let floor: Floor | undefined;
  // One answer of several entries is one event each, at the same time: none of them is before another.
  const byInvocation = Map.groupBy(
    events.toSorted((a, b) => a.invokedMs - b.invokedMs),
    ({ invokedMs }) => invokedMs,
  );
  for (const together of byInvocation.values()) {
    let next = floor;
    for (const event of together) {
      if (event.consistency === 'eventual') continue;
      for (const seen of seenBy(event)) {
        if (floor !== undefined) yield* belowFloor(seen, floor, known.get(seen.key)!);
        if (seen.revision !== undefined && seen.revision > (next?.revision ?? 0n)) {
          next = { revision: seen.revision, by: event };
        }
      }
    }
    floor = next;
  }
}

function* belowFloor(seen: Seen, floor: Floor, known: Known): Generator<Violation> {
  const { event, revision, isRead } = seen;
  if (!isRead) {
    if (revision! > floor.revision) return;
    const message = `its revision is ${revision}, after its session had been told of ${floor.revision}`;
    yield violation('writes follow reads', message, event, floor.by);
    return;
  }
  const missed = newest(known, (change, of) => of <= floor.revision && isMissed(seen, of, change, known));
  if (missed === undefined) return;
  const rule: Rule = isReadOf(floor.by) ? 'monotonic reads' : 'read your writes';
  const shown = revision === undefined ? 'nothing' : `revision ${revision}`;
  const message = `read ${shown} of ${seen.key}, after its session had been told of ${floor.revision}`;
  yield violation(rule, message, event, missed, floor.by);
}

function isReadOf({ operation: { kind } }: HistoryEvent): boolean {
  return kind === 'read' || kind === 'audit';
}

/** Whether a read lacks a change of its key: it shows an earlier one, or an absence that nothing explains. */
function isMissed({ event: read, revision }: Seen, of: bigint, change: HistoryEvent, known: Known): boolean {
  if (revision !== undefined) return of > revision;
  if (known.expires) return false;
  const isWrite = !isReadOf(change);
  return !known.deletes.some(
    (one) =>
      one.invokedMs < read.returnedMs && (one.outcome === 'unknown' || !isWrite || one.returnedMs > change.invokedMs),
  );
}

function newest(known: Known, isWanted: (change: HistoryEvent, of: bigint) => boolean): HistoryEvent | undefined {
  let found: HistoryEvent | undefined;
  let highest = 0n;
  for (const [of, change] of known.changes) {
    if (of <= highest || !isWanted(change, of)) continue;
    highest = of;
    found = change;
  }
  return found;
}

/** Eventual reads with a bound: every write acknowledged before the bound must be visible. */
function* tooOld(event: HistoryEvent, known: ReadonlyMap<string, Known>): Generator<Violation> {
  const { maxLagMs, invokedMs } = event;
  if (maxLagMs === undefined || !isRelaxed(event)) return;
  const beforeMs = invokedMs - maxLagMs - lagMarginMs;
  for (const seen of seenBy(event)) {
    const ofKey = known.get(seen.key)!;
    const missed = newest(ofKey, (change, of) => change.returnedMs < beforeMs && isMissed(seen, of, change, ofKey));
    if (missed === undefined) continue;
    const message = `it was to be at most ${maxLagMs} ms old, and lacks what was there ${Math.round(invokedMs - missed.returnedMs)} ms before`;
    yield violation('staleness bound', message, event, missed);
  }
}
