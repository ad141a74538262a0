// What apply refused, as errors for clients. Each says what stood in the way.
import { StateStoreError, type ErrorCode, type OperationResult, type ResultCode } from '@statestore/core';
import { etagOf } from './conditions.ts';

/** Codes of results that stand for another error, or that no client should ever see. */
const errorOf: Readonly<Record<Exclude<ResultCode, 'done'>, ErrorCode>> = {
  not_found: 'not_found',
  precondition_failed: 'precondition_failed',
  not_a_number: 'not_a_number',
  out_of_bounds: 'out_of_bounds',
  not_json: 'not_json',
  value_would_be_too_large: 'value_would_be_too_large',
  quota_exceeded: 'quota_exceeded',
  idempotency_key_reused: 'idempotency_key_reused',
  session_expired: 'session_expired',
  not_run: 'internal',
  already_answered: 'outcome_unknown',
  invalid_json: 'invalid_json',
  overloaded: 'overloaded',
  too_many_stores: 'too_many_stores',
  moved: 'moved',
};

export function refusal(
  code: Exclude<ResultCode, 'done'>,
  store: string,
  key: string,
  result?: OperationResult,
): StateStoreError {
  const entry = `${JSON.stringify(key)} in store ${store}`;
  const revision = result?.revision ?? 0n;
  const currentEtag = revision === 0n ? null : etagOf(revision);
  switch (code) {
    case 'not_found':
      return notFound(store, key);
    case 'precondition_failed': {
      const now = currentEtag === null ? 'does not exist' : `has ETag ${currentEtag}`;
      return new StateStoreError('precondition_failed', `the entry ${entry} ${now}`, { extra: { currentEtag } });
    }
    case 'not_a_number':
      return new StateStoreError('not_a_number', `the value of ${entry} is not a decimal integer of 64 bits`);
    case 'out_of_bounds':
      return new StateStoreError('out_of_bounds', `the sum for ${entry} would leave its bounds or 64 bits`);
    case 'not_json':
      return new StateStoreError('not_json', `the value of ${entry} is not JSON`);
    case 'value_would_be_too_large':
      return new StateStoreError(
        'value_would_be_too_large',
        `the value of ${entry} would be larger than a value may be`,
      );
    case 'quota_exceeded':
      return new StateStoreError('quota_exceeded', `store ${store} has no quota left for ${JSON.stringify(key)}`, {
        hint: 'Delete entries, or raise the quota in the settings of the store.',
      });
    case 'idempotency_key_reused':
      return new StateStoreError('idempotency_key_reused', 'this Idempotency-Key came with another request before');
    default:
      return new StateStoreError(errorOf[code], `the write of ${entry} was refused: ${code}`);
  }
}

export function notFound(store: string, key: string): StateStoreError {
  return new StateStoreError('not_found', `there is no entry ${JSON.stringify(key)} in store ${store}`);
}
