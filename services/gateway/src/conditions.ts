// ETags and conditional requests (RFC 9110, section 13). The ETag of an entry is its revision in quotes.
// Writes take exactly one condition, which apply judges; reads follow the RFC, lists and weak tags too.
import { noCondition, StateStoreError, type Condition } from '@statestore/core';

const tag = /^"(0|[1-9]\d{0,19})"$/;
const revisionMax = 2n ** 64n - 1n;
const exists: Condition = { kind: 'exists' };
const absent: Condition = { kind: 'absent' };

export function etagOf(revision: bigint): string {
  return `"${revision}"`;
}

/** Of a write, from its If-Match and If-None-Match. Throws `invalid_condition`. */
export function writeCondition(ifMatch: string | undefined, ifNoneMatch: string | undefined): Condition {
  if (ifMatch === undefined && ifNoneMatch === undefined) return noCondition;
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    throw invalid('If-Match and If-None-Match exclude each other');
  }
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch === '*') return absent;
    throw invalid(`If-None-Match of a write may only be *, it is ${shown(ifNoneMatch)}`);
  }
  if (ifMatch === '*') return exists;
  const match = tag.exec(ifMatch!);
  const revision = match === null ? undefined : BigInt(match[1]!);
  if (revision === undefined || revision > revisionMax) {
    throw invalid(`If-Match ${shown(ifMatch!)} is not one ETag of this service`);
  }
  return { kind: 'revision', revision };
}

const listed = /^\s*(?:W\/)?"([\x21\x23-\x7e]*)"\s*$/;

/** Whether a read's If-Match or If-None-Match names this revision. */
export function namesRevision(header: string, revision: bigint): boolean {
  if (header.trim() === '*') return true;
  let named = false;
  for (const part of header.split(',')) {
    const match = listed.exec(part);
    if (match === null) throw invalid(`${shown(header)} is not a list of ETags`);
    if (match[1] === String(revision)) named = true;
  }
  return named;
}

function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

function invalid(message: string): StateStoreError {
  return new StateStoreError('invalid_condition', message, {
    hint: 'If-Match: "n" or *, or If-None-Match: *, where "n" is an ETag as an answer gave it, with its quotes.',
  });
}
