// Which names objects of a repository may have. The same for every kind, so that a repository can be copied from
// one to another: what is a path in a folder is a key in a bucket.
import { limits, StateStoreError } from '@statestore/core';

const segment = /^[A-Za-z0-9._-]+$/;
const prefixChars = /^[A-Za-z0-9._/-]*$/;

export function isObjectName(name: string): boolean {
  return (
    name.length <= limits.repositoryNameCharsMax &&
    name
      .split('/')
      .every(
        (part) =>
          part !== '.' && part !== '..' && part.length <= limits.repositorySegmentCharsMax && segment.test(part),
      )
  );
}

/** Throws `invalid_parameter`. */
export function checkObjectName(name: string): void {
  if (isObjectName(name)) return;
  throw new StateStoreError(
    'invalid_parameter',
    `the name of an object is ${JSON.stringify(name.slice(0, limits.repositoryNameCharsMax))}; it may be parts of A-Z, a-z, 0-9, ., _ and - with / between them, none of them . or .., at most ${limits.repositorySegmentCharsMax} characters each and ${limits.repositoryNameCharsMax} in all`,
  );
}

/** Of a listing: the beginning of a name. Throws `invalid_parameter`. */
export function checkListPrefix(prefix: string): void {
  const parts = prefix.split('/').slice(0, -1);
  const isOne =
    prefix.length <= limits.repositoryNameCharsMax &&
    prefixChars.test(prefix) &&
    parts.every((part) => part !== '' && part !== '.' && part !== '..');
  if (isOne) return;
  throw new StateStoreError(
    'invalid_parameter',
    `the prefix of a listing is ${JSON.stringify(prefix.slice(0, limits.repositoryNameCharsMax))}; it may be the beginning of an object's name`,
  );
}
