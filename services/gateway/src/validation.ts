// JSON bodies against their schemas, compiled once. The message names the field: what a person needs
// who mistyped it.
import { StateStoreError } from '@statestore/core';
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';

export type BodyCheck<T> = (body: unknown) => T;

/** Throws `invalid_body`. Nothing is coerced, filled in or removed. */
export function bodyCheck<T extends TSchema>(schema: T): BodyCheck<Static<T>> {
  const validator = Compile(schema);
  return (body) => {
    if (validator.Check(body)) return body;
    throw new StateStoreError('invalid_body', firstProblem(validator.Errors(body)));
  };
}

interface Finding {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: object;
  readonly message: string;
}

function firstProblem(found: Iterable<Finding>): string {
  const findings = [...found];
  const unknown = findings.find(({ keyword }) => keyword === 'additionalProperties');
  if (unknown !== undefined && 'additionalProperties' in unknown.params) {
    const names = (unknown.params.additionalProperties as string[])
      .slice(0, 5)
      .map((name) => JSON.stringify(name.slice(0, 60)));
    return `${place(unknown.instancePath)} has the unknown field ${names.join(', ')}`;
  }
  const [first] = findings;
  return first === undefined ? 'the body does not fit' : `${place(first.instancePath)} ${demand(first)}`;
}

function demand({ keyword, params, message }: Finding): string {
  if (keyword !== 'enum' || !('allowedValues' in params)) return message;
  return `must be one of ${(params.allowedValues as unknown[]).join(', ')}`;
}

function place(path: string): string {
  if (path === '') return 'the body';
  return path
    .slice(1)
    .replaceAll(/\/(\d+)(?=\/|$)/g, '[$1]')
    .replaceAll('/', '.')
    .slice(0, 200);
}
