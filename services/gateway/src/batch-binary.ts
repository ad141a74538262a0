// The many-key call in protobuf (proto/statestore/v1/batch.proto): the same rules as in JSON. Read and
// written by hand, since reflection took more than everything else that a call does;
// batch-binary.test.ts holds it against protobuf-es.
import { binaryFromText, defaultTtl, limits, StateStoreError } from '@statestore/core';
import { WireReader, WireWriter } from '@statestore/core/wire';
import { readEach } from './batch-json.ts';
import { writeCondition } from './conditions.ts';
import { countMany, statusOf, type ManyOperation, type ManyResult } from './many-keys.ts';
import { checkKey } from './names.ts';
import { parseTtl } from './ttl.ts';

const noBytes = new Uint8Array(0);

/** BatchOperationKind. */
const kinds = { get: 1, put: 2, delete: 3 } as const;

/** BatchOperation: what is absent is empty. */
interface GivenOperation {
  kind: number;
  key: string;
  value: Uint8Array;
  contentType: string;
  ttl: string;
  ifMatch: string;
  ifNoneMatch: string;
  hasUnknownField: boolean;
}

/** Throws what is wrong with the first operation that is wrong. Values are views of `body`. */
export function operationsFromBinary(body: Uint8Array): readonly ManyOperation[] {
  return readEach(readRequest(body), checked);
}

function readRequest(body: Uint8Array): readonly GivenOperation[] {
  const operations: GivenOperation[] = [];
  let hasUnknownField = false;
  try {
    const r = new WireReader(body);
    for (let field = r.field(); field !== 0; field = r.field()) {
      if (field === 1) {
        const outer = r.enter();
        operations.push(readOperation(r));
        r.leave(outer);
      } else {
        r.skip();
        hasUnknownField = true;
      }
    }
  } catch (error) {
    throw new StateStoreError('invalid_body', 'the body is not a BatchRequest', { cause: error });
  }
  if (hasUnknownField) throw new StateStoreError('invalid_body', 'the request has a field that is not known');
  return operations;
}

function readOperation(r: WireReader): GivenOperation {
  let kind = 0;
  let key = '';
  let value: Uint8Array = noBytes;
  let contentType = '';
  let ttl = '';
  let ifMatch = '';
  let ifNoneMatch = '';
  let hasUnknownField = false;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) kind = r.uint();
    else if (field === 2) key = r.text();
    else if (field === 3) value = r.bytes();
    else if (field === 4) contentType = r.text();
    else if (field === 5) ttl = r.text();
    else if (field === 6) ifMatch = r.text();
    else if (field === 7) ifNoneMatch = r.text();
    else {
      r.skip();
      hasUnknownField = true;
    }
  }
  return { kind, key, value, contentType, ttl, ifMatch, ifNoneMatch, hasUnknownField };
}

function checked(given: GivenOperation): ManyOperation {
  if (given.hasUnknownField) throw new StateStoreError('invalid_body', 'it has a field that is not known');
  const key = checkKey(given.key);
  const condition = writeCondition(orUndefined(given.ifMatch), orUndefined(given.ifNoneMatch));
  const conditional = condition.kind !== 'none';
  const { value, contentType, ttl } = given;
  const hasPutFields = value.length > 0 || contentType !== '' || ttl !== '';
  switch (given.kind) {
    case kinds.get:
      if (conditional || hasPutFields) throw new StateStoreError('invalid_body', 'a get has nothing but a key');
      return { kind: 'get', key };
    case kinds.delete:
      if (hasPutFields) throw new StateStoreError('invalid_body', 'a delete has no value, content type or ttl');
      return { kind: 'delete', key, condition };
    case kinds.put:
      checkValue(value);
      checkContentType(contentType);
      return { kind: 'put', key, condition, value, contentType, ttl: ttl === '' ? defaultTtl : parseTtl(ttl) };
    default:
      throw new StateStoreError('invalid_body', `its kind is ${given.kind}; it may be GET, PUT or DELETE`);
  }
}

function checkValue({ length }: Uint8Array): void {
  if (length <= limits.valueBytesMax) return;
  throw new StateStoreError(
    'value_too_large',
    `the value has ${length} bytes; at most ${limits.valueBytesMax} are allowed`,
  );
}

function checkContentType(contentType: string): void {
  if (contentType === '') return;
  if (contentType.length <= limits.contentTypeBytesMax && /^[ -~]*$/.test(contentType)) return;
  throw new StateStoreError('invalid_body', 'the content type is too long or has others than visible ASCII characters');
}

function orUndefined(text: string): string | undefined {
  return text === '' ? undefined : text;
}

const writerBytes = 64 * 1024;
/** A writer that an answer made larger than this is not kept for the next. */
const writerBytesMax = 1024 * 1024;
let writer = new WireWriter(writerBytes);

/** BatchResponse. */
export function responseToBinary(results: readonly ManyResult[]): Buffer {
  writer.reset();
  writeCounts(writer, results);
  for (let i = results.length - 1; i >= 0; i--) {
    const start = writer.size;
    writeResult(writer, results[i]!);
    writer.lengthPrefix(1, writer.size - start);
  }
  const { buffer, byteOffset, length } = writer.finish();
  if (length > writerBytesMax) writer = new WireWriter(writerBytes);
  return Buffer.from(buffer, byteOffset, length);
}

function writeCounts(w: WireWriter, results: readonly ManyResult[]): void {
  const { got, missing, put, deleted, failed } = countMany(results);
  const start = w.size;
  w.uint(5, failed);
  w.uint(4, deleted);
  w.uint(3, put);
  w.uint(2, missing);
  w.uint(1, got);
  w.lengthPrefix(2, w.size - start);
}

/** The last field first, as WireWriter wants it. */
function writeResult(w: WireWriter, result: ManyResult): void {
  switch (result.kind) {
    case 'got': {
      const { revision, value, contentType, expiresAtMs } = result.entry;
      w.uint(5, expiresAtMs);
      w.binary(4, binaryFromText(contentType));
      w.bytes(3, value);
      w.bigUint(2, revision);
      break;
    }
    case 'missing':
      w.binary(7, 'not_found');
      break;
    case 'failed':
      w.binary(8, binaryFromText(result.error.message));
      w.binary(7, result.error.code);
      break;
    case 'written': {
      const { revision, existed, expiresAtMs } = result.result;
      w.flag(6, existed);
      w.uint(5, expiresAtMs);
      if (result.operation.kind !== 'delete') w.bigUint(2, revision);
      break;
    }
  }
  w.uint(1, statusOf(result));
}
