// The requests that the clients of the kill test make, and how their answers are read.
import type { HistoryEvent } from '../../history/history.ts';
import type { Meaning, Step } from './recorder.ts';

export const store = 'kill';
const base = `/v1/stores/${store}`;
const keyPath = (key: string): string => `${base}/keys/${encodeURIComponent(key)}`;
const text = { 'content-type': 'text/plain' };
const json = { 'content-type': 'application/json' };

type Who = Pick<HistoryEvent, 'client' | 'use' | 'key'>;

function once(id: string | undefined): Record<string, string> {
  return id === undefined ? {} : { 'idempotency-key': id };
}

const written: Meaning = ({ status, revision }) => {
  if (status === 412) return { outcome: 'conflict' };
  return status === 200 || status === 201 ? { outcome: 'ok', revision: revision! } : undefined;
};

export function read(who: Who, strong: boolean): Step {
  return {
    ...who,
    operation: { kind: 'read' },
    request: { method: 'GET', path: keyPath(who.key) + (strong ? '?consistency=strong' : '') },
    repeatable: true,
    meaning: ({ status, code, body, revision }) => {
      if (status === 200) return { outcome: 'ok', result: body, revision: revision! };
      return code === 'not_found' ? { outcome: 'ok', result: null } : undefined;
    },
  };
}

/** `id`: an Idempotency-Key; without one the outcome may stay unknown. */
export function write(who: Who, value: string, id: string | undefined): Step {
  return {
    ...who,
    operation: { kind: 'write', value },
    request: { method: 'PUT', path: keyPath(who.key), headers: { ...text, ...once(id) }, body: value },
    repeatable: id !== undefined,
    meaning: written,
  };
}

export function compareAndSet(who: Who, seen: HistoryEvent, value: string, id: string | undefined): Step {
  return {
    ...who,
    operation: { kind: 'compareAndSet', expected: seen.result as string, value },
    request: {
      method: 'PUT',
      path: keyPath(who.key),
      headers: { ...text, ...once(id), 'if-match': `"${seen.revision}"` },
      body: value,
    },
    repeatable: id !== undefined,
    meaning: written,
  };
}

export function remove(who: Who, id: string | undefined): Step {
  return {
    ...who,
    operation: { kind: 'delete' },
    request: { method: 'DELETE', path: keyPath(who.key), headers: once(id) },
    repeatable: id !== undefined,
    meaning: ({ status }) => (status === 200 ? { outcome: 'ok' } : undefined),
  };
}

export function increment(who: Who, id: string): Step {
  return {
    ...who,
    operation: { kind: 'increment', amount: 1 },
    request: {
      method: 'POST',
      path: `${keyPath(who.key)}/increment`,
      headers: { ...json, ...once(id) },
      body: JSON.stringify({ delta: 1 }),
    },
    repeatable: true,
    meaning: ({ status, body, revision }) => {
      if (status !== 200 && status !== 201) return undefined;
      return { outcome: 'ok', result: (JSON.parse(body) as { value: number }).value, revision: revision! };
    },
  };
}

export function append(who: Who, token: string, id: string): Step {
  return {
    ...who,
    operation: { kind: 'append', token },
    request: { method: 'POST', path: `${keyPath(who.key)}/append`, headers: { ...text, ...once(id) }, body: token },
    repeatable: true,
    meaning: written,
  };
}

export function writeExpiring(who: Who, value: string, ttlMs: number, id: string): Step {
  return {
    ...who,
    operation: { kind: 'writeExpiring', value, ttlMs },
    request: {
      method: 'PUT',
      path: `${keyPath(who.key)}?ttl=${ttlMs}ms`,
      headers: { ...text, ...once(id) },
      body: value,
    },
    repeatable: true,
    meaning: written,
  };
}

/** Two increments, the first not below 0: both or none. */
export function transfer(who: Who, to: string, amount: number, id: string): Step {
  const operations = [
    { op: 'increment', key: who.key, delta: -amount, min: 0 },
    { op: 'increment', key: to, delta: amount },
  ];
  return {
    ...who,
    operation: { kind: 'transfer', to, amount },
    request: transaction([], operations, id),
    repeatable: true,
    meaning: ({ status, code }) => {
      if (status === 200) return { outcome: 'ok' };
      return code === 'out_of_bounds' ? { outcome: 'conflict' } : undefined;
    },
  };
}

/**
 * Confirms balances that were read one by one: a transaction that succeeds only where every account still
 * has the revision that was read, so all of them were so at one instant.
 */
export function audit(who: Who, accounts: readonly HistoryEvent[], id: string): Step {
  const checks = accounts.map(({ key, revision }) => ({ key, ifMatch: `"${revision}"` }));
  const balances = Object.fromEntries(accounts.map(({ key, result }) => [key, Number(result)]));
  const operations = [{ op: 'put', key: who.key, value: id }];
  return {
    ...who,
    operation: { kind: 'audit' },
    request: transaction(checks, operations, id),
    repeatable: true,
    meaning: ({ status, code }) => {
      if (status === 200) return { outcome: 'ok', result: balances };
      // Somebody moved money in between: no audit took place.
      return code === 'precondition_failed' ? { outcome: 'refused' } : undefined;
    },
  };
}

function transaction(checks: readonly object[], operations: readonly object[], id: string): Step['request'] {
  const body = JSON.stringify({ ...(checks.length > 0 && { checks }), operations });
  return { method: 'POST', path: `${base}/transactions`, headers: { ...json, ...once(id) }, body };
}
