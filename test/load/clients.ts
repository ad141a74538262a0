// The clients: each repeats one kind of work until it is told to stop. Keys change with the generation, so
// that the history of one key stays short enough for the full search.
import { setTimeout as sleep } from 'node:timers/promises';
import type { HistoryEvent, KeyUse } from '../history/history.ts';
import { auditKey } from '../history/history.ts';
import { SeededRandom } from '../process/seeded-random.ts';
import * as many from './many.ts';
import type { Recorder, Worker } from './recorder.ts';
import type { Level } from './steps.ts';
import * as steps from './steps.ts';

export interface Work {
  readonly recorder: Recorder;
  readonly isStopped: () => boolean;
  /** Rises now and then. */
  readonly generation: () => number;
  /** Every key used, for the last reads. */
  readonly keys: Map<string, KeyUse>;
  /** Between two operations of a client, at most. */
  readonly thinkMsMax: number;
}

const holders = ['alice', 'bob', 'carol', 'dave'];
const groups: readonly string[] = ['bank-0', 'bank-1', 'bank-2'];
export const accounts: readonly string[] = groups.flatMap((group) => holders.map((name) => `{${group}}${name}`));
export const initialBalance = 1000;
const ttlMsMin = 700;
const ttlMsMax = 2500;
/** That one client looks at. */
const expiringKeysMax = 20;
const registersAtATime = 6;
const maxLagMs = 1500;

type Client = (work: Work, worker: Worker) => Promise<void>;

/** What an answer takes when nothing is wrong is far below both. */
const patientMs = 15_000;
const impatientMs = 2_500;

/** A seed and a number make the same choices in every run. */
export function newWorker(seed: number, client: number): Worker {
  let ids = 0;
  return {
    client,
    random: new SeededRandom(seed * 1000 + client),
    session: { name: `s${client}`, token: undefined },
    patienceMs: client % 2 === 0 ? patientMs : impatientMs,
    nextId: () => `${seed}-${client}-${ids++}`,
  };
}

function loop(once: (work: Work, worker: Worker) => Promise<unknown>): Client {
  return async (work, worker) => {
    while (!work.isStopped()) {
      await once(work, worker);
      await sleep(worker.random.next() * work.thinkMsMax);
    }
  };
}

function used(work: Work, use: KeyUse, key: string): string {
  work.keys.set(key, use);
  return key;
}

function levelFor({ random }: Worker): Level {
  const dice = random.next();
  if (dice < 0.4) return steps.strong;
  if (dice < 0.75) return { consistency: 'session' };
  return dice < 0.9 ? { consistency: 'eventual' } : { consistency: 'eventual', maxLagMs };
}

function registerOf(work: Work, number: number): string {
  return used(work, 'register', `register-${work.generation()}-${number}`);
}

const registers = loop(async (work, worker) => {
  const { random } = worker;
  const { recorder } = work;
  const who = { use: 'register', key: registerOf(work, random.below(registersAtATime)) } as const;
  const value = `${worker.nextId()} ${'x'.repeat(random.below(200))}`;
  // Half of the writes carry a key and are repeated until they are answered, half stay unknown.
  const id = random.chance(0.5) ? worker.nextId() : undefined;
  if (random.chance(0.1)) return recorder.carryOut(worker, steps.remove(who, id));
  if (random.chance(0.4)) return recorder.carryOut(worker, steps.write(who, value, id));
  const seen = await recorder.carryOut(worker, steps.read(who, levelFor(worker)));
  if (typeof seen.result !== 'string' || random.chance(0.4)) return seen;
  return recorder.carryOut(worker, steps.compareAndSet(who, seen, value, id));
});

const manyKeys = loop(async (work, worker) => {
  const { random } = worker;
  const numbers = Array.from({ length: registersAtATime }, (_, number) => number).filter(() => random.chance(0.6));
  const keys = numbers.map((number) => registerOf(work, number));
  if (keys.length === 0) return;
  if (random.chance(0.5)) return many.readMany(work.recorder, worker, keys, levelFor(worker));
  const writes = keys.map((key) => (random.chance(0.2) ? { key } : { key, value: worker.nextId() }));
  return many.writeMany(work.recorder, worker, writes);
});

const listings = loop((work, worker) => {
  const limit = 1 + worker.random.below(registersAtATime);
  return many.list(work.recorder, worker, `register-${work.generation()}-`, { limit, level: levelFor(worker) });
});

