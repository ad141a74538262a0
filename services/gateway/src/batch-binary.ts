// The many-key call in protobuf (proto/statestore/v1/batch.proto): the same rules as in JSON.
import { create } from '@bufbuild/protobuf';
import { defaultTtl, limits, StateStoreError } from '@statestore/core';
import {
  BatchOperationKind,
  BatchResponseSchema,
  BatchResultSchema,
  type BatchOperation,
  type BatchRequest,
  type BatchResponse,
  type BatchResult,
} from '@statestore/core/gen/statestore/v1/batch_pb';
import { at } from './batch-json.ts';
import { writeCondition } from './conditions.ts';
import { countMany, statusOf, type ManyOperation, type ManyResult } from './many-keys.ts';
import { checkKey } from './names.ts';
import { parseTtl } from './ttl.ts';

export function operationsFromBinary({ operations, $unknown }: BatchRequest): readonly ManyOperation[] {
  if ($unknown !== undefined) throw new StateStoreError('invalid_body', 'the request has a field that is not known');
  return operations.map((operation, i) => at(i, () => fromBinary(operation)));
}

function fromBinary(given: BatchOperation): ManyOperation {
  if (given.$unknown !== undefined) throw new StateStoreError('invalid_body', 'it has a field that is not known');
  const key = checkKey(given.key);
  const condition = writeCondition(orUndefined(given.ifMatch), orUndefined(given.ifNoneMatch));
  const conditional = condition.kind !== 'none';
  const hasPutFields = given.value.length > 0 || given.contentType !== '' || given.ttl !== '';
  switch (given.kind) {
    case BatchOperationKind.GET:
      if (conditional || hasPutFields) throw new StateStoreError('invalid_body', 'a get has nothing but a key');
      return { kind: 'get', key };
    case BatchOperationKind.DELETE:
      if (hasPutFields) throw new StateStoreError('invalid_body', 'a delete has no value, content type or ttl');
      return { kind: 'delete', key, condition };
    case BatchOperationKind.PUT: {
      const { value, contentType } = given;
      if (value.length > limits.valueBytesMax) {
        throw new StateStoreError(
          'value_too_large',
          `the value has ${value.length} bytes; at most ${limits.valueBytesMax} are allowed`,
        );
      }
      if (contentType.length > limits.contentTypeBytesMax || !/^[ -~]*$/.test(contentType)) {
        throw new StateStoreError(
          'invalid_body',
          'the content type is too long or has others than visible ASCII characters',
        );
      }
      return {
        kind: 'put',
        key,
        condition,
        value,
        contentType,
        ttl: given.ttl === '' ? defaultTtl : parseTtl(given.ttl),
      };
    }
    default:
      throw new StateStoreError('invalid_body', `its kind is ${given.kind}; it may be GET, PUT or DELETE`);
  }
}

function orUndefined(text: string): string | undefined {
  return text === '' ? undefined : text;
}

export function responseToBinary(results: readonly ManyResult[]): BatchResponse {
  return create(BatchResponseSchema, { results: results.map(resultToBinary), counts: countMany(results) });
}

function resultToBinary(result: ManyResult): BatchResult {
  const status = statusOf(result);
  switch (result.kind) {
    case 'got': {
      const { revision, value, contentType, expiresAtMs } = result.entry;
      return create(BatchResultSchema, { status, revision, value, contentType, expiresAtMs: BigInt(expiresAtMs) });
    }
    case 'missing':
      return create(BatchResultSchema, { status, code: 'not_found' });
    case 'failed':
      return create(BatchResultSchema, { status, code: result.error.code, detail: result.error.message });
    case 'written': {
      const { revision, existed, expiresAtMs } = result.result;
      const kept = result.operation.kind === 'delete' ? { existed } : { revision, existed };
      return create(BatchResultSchema, { status, ...kept, expiresAtMs: BigInt(expiresAtMs) });
    }
  }
}
