// Query strings, read strictly: an unknown or doubled parameter is refused by name, since a typing
// error in `ttl` would otherwise be a value that never expires. Fastify hands the raw text over.
import { limits, StateStoreError } from '@statestore/core';
import type { Consistency, ReadOptions } from '@statestore/link';

/** What the router's querystringParser makes: the text, unread. */
export interface RawQuery {
  readonly text: string;
}

export const noQuery: RawQuery = { text: '' };

export function keepQuery(text: string): { [key: string]: unknown } {
  return (text === '' ? noQuery : { text }) as { [key: string]: unknown } & RawQuery;
}

export type Query<Name extends string> = Partial<Record<Name, string>>;
const none = {};

/** Parameters by name. Throws `invalid_parameter` or `invalid_url`. */
export function readQuery<Name extends string>(raw: unknown, names: readonly Name[]): Query<Name> {
  const { text } = raw as RawQuery;
  if (text === '') return none;
  const query: Query<Name> = {};
  const parts = text.split('&', limits.queryParametersMax + 1);
  if (parts.length > limits.queryParametersMax) {
    throw new StateStoreError('invalid_parameter', `there are more than ${limits.queryParametersMax} parameters`);
  }
  for (const part of parts) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = decode(equals === -1 ? part : part.slice(0, equals)) as Name;
    if (!names.includes(name)) {
      const known = names.length === 0 ? 'there are none here' : `there are ${names.join(', ')}`;
      throw invalidParameter(name, `is not known; ${known}`);
    }
    if (query[name] !== undefined) throw invalidParameter(name, 'is given twice');
    query[name] = equals === -1 ? '' : decode(part.slice(equals + 1));
  }
  return query;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new StateStoreError('invalid_url', `${JSON.stringify(text.slice(0, 60))} is not valid percent-encoding`);
  }
}

export function invalidParameter(name: string, why: string): StateStoreError {
  const shown = name.length > 60 ? `${name.slice(0, 60)}…` : name;
  return new StateStoreError('invalid_parameter', `the parameter ${JSON.stringify(shown)} ${why}`, {
    extra: { parameter: shown },
  });
}

export function readBoolean(name: string, text: string | undefined): boolean {
  if (text === undefined || text === 'false') return false;
  if (text === 'true') return true;
  throw invalidParameter(name, `is ${JSON.stringify(text.slice(0, 20))}; it may be true or false`);
}

/** 1 ≤ value ≤ max. */
export function readCount(name: string, text: string | undefined, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 1 && value <= max) return value;
  throw invalidParameter(name, `is ${JSON.stringify(text.slice(0, 20))}; it may be 1 to ${max}`);
}

export const sessionRead: ReadOptions = { consistency: 'session' };
const reads: Readonly<Record<Consistency, ReadOptions>> = {
  session: sessionRead,
  strong: { consistency: 'strong' },
  eventual: { consistency: 'eventual' },
};

/** The parameters that say how to read. */
export const readParameters = ['consistency', 'maxLagMs'] as const;

export function readOptionsOf({ consistency, maxLagMs }: Query<(typeof readParameters)[number]>): ReadOptions {
  const options = consistency === undefined ? sessionRead : named(consistency);
  const lagMs = readCount('maxLagMs', maxLagMs, limits.maxLagMsMax);
  if (lagMs === undefined) return options;
  if (options.consistency !== 'eventual') {
    throw invalidParameter('maxLagMs', `is given with consistency ${options.consistency}; it may be with eventual`);
  }
  return { consistency: 'eventual', maxLagMs: lagMs };
}

function named(text: string): ReadOptions {
  if (Object.hasOwn(reads, text)) return reads[text as Consistency];
  throw invalidParameter(
    'consistency',
    `is ${JSON.stringify(text.slice(0, 20))}; it may be session, strong or eventual`,
  );
}
