// 64-bit integers in JSON: as a number where that is exact, else as decimal text.
import { StateStoreError } from '@statestore/core';

const decimal = /^-?(0|[1-9]\d{0,18})$/;
const int64Min = -(2n ** 63n);
const int64Max = 2n ** 63n - 1n;

/** Bounds of an increment. Throws `invalid_body`, also where no number lies between them. */
export function readBounds(
  min: number | string | undefined,
  max: number | string | undefined,
): { readonly min?: bigint; readonly max?: bigint } {
  const bounds = {
    ...(min === undefined ? {} : { min: readInt64(min, 'min') }),
    ...(max === undefined ? {} : { max: readInt64(max, 'max') }),
  };
  if (bounds.min !== undefined && bounds.max !== undefined && bounds.min > bounds.max) {
    throw new StateStoreError('invalid_body', `min ${bounds.min} is greater than max ${bounds.max}`);
  }
  return bounds;
}

/** Throws `invalid_body`. */
export function readInt64(given: number | string, field: string): bigint {
  if (typeof given === 'number') {
    if (Number.isSafeInteger(given)) return BigInt(given);
    throw new StateStoreError(
      'invalid_body',
      `${field} is past 2^53, where JSON numbers are not exact; send it as text`,
    );
  }
  const value = decimal.test(given) ? BigInt(given) : undefined;
  if (value === undefined || value < int64Min || value > int64Max) {
    throw new StateStoreError(
      'invalid_body',
      `${field} ${JSON.stringify(given.slice(0, 40))} is not a signed 64-bit integer`,
    );
  }
  return value;
}
