// What the clients of the simulated world do. Each family of keys carries a check of its own: tokens and
// counters (once), accounts (atomic), registers (linearizable), leases (time to live), scratch (clear),
// small (quota).
import type { BinaryString, CommandBody, Condition, Operation, Ttl } from '@statestore/core';
import { bytesFromBinary } from '@statestore/core';
import type { Consistency } from '@statestore/link';
import type { SeededRandom } from '../process/seeded-random.ts';

export const tokenKeys = ['tokens-0', 'tokens-1'] as const;
export const counterKeys = ['count-0', 'count-1'] as const;
export const accountKeys = ['account-0', 'account-1', 'account-2'] as const;
export const registerKeys = ['register-0', 'register-1', 'register-2'] as const;
export const leaseKeys = ['lease-0', 'lease-1'] as const;
/** The store of all of them but scratch and small. */
export const mainStore = 'main';
export const stores = [mainStore, 'scratch', 'small'] as const;

const always: Condition = { kind: 'none' };
const never: Ttl = { kind: 'never' };

export interface DrawnWrite {
  readonly body: CommandBody;
  /** Whether the application gives it an Idempotency-Key. */
  readonly named: boolean;
}

export function drawWrite(random: SeededRandom, token: string): DrawnWrite {
  const choice = random.below(20);
  if (choice < 4) return { body: mutate(append(random.pick(tokenKeys), token)), named: random.chance(0.3) };
  if (choice < 7) return { body: mutate(increment(random.pick(counterKeys), 1n)), named: random.chance(0.3) };
  if (choice < 9) return { body: transfer(random), named: false };
  if (choice < 14) return { body: mutate(registerWrite(random, token)), named: false };
  if (choice < 16)
    return {
      body: mutate(put(random.pick(leaseKeys), token, { kind: 'after', ms: 1 + random.below(3000) })),
      named: false,
    };
  if (choice < 18) return { body: inScratch(random, token), named: false };
  if (choice === 18) return { body: mutateIn('small', put(`small-${random.below(6)}`, token, never)), named: false };
  return { body: configure(random), named: false };
}

function mutate(operation: Operation): CommandBody {
  return mutateIn(mainStore, operation);
}

function mutateIn(store: string, ...operations: readonly Operation[]): CommandBody {
  return { kind: 'mutate', store, atomic: false, checks: [], operations };
}

function put(key: BinaryString, text: string, ttl: Ttl, condition = always): Operation {
  return { kind: 'put', key, condition, value: bytesFromBinary(text), contentType: 'text/plain', ttl };
}

function append(key: BinaryString, text: string): Operation {
  return { kind: 'append', key, condition: always, value: bytesFromBinary(text), contentType: '', ttl: never };
}

function increment(key: BinaryString, delta: bigint): Operation {
  return { kind: 'increment', key, condition: always, delta, ttl: never };
}

/** Between two accounts, and noted in a third place: all or nothing. Some are refused by a bound. */
function transfer(random: SeededRandom): CommandBody {
  const from = random.pick(accountKeys);
  const to = random.pick(accountKeys.filter((key) => key !== from));
  const amount = BigInt(1 + random.below(5));
  const bounded: Operation = { ...increment(from, -amount), min: -10n } as Operation;
  return { kind: 'mutate', store: mainStore, atomic: true, checks: [], operations: [increment(to, amount), bounded] };
}

function registerWrite(random: SeededRandom, token: string): Operation {
  const key = random.pick(registerKeys);
  const condition = random.pick<Condition>([
    always,
    always,
    { kind: 'absent' },
    { kind: 'exists' },
    { kind: 'revision', revision: BigInt(random.below(40)) },
  ]);
  return random.chance(0.25) ? { kind: 'delete', key, condition } : put(key, token, never, condition);
}

function inScratch(random: SeededRandom, token: string): CommandBody {
  if (random.chance(0.2)) return { kind: 'clear', store: 'scratch' };
  const ttl: Ttl = random.chance(0.5) ? never : { kind: 'after', ms: 1 + random.below(2000) };
  return mutateIn(
    'scratch',
    put(`scratch-${random.below(5)}`, token, ttl),
    put(`scratch-${random.below(5)}`, token, never),
  );
}

function configure(random: SeededRandom): CommandBody {
  const quotaEntries = random.below(6);
  const settings = { defaultTtlMs: random.pick([0, 700]), quotaEntries, quotaBytes: undefined };
  const settingsVersion = random.below(1000);
  const allowance = { allowanceEntries: quotaEntries, allowanceBytes: undefined };
  return { kind: 'configure', store: 'small', settings, settingsVersion, ...allowance };
}

export interface DrawnRead {
  readonly store: string;
  readonly keys: readonly BinaryString[];
  readonly consistency: Consistency;
}

/** Of what a client just wrote, as far as it is in the main store. */
export function drawReadOf(random: SeededRandom, body: CommandBody): DrawnRead {
  const consistency = random.pick<Consistency>(['strong', 'session']);
  const keys =
    body.kind === 'mutate' && body.store === mainStore ? body.operations.map(({ key }) => key) : registerKeys;
  return { store: mainStore, keys, consistency };
}

export function drawRead(random: SeededRandom): DrawnRead {
  const consistency = random.pick<Consistency>(['strong', 'strong', 'session', 'session', 'eventual']);
  const keys = random.pick<readonly BinaryString[]>([
    accountKeys,
    [random.pick(registerKeys)],
    [random.pick(registerKeys)],
    registerKeys,
    [random.pick(tokenKeys)],
    [random.pick(counterKeys)],
    [random.pick(leaseKeys)],
  ]);
  return { store: mainStore, keys, consistency };
}
