// Histories of a perfect store, to test the checker with: clients whose operations overlap, each with
// one instant between its call and its answer at which it takes effect; some get no answer, and their
// effect comes late or never. All from one seed.
import type { HistoryEvent, KeyUse, Operation } from './history.ts';
import { auditKey } from './history.ts';
import { SeededRandom } from './seeded-random.ts';

export interface SimulatedEvent extends HistoryEvent {
  /** When it took effect; undefined: never. What a checker cannot know. */
  readonly effectMs: number | undefined;
}

export const simulatedAccounts = { alice: 100, bob: 50, carol: 0 } as const;

const keysByUse: Readonly<Record<Exclude<KeyUse, 'expiring' | 'account'>, readonly string[]>> = {
  register: ['r0', 'r1'],
  counter: ['c0'],
  log: ['l0'],
};

interface Pending {
  readonly client: number;
  readonly use: KeyUse;
  readonly key: string;
  readonly operation: Operation;
  readonly invokedMs: number;
  readonly effectMs: number | undefined;
  readonly returnedMs: number;
  readonly isUnknown: boolean;
}

class PerfectStore {
  readonly #entries = new Map<string, { value: string; revision: number }>();
  readonly balances: Record<string, number> = { ...simulatedAccounts };
  #revision = 0;

  value(key: string): string | null {
    return this.#entries.get(key)?.value ?? null;
  }

  apply(key: string, operation: Operation): Pick<HistoryEvent, 'outcome' | 'result' | 'revision'> {
    const old = this.#entries.get(key);
    switch (operation.kind) {
      case 'read':
        return { outcome: 'ok', result: old?.value ?? null, ...(old && { revision: String(old.revision) }) };
      case 'write':
      case 'writeExpiring':
        return { outcome: 'ok', revision: this.#put(key, operation.value) };
      case 'compareAndSet':
        if (old?.value !== operation.expected) return { outcome: 'conflict' };
        return { outcome: 'ok', revision: this.#put(key, operation.value) };
      case 'delete':
        this.#entries.delete(key);
        return { outcome: 'ok', revision: String(++this.#revision) };
      case 'increment': {
        const result = Number(old?.value ?? 0) + operation.amount;
        return { outcome: 'ok', result, revision: this.#put(key, String(result)) };
      }
      case 'append':
        return { outcome: 'ok', revision: this.#put(key, (old?.value ?? '') + operation.token) };
      case 'transfer':
        if (this.balances[key]! < operation.amount) return { outcome: 'conflict' };
        this.balances[key]! -= operation.amount;
        this.balances[operation.to]! += operation.amount;
        return { outcome: 'ok' };
      case 'audit':
        return { outcome: 'ok', result: { ...this.balances } };
    }
  }

  #put(key: string, value: string): string {
    this.#entries.set(key, { value, revision: ++this.#revision });
    return String(this.#revision);
  }
}

/** Ends with a read of every key and an audit, when everything is quiet. */
export function simulateHistory(seed: number, operations: number, clients: number): SimulatedEvent[] {
  const random = new SeededRandom(seed);
  const store = new PerfectStore();
  const events: SimulatedEvent[] = [];
  const free = Array.from({ length: clients }, () => random.next() * 10);
  const pending: Pending[] = [];
  let made = 0;
  for (;;) {
    const client = free.indexOf(Math.min(...free));
    const nextEffect = pending.toSorted((a, b) => (a.effectMs ?? Infinity) - (b.effectMs ?? Infinity))[0];
    const effectMs = nextEffect?.effectMs ?? Infinity;
    if (made < operations && free[client]! <= effectMs) {
      const one = invoke(random, store, client, free[client]!, made++);
      pending.push(one);
      free[client] = one.returnedMs + 0.01 + random.next() * 5;
    } else if (nextEffect !== undefined) {
      pending.splice(pending.indexOf(nextEffect), 1);
      const { isUnknown, ...event } = nextEffect;
      const applied = event.effectMs === undefined ? undefined : store.apply(event.key, event.operation);
      events.push(isUnknown ? { ...event, outcome: 'unknown' } : { ...event, ...applied! });
    } else break;
  }
  let nowMs = Math.max(0, ...events.flatMap(({ returnedMs, effectMs }) => [returnedMs, effectMs ?? 0])) + 1;
  const last = (use: KeyUse, key: string, operation: Operation): void => {
    const event = { client: 0, use, key, operation, invokedMs: nowMs, effectMs: nowMs + 0.1, returnedMs: nowMs + 0.2 };
    events.push({ ...event, ...store.apply(key, operation) });
    nowMs++;
  };
  for (const [use, keys] of Object.entries(keysByUse)) {
    for (const key of keys) last(use as KeyUse, key, { kind: 'read' });
  }
  last('account', auditKey, { kind: 'audit' });
  return events.toSorted((a, b) => a.returnedMs - b.returnedMs);
}

// oxlint-disable-next-line max-params -- one call site
function invoke(random: SeededRandom, store: PerfectStore, client: number, invokedMs: number, id: number): Pending {
  const { use, key, operation } = choose(random, store, id);
  const isUnknown = operation.kind !== 'read' && operation.kind !== 'audit' && random.chance(0.08);
  const effectMs = invokedMs + 0.01 + random.next() * 8;
  if (!isUnknown)
    return { client, use, key, operation, invokedMs, effectMs, returnedMs: effectMs + random.next() * 8, isUnknown };
  const returnedMs = invokedMs + random.next() * 8;
  const lateMs = random.chance(0.5) ? effectMs + random.next() * 60 : undefined;
  return { client, use, key, operation, invokedMs, effectMs: lateMs, returnedMs, isUnknown };
}

function choose(random: SeededRandom, store: PerfectStore, id: number): Pick<Pending, 'use' | 'key' | 'operation'> {
  const use = random.pick(['register', 'register', 'counter', 'log', 'account'] as const);
  if (use === 'account') {
    if (random.chance(0.3)) return { use, key: auditKey, operation: { kind: 'audit' } };
    const key = random.pick(Object.keys(simulatedAccounts));
    const to = random.pick(Object.keys(simulatedAccounts).filter((name) => name !== key));
    return { use, key, operation: { kind: 'transfer', to, amount: 1 + random.below(40) } };
  }
  const key = random.pick(keysByUse[use]);
  if (random.chance(0.4)) return { use, key, operation: { kind: 'read' } };
  if (use === 'counter') return { use, key, operation: { kind: 'increment', amount: 1 + random.below(3) } };
  if (use === 'log') return { use, key, operation: { kind: 'append', token: `t${id};` } };
  if (random.chance(0.1)) return { use, key, operation: { kind: 'delete' } };
  const value = `v${id}`;
  const current = store.value(key);
  if (current === null || random.chance(0.5)) return { use, key, operation: { kind: 'write', value } };
  return { use, key, operation: { kind: 'compareAndSet', expected: current, value } };
}
