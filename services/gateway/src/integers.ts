// 64-bit integers in JSON: as a number where that is exact, else as decimal text.
import { StateStoreError } from '@statestore/core';

const decimal = /^-?(0|[1-9]\d{0,18})$/;
const int64Min = -(2n ** 63n);
const int64Max = 2n ** 63n - 1n;

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
