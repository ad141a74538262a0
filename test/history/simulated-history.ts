// Histories of a perfect store, to test the checker with: clients whose operations overlap, each with
// one instant between its call and its answer at which it takes effect; some get no answer, and their
// effect comes late or never; some read from a replica that lags. All from one seed.
import { SeededRandom } from '../process/seeded-random.ts';
import type { Consistency, HistoryEvent, KeyUse, Operation } from './history.ts';
import { auditKey } from './history.ts';
import { PerfectStore, simulatedAccounts, simulatedRegisters } from './simulated-store.ts';

export { simulatedAccounts };

export interface SimulatedEvent extends HistoryEvent {
  /** When it took effect; undefined: never. What a checker cannot know. */
  readonly effectMs: number | undefined;
}

const keysByUse: Readonly<Record<Exclude<KeyUse, 'expiring' | 'account'>, readonly string[]>> = {
  register: simulatedRegisters,
  counter: ['c0'],
  log: ['l0'],
};
const expiringKeys: readonly string[] = ['e0', 'e1', 'e2'];

interface Choice {
  readonly use: KeyUse;
  readonly key: string;
  readonly operation: Operation;
  readonly consistency?: Consistency;
}

interface Pending extends Choice {
  readonly client: number;
  readonly session: string;
  readonly partition: number;
  readonly invokedMs: number;
  readonly effectMs: number | undefined;
  readonly returnedMs: number;
  readonly isUnknown: boolean;
}

/** A replica that lags is at most this many effects behind. */
const lagMax = 12;
/** Writes of entries with a time to live, once each. */
const ttlMs = 150;

class Simulation {
  readonly #random: SeededRandom;
  readonly #store = new PerfectStore();
  readonly #events: SimulatedEvent[] = [];
  /** By client: the position that its session was told of. */
  readonly #floors: number[];
  /** By client: when it is free. */
  readonly #free: number[];
  readonly #fresh = [...expiringKeys];
  #made = 0;

  readonly #unknownShare: number;

  constructor(seed: number, clients: number, unknownShare: number) {
    this.#unknownShare = unknownShare;
    this.#random = new SeededRandom(seed);
    this.#free = Array.from({ length: clients }, () => this.#random.next() * 10);
    this.#floors = Array.from({ length: clients }, () => 0);
  }

  run(operations: number): SimulatedEvent[] {
    const pending: Pending[] = [];
    for (;;) {
      const client = this.#free.indexOf(Math.min(...this.#free));
      const nextEffect = pending.toSorted((a, b) => (a.effectMs ?? Infinity) - (b.effectMs ?? Infinity))[0];
      const effectMs = nextEffect?.effectMs ?? Infinity;
      if (this.#made < operations && this.#free[client]! <= effectMs) {
        const one = this.#invoke(client, this.#free[client]!);
        pending.push(one);
        this.#free[client] = one.returnedMs + 0.01 + this.#random.next() * 5;
      } else if (nextEffect !== undefined) {
        pending.splice(pending.indexOf(nextEffect), 1);
        this.#takeEffect(nextEffect);
      } else break;
    }
    this.#readEverything();
    return this.#events.toSorted((a, b) => a.returnedMs - b.returnedMs);
  }

  #invoke(client: number, invokedMs: number): Pending {
    const choice = this.#choose(invokedMs);
    const isUnknown = !isRead(choice.operation) && this.#random.chance(this.#unknownShare);
    const base = { ...choice, client, session: `s${client}`, partition: 0, invokedMs, isUnknown };
    const effectMs = invokedMs + 0.01 + this.#random.next() * 8;
    if (!isUnknown) return { ...base, effectMs, returnedMs: effectMs + this.#random.next() * 8 };
    const returnedMs = invokedMs + this.#random.next() * 8;
    return {
      ...base,
      effectMs: this.#random.chance(0.5) ? effectMs + this.#random.next() * 60 : undefined,
      returnedMs,
    };
  }

