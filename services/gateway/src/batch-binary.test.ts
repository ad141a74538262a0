// The hand-written form against protobuf-es with the generated schema, in both directions, and nothing
// but the one refusal for bytes that are no request.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { defaultTtl, operationResult, StateStoreError } from '@statestore/core';
import {
  BatchOperationKind,
  BatchRequestSchema,
  BatchResponseSchema,
  BatchResultSchema,
  type BatchResult,
} from '@statestore/core/gen/statestore/v1/batch_pb';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { operationsFromBinary, responseToBinary } from './batch-binary.ts';
import { countMany, statusOf, type ManyOperation, type ManyResult } from './many-keys.ts';

const key = fc.constantFrom('k', 'key-00000001', 'käse', '日本', '\u{1f600}', 'x'.repeat(200));
const value = fc.oneof(fc.uint8Array({ maxLength: 8 }), fc.uint8Array({ minLength: 200, maxLength: 300 }));
const contentType = fc.constantFrom('', 'text/plain', 'application/json');
const revision = fc.bigInt({ min: 1n, max: (1n << 64n) - 1n });

const operation = fc.oneof(
  fc.record({ kind: fc.constant('get' as const), key }),
  fc.record({ kind: fc.constant('delete' as const), key, condition: fc.constant({ kind: 'none' } as const) }),
  fc.record({
    kind: fc.constant('put' as const),
    key,
    condition: fc.oneof(
      fc.constantFrom({ kind: 'none' } as const, { kind: 'absent' } as const, { kind: 'exists' } as const),
      fc.record({ kind: fc.constant('revision' as const), revision }),
    ),
    value,
    contentType,
    ttl: fc.constantFrom(defaultTtl, { kind: 'never' } as const, { kind: 'after', ms: 1500 } as const),
  }),
);

/** As protobuf-es writes a request for them. */
function requestOf(operations: readonly ManyOperation[]): Uint8Array {
  const messages = operations.map((one) => {
    if (one.kind === 'get') return { kind: BatchOperationKind.GET, key: one.key };
    if (one.kind !== 'put') return { kind: BatchOperationKind.DELETE, key: one.key };
    const { condition, ttl } = one;
    return {
      kind: BatchOperationKind.PUT,
      key: one.key,
      value: one.value,
      contentType: one.contentType,
      ttl: { default: '', never: 'never', after: '1500ms', keep: '' }[ttl.kind],
      ifMatch: { none: '', absent: '', exists: '*', revision: `"${'revision' in condition ? condition.revision : 0}"` }[
        condition.kind
      ],
      ifNoneMatch: condition.kind === 'absent' ? '*' : '',
    };
  });
  return toBinary(BatchRequestSchema, create(BatchRequestSchema, { operations: messages }));
}

const asBinary = (text: string): string => Buffer.from(text).toString('latin1');

/** What was thrown, as it is answered. */
function problemOf(body: Uint8Array): { readonly code: string; readonly message: string } | undefined {
  try {
    operationsFromBinary(body);
    return undefined;
  } catch (error) {
    if (!(error instanceof StateStoreError)) throw error;
    return { code: error.code, message: error.message };
  }
}

