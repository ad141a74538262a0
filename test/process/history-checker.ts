// The checker: reads a history, and nothing else, and says which promises it breaks. Pure, so that the
// kill test, a cluster test or a file from elsewhere can be judged by it alike.
import type { Balances } from './checker/accounts.ts';
import { checkAccounts } from './checker/accounts.ts';
import { checkCounter } from './checker/counter.ts';
import { checkExpiring } from './checker/expiring.ts';
import { checkLog } from './checker/log.ts';
import { checkRegister } from './checker/register.ts';
import { checkRevisions } from './checker/revisions.ts';
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
  const violations: Violation[] = [];
  const accounts = events.filter(({ use }) => use === 'account');
  violations.push(...checkAccounts(accounts, initial.accounts));
  const byKey = Map.groupBy(events, ({ use, key }) => `${use} ${key}`);
  for (const ofKey of byKey.values()) {
    const { use } = ofKey[0]!;
    if (use !== 'account') violations.push(...checks[use](ofKey), ...checkRevisions(ofKey));
  }
  return violations;
}

/** For people: the first few, with the events that prove them. */
export function describeViolations(violations: readonly Violation[]): string {
  return violations
    .slice(0, 10)
    .map(({ rule, key, message, events }) =>
      [`${rule}: key ${key}: ${message}`, ...events.map((event) => `    ${JSON.stringify(event).slice(0, 600)}`)].join(
        '\n',
      ),
    )
    .join('\n');
}