  #takeEffect({ isUnknown, ...event }: Pending): void {
    const { key, operation, effectMs, client } = event;
    if (effectMs === undefined) return void this.#events.push({ ...event, outcome: 'unknown' });
    if (isRead(operation)) {
      const position = this.#positionFor(event);
      if (event.consistency !== 'eventual') this.#floors[client] = Math.max(this.#floors[client]!, position);
      return void this.#events.push({ ...event, ...this.#store.read(key, operation, position, effectMs) });
    }
    const answer = this.#store.write(key, operation, effectMs);
    if (isUnknown) return void this.#events.push({ ...event, outcome: 'unknown' });
    // A refused condition tells its session nothing.
    if (answer.outcome === 'ok') this.#floors[client] = this.#store.position;
    this.#events.push({ ...event, ...answer });
  }

  #positionFor({ consistency, client }: Omit<Pending, 'isUnknown'>): number {
    const { position, firstPosition } = this.#store;
    const lagging = Math.max(firstPosition, position - this.#random.below(lagMax));
    if (consistency === 'eventual') return lagging;
    return consistency === 'session' ? Math.max(this.#floors[client]!, lagging) : position;
  }

  #readEverything(): void {
    let nowMs = Math.max(0, ...this.#events.flatMap((one) => [one.returnedMs, one.effectMs ?? 0])) + 1;
    const last = (use: KeyUse, key: string, operation: Operation): void => {
      const base = { client: 0, use, key, operation, partition: 0 };
      const times = { invokedMs: nowMs, effectMs: nowMs + 0.1, returnedMs: nowMs + 0.2 };
      this.#events.push({
        ...base,
        ...times,
        ...this.#store.read(key, operation, this.#store.position, times.effectMs),
      });
      nowMs++;
    };
    for (const [use, keys] of Object.entries(keysByUse)) {
      for (const key of keys) last(use as KeyUse, key, { kind: 'read' });
    }
    last('account', auditKey, { kind: 'audit' });
  }

  #choose(nowMs: number): Choice {
    const random = this.#random;
    const use = random.pick(['register', 'register', 'register', 'counter', 'log', 'account', 'expiring'] as const);
    const id = this.#made++;
    if (use === 'account') return this.#chooseAccount();
    if (use === 'expiring') {
      const fresh = random.chance(0.3) ? this.#fresh.pop() : undefined;
      const operation = { kind: 'writeExpiring', value: `v${id}`, ttlMs } as const;
      if (fresh !== undefined) return { use, key: fresh, operation };
      return { use, key: random.pick(expiringKeys), ...this.#read({ kind: 'read' }) };
    }
    if (use === 'register' && random.chance(0.1)) {
      return { use, key: 'r', ...this.#read({ kind: 'scan', prefix: 'r' }) };
    }
    const key = random.pick(keysByUse[use]);
    if (random.chance(0.4)) return { use, key, ...this.#read({ kind: 'read' }) };
    if (use === 'counter') return { use, key, operation: { kind: 'increment', amount: 1 + random.below(3) } };
    if (use === 'log') return { use, key, operation: { kind: 'append', token: `t${id};` } };
    if (random.chance(0.1)) return { use, key, operation: { kind: 'delete' } };
    const value = `v${id}`;
    const current = this.#store.value(key, nowMs);
    if (current === null || random.chance(0.5)) return { use, key, operation: { kind: 'write', value } };
    return { use, key, operation: { kind: 'compareAndSet', expected: current, value } };
  }

  #chooseAccount(): Choice {
    const random = this.#random;
    if (random.chance(0.3)) return { use: 'account', key: auditKey, ...this.#read({ kind: 'audit' }) };
    const key = random.pick(Object.keys(simulatedAccounts));
    const to = random.pick(Object.keys(simulatedAccounts).filter((name) => name !== key));
    return { use: 'account', key, operation: { kind: 'transfer', to, amount: 1 + random.below(40) } };
  }

  #read(operation: Operation): Pick<Choice, 'operation' | 'consistency'> {
    return { operation, consistency: this.#random.pick(['strong', 'strong', 'session', 'eventual'] as const) };
  }
}

function isRead({ kind }: Operation): boolean {
  return kind === 'read' || kind === 'audit' || kind === 'scan';
}

/** Ends with a read of every key and an audit, when everything is quiet. `unknownShare`: of all writes. */
export function simulateHistory(
  seed: number,
  operations: number,
  clients: number,
  unknownShare = 0.08,
): SimulatedEvent[] {
  return new Simulation(seed, clients, unknownShare).run(operations);
}
