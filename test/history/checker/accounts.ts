// Accounts: transfers between two keys, audits of a whole group of them. A group is one object: its sum
// never changes, and there is one order of transfers and audits that explains every balance.
import type { HistoryEvent } from '../history.ts';
import { isRelaxed } from '../history.ts';
import type { Call, Model } from './linearizability.ts';
import { linearize } from './linearizability.ts';
import type { Violation } from './violation.ts';
import { violation } from './violation.ts';

export type Balances = Readonly<Record<string, number>>;

/** What is between the braces of an account's key; accounts without are one group. */
export function groupOf(key: string): string {
  return /\{([^}]+)\}/.exec(key)?.[1] ?? '';
}

/** Events of one group. */
export function checkAccounts(events: readonly HistoryEvent[], initial: Balances): Violation[] {
  const total = sum(initial);
  const violations: Violation[] = [];
  for (const event of events) {
    if (event.operation.kind !== 'audit' || event.outcome !== 'ok') continue;
    const balances = event.result as Balances;
    if (sum(balances) === total) continue;
    violations.push(violation('not atomic', `the accounts hold ${sum(balances)} together, not ${total}`, event));
  }
  if (violations.length > 0) return violations;
  const calls = callsOf(events);
  if (calls.length === 0) return [];
  const verdict = linearize(model(initial), calls);
  if (verdict.kind === 'linearizable') return [];
  if (verdict.kind === 'undecided') return [violation('undecided', `gave up after ${verdict.steps} steps`, events[0]!)];
  const message = `no order of the transfers explains this; at most ${verdict.ordered} of ${calls.length} can be ordered`;
  return [violation('not linearizable', message, verdict.stuck.operation)];
}

function callsOf(events: readonly HistoryEvent[]): Call<HistoryEvent>[] {
  const calls: Call<HistoryEvent>[] = [];
  /** Of each session, the last that is certain. */
  const sessions = new Map<string, Call<HistoryEvent>>();
  for (const event of events.toSorted((a, b) => a.invokedMs - b.invokedMs)) {
    const { operation, outcome, invokedMs, returnedMs, revision, session = '' } = event;
    if (outcome === 'refused' || (outcome === 'unknown' && operation.kind !== 'transfer')) continue;
    const after = event.consistency === 'session' ? sessions.get(session) : undefined;
    const call: Call<HistoryEvent> = {
      operation: event,
      invokedMs: isRelaxed(event) ? (after?.invokedMs ?? -Infinity) : invokedMs,
      returnedMs: outcome === 'unknown' ? Infinity : returnedMs,
      ...(after !== undefined && { after }),
      ...(revision !== undefined && { place: BigInt(revision) }),
    };
    calls.push(call);
    if (outcome === 'ok' && event.consistency !== 'eventual') sessions.set(session, call);
  }
  return calls;
}

function model(initial: Balances): Model<Balances, HistoryEvent> {
  const names = Object.keys(initial);
  return {
    initial,
    key: (state) => names.map((name) => state[name]).join(),
    observes: ({ operation, outcome }) => operation.kind === 'audit' || outcome === 'conflict',
    step(state, { key, operation, outcome, result }) {
      if (operation.kind === 'audit') {
        const seen = result as Balances;
        return names.every((name) => seen[name] === state[name]) ? state : undefined;
      }
      if (operation.kind !== 'transfer') throw new Error(`accounts know no ${operation.kind}`);
      const { to, amount } = operation;
      const hasFunds = state[key]! >= amount;
      // Refused for lack of funds: then they must have been lacking.
      if (outcome === 'conflict') return hasFunds ? undefined : state;
      if (!hasFunds) return undefined;
      const next = { ...state, [key]: state[key]! - amount, [to]: state[to]! + amount };
      const told = (result ?? {}) as Balances;
      return Object.keys(told).every((name) => told[name] === next[name]) ? next : undefined;
    },
  };
}

function sum(balances: Balances): number {
  return Object.values(balances).reduce((all, balance) => all + balance, 0);
}