describe('a request', () => {
  test('is read as protobuf-es writes it', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 20 }), (operations) => {
        const read = operationsFromBinary(requestOf(operations));
        expect(read).toEqual(operations.map((one) => ({ ...one, key: asBinary(one.key) })));
      }),
    );
  });

  test('that protobuf-es cannot read is refused, and one that is not refused it reads alike', () => {
    const damage = fc.record({ at: fc.nat(), byte: fc.nat(255), cut: fc.nat(30) });
    let refused = 0;
    fc.assert(
      fc.property(fc.array(operation, { minLength: 1, maxLength: 4 }), damage, (operations, { at, byte, cut }) => {
        const body = requestOf(operations).slice();
        body[at % body.length] = byte;
        const damaged = body.subarray(0, body.length - Math.min(cut, body.length - 1));
        const problem = problemOf(damaged);
        if (problem?.message === 'the body is not a BatchRequest') expect(problem.code).toBe('invalid_body');
        if (problem !== undefined) refused++;
        else {
          const theirs = fromBinary(BatchRequestSchema, damaged).operations.map((one) => one.key);
          expect(operationsFromBinary(damaged).map((one) => one.key)).toEqual(theirs.map(asBinary));
        }
      }),
      { numRuns: 2000 },
    );
    expect(refused).toBeGreaterThan(500);
  });

  test.each([
    ['a field that is cut off', [0x0a, 0x05, 0x12], 'the body is not a BatchRequest'],
    ['a key that is not UTF-8', [0x0a, 0x03, 0x12, 0x01, 0xff], 'the body is not a BatchRequest'],
    ['an end of a group', [0x0c], 'the body is not a BatchRequest'],
    ['a field of the request', [0x10, 0x01], 'the request has a field that is not known'],
    ['a field of an operation', [0x0a, 0x02, 0x40, 0x01], 'operations[0]: it has a field that is not known'],
    ['no kind', [0x0a, 0x03, 0x12, 0x01, 0x6b], 'operations[0]: its kind is 0; it may be GET, PUT or DELETE'],
    [
      'a get with a value',
      [0x0a, 0x08, 0x08, 0x01, 0x12, 0x01, 0x6b, 0x1a, 0x01, 0x00],
      'operations[0]: a get has nothing but a key',
    ],
    [
      'a delete with a ttl',
      [0x0a, 0x08, 0x08, 0x03, 0x12, 0x01, 0x6b, 0x2a, 0x01, 0x31],
      'operations[0]: a delete has no value, content type or ttl',
    ],
  ])('with %s is refused', (_, bytes, message) => {
    expect(problemOf(Uint8Array.from(bytes))).toEqual({ code: 'invalid_body', message });
  });

  test('keeps a byte order mark in a key', () => {
    const [read] = operationsFromBinary(requestOf([{ kind: 'get', key: '\ufeffk' }]));
    expect(read).toEqual({ kind: 'get', key: asBinary('\ufeffk') });
  });
});

const expiresAtMs = fc.constantFrom(0, 1_700_000_000_000);
const written = fc
  .record({ revision, existed: fc.boolean(), expiresAtMs })
  .map((given) => operationResult('done', given));
const put: ManyOperation = {
  kind: 'put',
  key: 'k',
  condition: { kind: 'none' },
  value: new Uint8Array(0),
  contentType: '',
  ttl: defaultTtl,
};
const result: fc.Arbitrary<ManyResult> = fc.oneof(
  fc.record({
    kind: fc.constant('got' as const),
    entry: fc.record({ revision, value, contentType: fc.oneof(contentType, fc.constant('é/ü')), expiresAtMs }),
  }),
  fc.constant({ kind: 'missing' as const }),
  fc.record({ kind: fc.constant('written' as const), operation: fc.constant(put), result: written }),
  fc.record({
    kind: fc.constant('written' as const),
    operation: fc.constant({ kind: 'delete', key: 'k', condition: { kind: 'none' } } as const),
    result: written,
  }),
  fc
    .constantFrom('the key "k"', 'der Schlüssel „日本“')
    .map((message) => ({ kind: 'failed' as const, error: new StateStoreError('precondition_failed', message) })),
);

function messageOf(one: ManyResult): BatchResult {
  const status = statusOf(one);
  switch (one.kind) {
    case 'got':
      return create(BatchResultSchema, { status, ...one.entry, expiresAtMs: BigInt(one.entry.expiresAtMs) });
    case 'missing':
      return create(BatchResultSchema, { status, code: 'not_found' });
    case 'failed':
      return create(BatchResultSchema, { status, code: one.error.code, detail: one.error.message });
    case 'written': {
      const { revision: given, existed, expiresAtMs: expiry } = one.result;
      const kept = one.operation.kind === 'delete' ? { existed } : { existed, revision: given };
      return create(BatchResultSchema, { status, ...kept, expiresAtMs: BigInt(expiry) });
    }
  }
}

describe('an answer', () => {
  test('is the very bytes that protobuf-es writes', () => {
    fc.assert(
      fc.property(fc.array(result, { maxLength: 20 }), (results) => {
        const message = create(BatchResponseSchema, { results: results.map(messageOf), counts: countMany(results) });
        expect(responseToBinary(results).toString('hex')).toBe(
          Buffer.from(toBinary(BatchResponseSchema, message)).toString('hex'),
        );
      }),
    );
  });

  test('larger than what its writer keeps leaves the next one right', () => {
    const entry = { revision: 1n, value: new Uint8Array(900_000), contentType: '', expiresAtMs: 0 };
    const large: ManyResult[] = [{ kind: 'got', entry }, { kind: 'missing' }, { kind: 'got', entry }];
    const small: ManyResult[] = [{ kind: 'missing' }];
    const before = responseToBinary(small);
    expect(fromBinary(BatchResponseSchema, responseToBinary(large)).results.map((one) => one.value.length)).toEqual([
      900_000, 0, 900_000,
    ]);
    expect(responseToBinary(small)).toEqual(before);
  });
});
