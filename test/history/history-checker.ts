// The checker: reads a history, and nothing else, and says which promises it breaks. Pure, so that the
// kill test, a cluster test or a file from elsewhere can be judged by it alike.
import type { Balances } from './checker/accounts.ts';
import { checkAccounts, groupOf } from './checker/accounts.ts';
import { checkCounter } from './checker/counter.ts';
import { checkExpiring } from './checker/expiring.ts';
import { checkListings, takeListingsApart } from './checker/listings.ts';
import { checkLog } from './checker/log.ts';
import { checkRegister } from './checker/register.ts';
import { checkPartitionRevisions, checkRevisions } from './checker/revisions.ts';
import { checkSessions } from './checker/sessions.ts';
import type { Violation } from './checker/violation.ts';
import type { HistoryEvent, KeyUse } from './history.ts';

export interface Initial {
  /** What the accounts held before the history began. */
  readonly accounts: Balances;
}

const checks: Readonly<Record<Exclude<KeyUse, 'account'>, (events: readonly HistoryEvent[]) => Violation[]>> = {
  register: checkRegister,
  counter: checkCounter,
  log: checkLog,
  expiring: checkExpiring,
};

/** Empty: nothing contradicts the promises. */
export function checkHistory(events: readonly HistoryEvent[], initial: Initial): Violation[] {
  const violations = checkListings(events);
  const plain = takeListingsApart(events);
  const accounts = plain.filter(({ use }) => use === 'account');
  for (const [group, ofGroup] of Map.groupBy(accounts, ({ key }) => groupOf(key))) {
    const held = Object.entries(initial.accounts).filter(([key]) => groupOf(key) === group);
    violations.push(...checkAccounts(ofGroup, Object.fromEntries(held)));
  }
  for (const ofKey of Map.groupBy(plain, ({ use, key }) => `${use} ${key}`).values()) {
    const { use } = ofKey[0]!;
    if (use !== 'account') violations.push(...checks[use](ofKey), ...checkRevisions(ofKey));
  }
  for (const [partition, ofPartition] of Map.groupBy(plain, ({ partition }) => partition)) {
    if (partition === undefined) continue;
    violations.push(...checkPartitionRevisions(ofPartition), ...checkSessions(ofPartition));
  }
  return violations;
}

/** For people: the first few, with what proves them. */
export function describeViolations(violations: readonly Violation[]): string {
  return violations
    .slice(0, 10)
    .map(({ rule, key, message, events }) =>
      [`${rule}: ${key}: ${message}`, ...events.map((event) => `    ${JSON.stringify(event).slice(0, 600)}`)].join(
        '\n',
      ),
    )
    .join('\n');
}
