// The last look at a command of a split or a merge before it goes into the log for ever (command-check.ts).
import type { CommandBody, OwnedRange, ReshapeCommand } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';

const kinds: ReadonlySet<string> = new Set<ReshapeCommand['kind']>([
  'fence',
  'unfence',
  'handOver',
  'prepareAbsorb',
  'remember',
  'absorb',
]);

export function isReshape(body: CommandBody): body is ReshapeCommand {
  return kinds.has(body.kind);
}

/** Throws `invalid_parameter` for what no replica should ever be given. */
export function checkReshape(body: ReshapeCommand): void {
  checkBytes('reshape', body.reshape);
  if ('slots' in body) checkSlots('slots', body.slots);
  if ('ownedBefore' in body) checkSlots('slots owned before', body.ownedBefore);
  if (body.kind === 'handOver' || body.kind === 'absorb')
    for (const { name, hash } of body.stores) checkBytes(`hash of store ${name}`, hash);
  if (body.kind !== 'remember') return;
  for (const { id, fingerprint } of body.records) {
    checkBytes('idempotency id', id);
    checkBytes('idempotency fingerprint', fingerprint);
  }
}

function checkBytes(what: string, bytes: string): void {
  if (bytes.length === 16) return;
  throw new StateStoreError('invalid_parameter', `the ${what} has ${bytes.length} bytes; it has 16`);
}

function checkSlots(what: string, slots: readonly OwnedRange[]): void {
  let last = -1;
  for (const { start, end } of slots) {
    if (Number.isInteger(start) && Number.isInteger(end) && start > last && start < end && end <= limits.slotCount) {
      last = end;
      continue;
    }
    throw new StateStoreError(
      'invalid_parameter',
      `the ${what} have a range ${start} to ${end}; ranges ascend, do not touch, and are of slots 0 to ${limits.slotCount}`,
    );
  }
}
