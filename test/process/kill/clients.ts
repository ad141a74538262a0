// The clients of the kill test: each repeats one kind of work until it is told to stop. Keys change with
// the generation (some kills), so that histories of one key stay short enough for the full search.
import { setTimeout as sleep } from 'node:timers/promises';
import type { HistoryEvent, KeyUse } from '../../history/history.ts';
import { auditKey } from '../../history/history.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { Recorder } from './recorder.ts';
import * as steps from './steps.ts';

export interface Work {
  readonly recorder: Recorder;
  readonly random: SeededRandom;
  /** Unique in the run: makes values, tokens and Idempotency-Keys. */
  nextId(): string;
  readonly isStopped: () => boolean;
  /** Rises now and then. */
  readonly generation: () => number;
  /** Every key used, for the last reads. */
  readonly keys: Map<string, KeyUse>;
}

export const accounts: readonly string[] = ['alice', 'bob', 'carol', 'dave'].map((name) => `{bank}${name}`);
export const initialBalance = 1000;
const auditedKey = `{bank}${auditKey}`;
const thinkMsMax = 4;
const ttlMsMin = 700;
const ttlMsMax = 2500;
/** That one client looks at. */
const expiringKeysMax = 20;

type Client = (work: Work, client: number) => Promise<void>;

function loop(once: (work: Work, client: number) => Promise<unknown>): Client {
  return async (work, client) => {
    while (!work.isStopped()) {
      await once(work, client);
      await sleep(work.random.next() * thinkMsMax);
    }
  };
}

function used(work: Work, use: KeyUse, key: string): string {
  work.keys.set(key, use);
  return key;
}

const registers = loop(async (work, client) => {
  const { random, recorder } = work;
  const key = used(work, 'register', `register-${work.generation()}-${random.below(6)}`);
  const who = { client, use: 'register', key } as const;
  const value = `${work.nextId()} ${'x'.repeat(random.below(200))}`;
  // Half of the writes carry a key and are repeated until they are answered, half stay unknown.
  const id = random.chance(0.5) ? work.nextId() : undefined;
  if (random.chance(0.1)) return recorder.carryOut(steps.remove(who, id));
  if (random.chance(0.4)) return recorder.carryOut(steps.write(who, value, id));
  const seen = await recorder.carryOut(steps.read(who, random.chance(0.5)));
  if (typeof seen.result !== 'string' || random.chance(0.4)) return seen;
  return recorder.carryOut(steps.compareAndSet(who, seen, value, id));
});

const counters = loop(async (work, client) => {
  const { random, recorder } = work;
  const who = { client, use: 'counter', key: used(work, 'counter', `counter-${random.below(3)}`) } as const;
  await recorder.carryOut(random.chance(0.2) ? steps.read(who, false) : steps.increment(who, work.nextId()));
});

const logs = loop(async (work, client) => {
  const { random, recorder } = work;
  const who = { client, use: 'log', key: used(work, 'log', `log-${work.generation()}-${random.below(2)}`) } as const;
  const isRead = random.chance(0.15);
  await recorder.carryOut(isRead ? steps.read(who, false) : steps.append(who, `${work.nextId()};`, work.nextId()));
});

const transfers = loop(async (work, client) => {
  const { random, recorder } = work;
  if (random.chance(0.15)) return audited(work, client);
  const key = random.pick(accounts);
  const to = random.pick(accounts.filter((name) => name !== key));
  const who = { client, use: 'account', key } as const;
  return recorder.carryOut(steps.transfer(who, to, 1 + random.below(initialBalance), work.nextId()));
});

/** Undefined where the accounts would not hold still. */
export async function audited(work: Work, client: number): Promise<HistoryEvent | undefined> {
  const { recorder } = work;
  for (let round = 0; round < 5; round++) {
    // Not at one instant, so no part of the history: the transaction makes an audit of them.
    const seen = await Promise.all(
      accounts.map((key) => recorder.look(steps.read({ client, use: 'account', key }, false))),
    );
    if (seen.some((one) => typeof one.result !== 'string')) continue;
    const event = await recorder.carryOut(
      steps.audit({ client, use: 'account', key: auditedKey }, seen, work.nextId()),
    );
    if (event.outcome === 'ok') return event;
  }
  return undefined;
}

/** Writes new ones, and looks at those of the last seconds: some should be there, some gone. */
const expiring: Client = (work, client) => {
  const { random, recorder } = work;
  const recent: string[] = [];
  return loop(async () => {
    if (recent.length < expiringKeysMax || random.chance(0.2)) {
      const key = used(work, 'expiring', `expiring-${work.nextId()}`);
      recent.push(key);
      if (recent.length > expiringKeysMax) recent.shift();
      const ttlMs = ttlMsMin + random.below(ttlMsMax - ttlMsMin);
      const who = { client, use: 'expiring', key } as const;
      return recorder.carryOut(steps.writeExpiring(who, work.nextId(), ttlMs, work.nextId()));
    }
    return recorder.carryOut(steps.read({ client, use: 'expiring', key: random.pick(recent) }, false));
  })(work, client);
};

/** As many as there are clients. */
export const clients: readonly Client[] = [
  ...Array.from({ length: 5 }, () => registers),
  ...Array.from({ length: 3 }, () => counters),
  ...Array.from({ length: 2 }, () => logs),
  ...Array.from({ length: 3 }, () => transfers),
  ...Array.from({ length: 3 }, () => expiring),
];
