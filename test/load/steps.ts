// The requests of one key or one transaction that clients make, and how their answers are read.
import type { Consistency, HistoryEvent } from '../history/history.ts';
import type { Request } from './gateway-client.ts';
import { isComplete, partsOf } from './parts.ts';
import type { Meaning, Step } from './recorder.ts';

const keyPath = (key: string): string => `/keys/${encodeURIComponent(key)}`;
const text = { 'content-type': 'text/plain' };
const json = { 'content-type': 'application/json' };

export type Who = Pick<HistoryEvent, 'use' | 'key'>;

/** How a read is to be answered. */
export interface Level {
  readonly consistency: Consistency;
  readonly maxLagMs?: number;
}

export const strong: Level = { consistency: 'strong' };

export function queryOf({ consistency, maxLagMs }: Level): string {
  return `consistency=${consistency}${maxLagMs === undefined ? '' : `&maxLagMs=${maxLagMs}`}`;
}

function once(id: string | undefined): Record<string, string> {
  return id === undefined ? {} : { 'idempotency-key': id };
}

const written: Meaning = ({ status, revision }) => {
  if (status === 412) return { outcome: 'conflict' };
  return status === 200 || status === 201 ? { outcome: 'ok', revision: revision! } : undefined;
};

export function read(who: Who, level: Level): Step {
  return {
    ...who,
    ...level,
    operation: { kind: 'read' },
    request: { method: 'GET', path: `${keyPath(who.key)}?${queryOf(level)}` },
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
    request: {
      method: 'POST',
      path: '/transactions',
      headers: { ...json, ...once(id) },
      body: JSON.stringify({ operations }),
    },
    repeatable: true,
    meaning: ({ status, code, body }) => {
      if (status !== 200) return code === 'out_of_bounds' ? { outcome: 'conflict' } : undefined;
      const { results } = JSON.parse(body) as { results: { key: string; value: number; etag: string }[] };
      return {
        outcome: 'ok',
        result: Object.fromEntries(results.map(({ key, value }) => [key, value])),
        ...revisionsOf(results),
      };
    },
  };
}

/** All accounts of a group, which lie in one partition, so one state of it answers. */
export function audit(who: Who, accounts: readonly string[], level: Level): Step {
  return {
    ...who,
    ...level,
    operation: { kind: 'audit' },
    request: manyKeys(
      accounts.map((key) => ({ op: 'get', key })),
      level,
      undefined,
    ),
    repeatable: true,
    isComplete,
    meaning: (answer) => {
      const parts = partsOf(answer);
      if (parts === undefined || parts.some(({ status }) => status !== 200)) return undefined;
      return {
        outcome: 'ok',
        result: Object.fromEntries(parts.map(({ key, value }) => [key, Number(value)])),
        ...revisionsOf(parts.map(({ key, etag }) => ({ key, etag: etag! }))),
      };
    },
  };
}

export function manyKeys(operations: readonly object[], level: Level | undefined, id: string | undefined): Request {
  return {
    method: 'POST',
    path: `/batch${level === undefined ? '' : `?${queryOf(level)}`}`,
    headers: { ...json, ...once(id) },
    body: JSON.stringify({ operations }),
  };
}

function revisionsOf(
  results: readonly { readonly key: string; readonly etag: string }[],
): Pick<HistoryEvent, 'revision' | 'revisions'> {
  const revisions = results.map(({ key, etag }) => [key, etag.replaceAll('"', '')] as const);
  const highest = revisions.map(([, revision]) => BigInt(revision)).reduce((a, b) => (a > b ? a : b));
  return { revision: String(highest), revisions: Object.fromEntries(revisions) };
}
