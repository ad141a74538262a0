// The last look at a command before it goes into the log for ever: gateways have said it more kindly
// before. What the state makes of a command, only apply judges.
import type { BinaryString, Command } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import { checkReshape, isReshape } from './reshape-check.ts';

const storeName = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** Throws the refusal of what no replica should ever be given. */
export function checkCommand({ body, stamp, idempotency }: Command): void {
  if (stamp !== undefined) checkId('session', stamp.session);
  if (idempotency !== undefined) {
    checkId('idempotency id', idempotency.id);
    checkId('idempotency fingerprint', idempotency.fingerprint);
  }
  if ('store' in body && (body.store.length > limits.storeNameCharsMax || !storeName.test(body.store))) {
    throw new StateStoreError(
      'invalid_store_name',
      `the store name ${JSON.stringify(body.store)} is not of the form ${storeName.source}, up to ${limits.storeNameCharsMax} characters`,
    );
  }
  if (isReshape(body)) return checkReshape(body);
  if (body.kind !== 'mutate') return;
  // Apply looks at them in atomic commands only: elsewhere they would seem to hold.
  if (!body.atomic && body.checks.length > 0) {
    throw new StateStoreError('invalid_body', `there are ${body.checks.length} checks; only an atomic mutate has any`);
  }
  for (const { key } of body.checks) checkKey(key);
  for (const operation of body.operations) {
    checkKey(operation.key);
    if ('value' in operation && operation.value.length > limits.valueBytesMax) {
      throw new StateStoreError(
        'value_too_large',
        `the value has ${operation.value.length} bytes; it may have ${limits.valueBytesMax}`,
      );
    }
    if ('contentType' in operation) checkContentType(operation.contentType);
  }
}

/** In bytes: an entry writes its length into one. */
function checkContentType(contentType: string): void {
  const length = Buffer.byteLength(contentType);
  if (length <= limits.contentTypeBytesMax) return;
  throw new StateStoreError(
    'invalid_parameter',
    `the content type has ${length} bytes; it may have ${limits.contentTypeBytesMax}`,
  );
}

/** They become parts of the engine's keys, whose length has a bound. */
function checkId(what: string, id: BinaryString): void {
  if (id.length !== 16) throw new StateStoreError('invalid_parameter', `the ${what} has ${id.length} bytes; it has 16`);
}

function checkKey(key: BinaryString): void {
  if (key.length < 1 || key.length > limits.keyBytesMax) {
    throw new StateStoreError('invalid_key', `the key has ${key.length} bytes; it may have 1 to ${limits.keyBytesMax}`);
  }
}

/** Whether entries may take more room after it: what a node that is short of disk does not take. */
export function mayGrow({ body }: Command): boolean {
  return body.kind === 'mutate' && body.operations.some(({ kind }) => kind !== 'delete');
}
