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
  return first === undefined ? 'the body does not fit' : `${place(first.instancePath)} ${first.message}`;
}

function place(path: string): string {
  return path === '' ? 'the body' : path.slice(1).replaceAll('/', '.').slice(0, 200);
}