const counters = loop(async (work, worker) => {
  const { random } = worker;
  const who = { use: 'counter', key: used(work, 'counter', `counter-${random.below(3)}`) } as const;
  const isRead = random.chance(0.2);
  const step = isRead ? steps.read(who, levelFor(worker)) : steps.increment(who, worker.nextId());
  await work.recorder.carryOut(worker, step);
});

const logs = loop(async (work, worker) => {
  const { random } = worker;
  const who = { use: 'log', key: used(work, 'log', `log-${work.generation()}-${random.below(2)}`) } as const;
  const isRead = random.chance(0.15);
  const step = isRead ? steps.read(who, levelFor(worker)) : steps.append(who, `${worker.nextId()};`, worker.nextId());
  await work.recorder.carryOut(worker, step);
});

const transfers = loop(async (work, worker) => {
  const { random } = worker;
  const group = random.pick(groups);
  if (random.chance(0.25)) return auditGroup(work, worker, group, levelFor(worker));
  const key = `{${group}}${random.pick(holders)}`;
  const to = random.pick(accounts.filter((name) => name !== key && name.startsWith(`{${group}}`)));
  const who = { use: 'account', key } as const;
  const amount = 1 + random.below(initialBalance);
  return work.recorder.carryOut(worker, steps.transfer(who, to, amount, worker.nextId()));
});

function auditGroup(work: Work, worker: Worker, group: string, level: Level): Promise<HistoryEvent> {
  const who = { use: 'account', key: `{${group}}${auditKey}` } as const;
  const ofGroup = holders.map((name) => `{${group}}${name}`);
  return work.recorder.carryOut(worker, steps.audit(who, ofGroup, level));
}

/** Writes new ones, and looks at those of the last seconds: some should be there, some gone. */
const expiring: Client = (work, worker) => {
  const { random } = worker;
  const { recorder } = work;
  const recent: string[] = [];
  return loop(async () => {
    if (recent.length < expiringKeysMax || random.chance(0.2)) {
      const key = used(work, 'expiring', `expiring-${worker.nextId()}`);
      recent.push(key);
      if (recent.length > expiringKeysMax) recent.shift();
      const ttlMs = ttlMsMin + random.below(ttlMsMax - ttlMsMin);
      const who = { use: 'expiring', key } as const;
      return recorder.carryOut(worker, steps.writeExpiring(who, worker.nextId(), ttlMs, worker.nextId()));
    }
    return recorder.carryOut(worker, steps.read({ use: 'expiring', key: random.pick(recent) }, levelFor(worker)));
  })(work, worker);
};

/** As many as there are clients. */
export const clients: readonly Client[] = [
  ...Array.from({ length: 6 }, () => registers),
  manyKeys,
  listings,
  ...Array.from({ length: 3 }, () => counters),
  ...Array.from({ length: 2 }, () => logs),
  ...Array.from({ length: 3 }, () => transfers),
  ...Array.from({ length: 3 }, () => expiring),
];

export async function openAccounts({ recorder }: Work, worker: Worker): Promise<void> {
  for (const key of accounts) {
    const step = steps.write({ use: 'account', key }, String(initialBalance), worker.nextId());
    const { outcome } = await recorder.look(worker, step);
    if (outcome !== 'ok') throw new Error(`account ${key} could not be opened: ${outcome}`);
  }
}

const readersMax = 8;

/** Of every key that was ever used, strongly. `firstClient`: the number of the first reader, who has no other work. */
export async function readEverything(work: Work, seed: number, firstClient: number): Promise<void> {
  const unread: string[] = [];
  const keys = work.keys.entries();
  const read = async (worker: Worker): Promise<void> => {
    // One iterator for all of them: each takes the next key.
    for (const [key, use] of keys) {
      const { outcome } = await work.recorder.carryOut(worker, steps.read({ use, key }, steps.strong));
      if (outcome !== 'ok') unread.push(key);
    }
  };
  await Promise.all(Array.from({ length: readersMax }, (_, at) => read(newWorker(seed, firstClient + at))));
  for (const group of groups) {
    const { outcome } = await auditGroup(work, newWorker(seed, firstClient), group, steps.strong);
    if (outcome !== 'ok') unread.push(group);
  }
  if (unread.length === 0) return;
  throw new Error(`${unread.length} keys could not be read at the end: ${unread.slice(0, 5).join(', ')}`);
}
