// The many-key call in JSON: operations in, results out.
import { defaultTtl, limits, StateStoreError } from '@statestore/core';
import { Type, type Static } from 'typebox';
import { writeCondition } from './conditions.ts';
import { countMany, statusOf, type ManyOperation, type ManyResult } from './many-keys.ts';
import { checkKey, keyText } from './names.ts';
import { closed, encoding, wordOf } from './schemas.ts';
import { formatTime, parseTtl } from './ttl.ts';
import { bodyCheck } from './validation.ts';
import { quote, valueFromJson, valueToJson } from './value-json.ts';

export const contentType = Type.String({ maxLength: limits.contentTypeBytesMax, pattern: '^[ -~]*$' });

/** Loose where what is wrong has a code of its own; OpenAPI says it precisely (routes/operations-schema.ts). */
export const writeFields = {
  key: Type.String(),
  value: Type.Optional(Type.String()),
  encoding: Type.Optional(encoding),
  contentType: Type.Optional(contentType),
  ttl: Type.Optional(Type.String()),
  ifMatch: Type.Optional(Type.String()),
  ifNoneMatch: Type.Optional(Type.String()),
};

const batchOperation = closed({
  op: wordOf(['get', 'put', 'delete']),
  ...writeFields,
});
const batchRequest = closed({
  operations: Type.Array(batchOperation, { minItems: 1, maxItems: limits.batchKeysMax }),
});
type BatchOperation = Static<typeof batchOperation>;
const check = bodyCheck(batchRequest);

/** Throws what is wrong with the first operation that is wrong. */
export function operationsFromJson(body: unknown): readonly ManyOperation[] {
  return readEach(check(body).operations, fromJson);
}

/** Reads one after the other, and names the operation in whatever `read` throws. */
export function readEach<G, T>(given: readonly G[], read: (one: G) => T): readonly T[] {
  const operations: T[] = [];
  try {
    for (const one of given) operations.push(read(one));
    return operations;
  } catch (error) {
    if (!(error instanceof StateStoreError)) throw error;
    const { code, hint, extra } = error;
    const index = operations.length;
    throw new StateStoreError(code, `operations[${index}]: ${error.message}`, {
      ...(hint === undefined ? {} : { hint }),
      extra: { ...extra, index },
    });
  }
}

function fromJson(given: BatchOperation): ManyOperation {
  const key = checkKey(given.key);
  if (given.op === 'put') {
    return {
      kind: 'put',
      key,
      condition: writeCondition(given.ifMatch, given.ifNoneMatch),
      value: checkedValue(given.value, given.encoding),
      contentType: given.contentType ?? '',
      ttl: given.ttl === undefined ? defaultTtl : parseTtl(given.ttl),
    };
  }
  refuseFields(given, given.op === 'get' ? [...putFields, 'ifMatch', 'ifNoneMatch'] : putFields);
  return given.op === 'get'
    ? { kind: 'get', key }
    : { kind: 'delete', key, condition: writeCondition(given.ifMatch, given.ifNoneMatch) };
}

const putFields = ['value', 'encoding', 'contentType', 'ttl'] as const;

export function refuseFields(given: { readonly op: string }, names: readonly string[]): void {
  const found = names.find((name) => Object.hasOwn(given, name));
  if (found !== undefined) throw new StateStoreError('invalid_body', `a ${given.op} has no ${found}`);
}

/** Throws `invalid_body` or `value_too_large`. */
export function checkedValue(value: string | undefined, as: 'utf8' | 'base64' | undefined): Uint8Array {
  if (value === undefined) throw new StateStoreError('invalid_body', 'it has no value');
  const bytes = valueFromJson(value, as, 'value');
  if (bytes.length <= limits.valueBytesMax) return bytes;
  throw new StateStoreError(
    'value_too_large',
    `the value has ${bytes.length} bytes; at most ${limits.valueBytesMax} are allowed`,
  );
}

export function responseToJson(operations: readonly ManyOperation[], results: readonly ManyResult[]): string {
  let text = '';
  for (let i = 0; i < results.length; i++) {
    const result = results[i]!;
    const { kind, key } = operations[i]!;
    const separator = i === 0 ? '' : ',';
    text += `${separator}{"op":"${kind}","key":${quote(keyText(key))},"status":${statusOf(result)}${details(result)}}`;
  }
  return `{"results":[${text}],"counts":${JSON.stringify(countMany(results))}}`;
}

function details(result: ManyResult): string {
  switch (result.kind) {
    case 'got': {
      const { revision, value, contentType, expiresAtMs } = result.entry;
      const { value: text, encoding: as } = valueToJson(value);
      const type = contentType === '' ? '' : `,"contentType":${quote(contentType)}`;
      return `,"etag":${etagJson(revision)},"value":${quote(text)},"encoding":"${as}"${type}${expiryJson(expiresAtMs)}`;
    }
    case 'missing':
      return ',"code":"not_found"';
    case 'written': {
      const { existed, revision, expiresAtMs } = result.result;
      return result.operation.kind === 'delete'
        ? `,"existed":${existed}`
        : `,"etag":${etagJson(revision)}${expiryJson(expiresAtMs)}`;
    }
    case 'failed': {
      const { code, message, retryable, extra } = result.error;
      return `,${JSON.stringify({ code, detail: message, retryable, ...extra }).slice(1, -1)}`;
    }
  }
}

function etagJson(revision: bigint): string {
  return `"\\"${revision}\\""`;
}

function expiryJson(expiresAtMs: number): string {
  return expiresAtMs === 0 ? '' : `,"expiresAt":"${formatTime(expiresAtMs)}"`;
}
