// Watches: every change once, those of a key in their order. What a watch was told is held against what clients were told
// of their writes, so it matters neither which partition had the key nor through which gateway it was followed.
import type { HistoryEvent } from '../history.ts';
import type { Violation } from './violation.ts';
import { violation } from './violation.ts';

/** In the order in which it was told. */
export interface Watched {
  readonly key: string;
  readonly revision: string;
}

/** `told`: all changes of the store since before the first operation, until after the last. */
export function checkWatch(events: readonly HistoryEvent[], told: readonly Watched[]): Violation[] {
  const violations: Violation[] = [];
  const byKey = Map.groupBy(told, ({ key }) => key);
  const of = (key: string): HistoryEvent | undefined => events.find((event) => event.key === key);
  for (const [key, ofKey] of byKey) {
    const at = ofKey.findIndex(({ revision }, i) => i > 0 && BigInt(revision) <= BigInt(ofKey[i - 1]!.revision));
    if (at === -1) continue;
    const message = `a watch is told of revision ${ofKey[at]!.revision} after ${ofKey[at - 1]!.revision}`;
    violations.push(violation('watch', `${key}: ${message}`, of(key) ?? events[0]!));
  }
  for (const event of events) {
    const { operation, outcome, key, revision, revisions } = event;
    const isRead = ['read', 'scan', 'audit'].includes(operation.kind);
    if (outcome !== 'ok' || isRead || (revision === undefined && revisions === undefined)) continue;
    for (const [name, number] of revisions === undefined ? [[key, revision!]] : Object.entries(revisions)) {
      if (byKey.get(name!)?.some(({ revision: seen }) => seen === number) === true) continue;
      violations.push(violation('watch', `no watch is told of revision ${number} of ${name}`, event));
    }
  }
  return violations;
}
