// Operations and checks as bytes: their messages of proto/statestore/v1/log.proto.
import { binaryFromText } from '../binary-string.ts';
import type { Check, Condition, Operation, Ttl } from '../command.ts';
import type { WireReader, WireWriter } from '../wire.ts';
import { newerFormat } from './format.ts';

// Numbers on the wire, persisted in logs, so stable.
const conditionKinds = ['none', 'absent', 'exists', 'revision'] as const;
const ttlKinds = ['default', 'never', 'after', 'keep'] as const;
const operationKinds = [undefined, 'put', 'delete', 'increment', 'append', 'mergePatch', 'touch'] as const;
const operationNumbers = { put: 1, delete: 2, increment: 3, append: 4, mergePatch: 5, touch: 6 } as const;
const conditionNumbers = { none: 0, absent: 1, exists: 2, revision: 3 } as const;
const ttlNumbers = { default: 0, never: 1, after: 2, keep: 3 } as const;

const noBytes = new Uint8Array(0);

export function writeOperation(w: WireWriter, operation: Operation): void {
  if (operation.kind === 'increment') {
    if (operation.max !== undefined) w.presentBigSint(11, operation.max);
    if (operation.min !== undefined) w.presentBigSint(10, operation.min);
    w.bigSint(9, operation.delta);
  }
  if (operation.kind !== 'delete') {
    if (operation.ttl.kind === 'after') w.uint(8, operation.ttl.ms);
    w.uint(7, ttlNumbers[operation.ttl.kind]);
  }
  if (operation.kind === 'put' || operation.kind === 'append') w.binary(6, binaryFromText(operation.contentType));
  if ('value' in operation) w.bytes(5, operation.value);
  if (operation.condition.kind === 'revision') w.bigUint(4, operation.condition.revision);
  w.uint(3, conditionNumbers[operation.condition.kind]);
  w.uint(2, operationNumbers[operation.kind]);
  w.binary(1, operation.key);
}

export function writeCheck(w: WireWriter, { key, condition }: Check): void {
  if (condition.kind === 'revision') w.bigUint(3, condition.revision);
  w.uint(2, conditionNumbers[condition.kind]);
  w.binary(1, key);
}

export function readCheck(r: WireReader): Check {
  let key = '';
  let condition = 0;
  let revision = 0n;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) key = r.binary();
    else if (field === 2) condition = r.uint();
    else if (field === 3) revision = r.bigUint();
    else r.skip();
  }
  return { key, condition: conditionOf(condition, revision) };
}

// Shared, so that a batch of a thousand puts does not make a thousand of each.
const plainConditions: readonly Condition[] = [{ kind: 'none' }, { kind: 'absent' }, { kind: 'exists' }];
const plainTtls: readonly Ttl[] = [{ kind: 'default' }, { kind: 'never' }];
const keepTtl: Ttl = { kind: 'keep' };

function conditionOf(number: number, revision: bigint): Condition {
  const plain = plainConditions[number];
  if (plain !== undefined) return plain;
  if (conditionKinds[number] === 'revision') return { kind: 'revision', revision };
  throw newerFormat(`condition ${number}`);
}

function ttlOf(number: number, ms: number): Ttl {
  const plain = plainTtls[number];
  if (plain !== undefined) return plain;
  if (ttlKinds[number] === 'after') return { kind: 'after', ms };
  if (ttlKinds[number] === 'keep') return keepTtl;
  throw newerFormat(`ttl ${number}`);
}

export function readOperation(r: WireReader): Operation {
  let key = '';
  let kindNumber = 0;
  let conditionNumber = 0;
  let revision = 0n;
  let value: Uint8Array = noBytes;
  let contentType = '';
  let ttlNumber = 0;
  let ttlMs = 0;
  let delta = 0n;
  let min: bigint | undefined;
  let max: bigint | undefined;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) key = r.binary();
    else if (field === 2) kindNumber = r.uint();
    else if (field === 3) conditionNumber = r.uint();
    else if (field === 4) revision = r.bigUint();
    else if (field === 5) value = r.bytes();
    else if (field === 6) contentType = r.text();
    else if (field === 7) ttlNumber = r.uint();
    else if (field === 8) ttlMs = r.uint();
    else if (field === 9) delta = r.bigSint();
    else if (field === 10) min = r.bigSint();
    else if (field === 11) max = r.bigSint();
    else r.skip();
  }
  const kind = operationKinds[kindNumber];
  const condition = conditionOf(conditionNumber, revision);
  const ttl = ttlOf(ttlNumber, ttlMs);
  switch (kind) {
    case 'put':
    case 'append':
      return { kind, key, condition, value, contentType, ttl };
    case 'mergePatch':
      return { kind, key, condition, value, ttl };
    case 'delete':
      return { kind, key, condition };
    case 'touch':
      return { kind, key, condition, ttl };
    case 'increment':
      return {
        kind,
        key,
        condition,
        delta,
        ttl,
        ...(min === undefined ? {} : { min }),
        ...(max === undefined ? {} : { max }),
      };
    default:
      throw newerFormat(`operation ${kindNumber}`);
  }
}
