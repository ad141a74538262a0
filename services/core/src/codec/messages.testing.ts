// For tests only: any message of the codec, and batches as protobuf-es writes them with the generated
// schema, against which the hand-written codec is held.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { binaryFromBytes, bytesFromBinary } from '../binary-string.ts';
import type { ChangeRecord } from '../change.ts';
import { changeKinds } from '../change.ts';
import type {
  Batch,
  Command,
  CommandBody,
  Condition,
  ConfigureStore,
  GivenStore,
  Operation,
  ReshapeCommand,
  Ttl,
} from '../command.ts';
import { BatchSchema } from '../gen/statestore/v1/log_pb.ts';
import { rememberedResult } from '../keyspace/session.ts';
import type { CommandResult } from '../result.ts';
import { resultCodes } from '../result.ts';
import { batchFormat } from './format.ts';
import { encodeCommandResult } from './result.ts';

const uint32 = fc.oneof(fc.nat(200), fc.integer({ min: 0, max: 0xffff_ffff }));
const uint53 = fc.oneof(fc.nat(200), fc.maxSafeNat());
const uint64 = fc.oneof(fc.bigInt({ min: 0n, max: 300n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
const int64 = fc.oneof(fc.bigInt({ min: -300n, max: 300n }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
const binary = fc.uint8Array({ maxLength: 20 }).map(binaryFromBytes);
const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(binaryFromBytes);
const storeName = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,12}$/);
const condition: fc.Arbitrary<Condition> = fc.oneof(
  fc.constantFrom<Condition>({ kind: 'none' }, { kind: 'absent' }, { kind: 'exists' }),
  fc.record({ kind: fc.constant('revision' as const), revision: uint64 }),
);
const ttl: fc.Arbitrary<Ttl> = fc.oneof(
  fc.constantFrom<Ttl>({ kind: 'default' }, { kind: 'never' }, { kind: 'keep' }),
  fc.record({ kind: fc.constant('after' as const), ms: uint53 }),
);
const value = fc.uint8Array({ maxLength: 300 });
const contentType = fc.string({ unit: 'grapheme', maxLength: 10 });
const on = { key: binary, condition };
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ ...on, kind: fc.constant('put' as const), value, contentType, ttl }),
  fc.record({ ...on, kind: fc.constant('append' as const), value, contentType, ttl }),
  fc.record({ ...on, kind: fc.constant('mergePatch' as const), value, ttl }),
  fc.record({ ...on, kind: fc.constant('delete' as const) }),
  fc.record({ ...on, kind: fc.constant('touch' as const), ttl }),
  fc.record(
    { ...on, kind: fc.constant('increment' as const), delta: int64, ttl, min: int64, max: int64 },
    { requiredKeys: ['kind', 'key', 'condition', 'delta', 'ttl'] },
  ),
);
const maybe = fc.option(uint53, { nil: undefined });
const code = fc.constantFrom(...resultCodes);
export const result: fc.Arbitrary<CommandResult> = fc.record({
  code,
  operations: fc.array(
    fc.record({ code, revision: uint64, existed: fc.boolean(), number: int64, sizeBytes: uint32, expiresAtMs: uint53 }),
    { maxLength: 4 },
  ),
  count: uint53,
  more: fc.boolean(),
  removed: uint53,
  entries: fc.maxSafeInteger(),
  bytes: fc.maxSafeInteger(),
  failedIndex: uint32,
});
const slots = fc.array(fc.record({ start: fc.nat(4095), end: fc.nat(4096) }), { maxLength: 3 });
const given = { name: storeName, entries: uint53, bytes: uint53, hash: id };
const settings = fc.record({ defaultTtlMs: uint53, quotaEntries: maybe, quotaBytes: maybe });
const reshapeBody: fc.Arbitrary<ReshapeCommand> = fc.oneof(
  fc.record({ kind: fc.constant('fence' as const), reshape: id, slots, ownedBefore: slots, slotsEpoch: uint64 }),
  fc.record({
    kind: fc.constant('unfence' as const),
    reshape: id,
    slotsEpoch: uint64,
    forGood: fc.boolean(),
    ownedBefore: slots,
  }),
  fc.record({
    kind: fc.constant('handOver' as const),
    reshape: id,
    slotsEpoch: uint64,
    fencedPosition: uint64,
    stores: fc.array(fc.record(given), { maxLength: 3 }),
  }),
  fc.record({
    kind: fc.constant('prepareAbsorb' as const),
    reshape: id,
    stores: fc.array(storeName, { maxLength: 3 }),
    ownedBefore: slots,
  }),
  fc.record({
    kind: fc.constant('remember' as const),
    reshape: id,
    records: fc.array(fc.record({ id, fingerprint: id, expiresAtMs: uint53, result }), { maxLength: 3 }),
  }),
  fc.record({
    kind: fc.constant('absorb' as const),
    reshape: id,
    slots,
    slotsEpoch: uint64,
    ownedBefore: slots,
    revision: uint64,
    clockNanos: uint64,
    expired: uint53,
    stores: fc.array(
      fc.record({
        ...given,
        ordinal: uint32,
        expired: uint53,
        settings,
        settingsVersion: uint53,
        allowanceEntries: maybe,
        allowanceBytes: maybe,
      }),
      { maxLength: 3 },
    ),
  }),
);
const body: fc.Arbitrary<CommandBody> = fc.oneof(
  fc.record({
    kind: fc.constant('mutate' as const),
    store: storeName,
    atomic: fc.boolean(),
    checks: fc.array(fc.record(on), { maxLength: 3 }),
    operations: fc.array(operation, { maxLength: 5 }),
  }),
  fc.record({ kind: fc.constant('clear' as const), store: storeName }),
  fc.record({
    kind: fc.constant('configure' as const),
    store: storeName,
    settings: fc.record({ defaultTtlMs: uint53, quotaEntries: maybe, quotaBytes: maybe }),
    settingsVersion: uint53,
    allowanceEntries: maybe,
    allowanceBytes: maybe,
  }),
  fc.record({
    kind: fc.constant('adjustAllowance' as const),
    store: storeName,
    settingsVersion: uint53,
    entries: fc.maxSafeInteger(),
    bytes: fc.integer(),
  }),
  fc.record(
    {
      kind: fc.constant('sweep' as const),
      limit: uint32,
      changesKeptBytes: uint53,
      countStore: storeName,
      forgetBeforeMs: uint53,
    },
    { requiredKeys: ['kind', 'limit', 'changesKeptBytes', 'countStore'] },
  ),
  fc.constant({ kind: 'barrier' as const }),
  reshapeBody,
);
const stamp = fc.record({ session: id, counter: uint32, firstUnanswered: uint32, opens: fc.boolean() });
const command: fc.Arbitrary<Command> = fc.record(
  { stamp, idempotency: fc.record({ id, fingerprint: id }), slotsEpoch: uint64, body },
  { requiredKeys: ['body'] },
);
export const batch: fc.Arbitrary<Batch> = fc.record({
  partition: uint32,
  proposer: id,
  number: uint32,
  commands: fc.array(command, { maxLength: 6 }),
});
export const changeRecord: fc.Arbitrary<ChangeRecord> = fc.record({
  changes: fc.array(
    fc.record({ kind: fc.constantFrom(...changeKinds), revision: uint64, store: storeName, key: binary }),
    { maxLength: 6 },
  ),
  clockNanos: uint64,
});
export const session = fc.record({
  firstUnanswered: uint32,
  lastUsedMs: uint53,
  results: fc
    .uniqueArray(fc.tuple(uint32, result.map(rememberedResult)), { maxLength: 5, selector: ([counter]) => counter })
    .map((pairs) => new Map(pairs)),
});

/** The enum's number; protobuf-es has an enum type for each, which says no more here. */
function numberIn(names: readonly string[], name: string): never {
  return names.indexOf(name) as never;
}

type BodyMessage = {
  readonly body: NonNullable<NonNullable<MessageInitShape<typeof BatchSchema>['commands']>[number]['body']>;
};

/** As protobuf-es has it. */
function bodyMessage(from: CommandBody): BodyMessage {
  switch (from.kind) {
    case 'mutate':
      return {
        body: {
          case: 'mutate',
          value: {
            store: from.store,
            atomic: from.atomic,
            checks: from.checks.map((check) => ({
              key: bytesFromBinary(check.key),
              condition: numberIn(['none', 'absent', 'exists', 'revision'], check.condition.kind),
              revision: check.condition.kind === 'revision' ? check.condition.revision : 0n,
            })),
            operations: from.operations.map(operationMessage),
          },
        },
      };
    case 'clear':
      return { body: { case: 'clear', value: { store: from.store } } };
    case 'configure':
      return { body: { case: 'configure', value: configureMessage(from) } };
    case 'adjustAllowance':
      return {
        body: {
          case: 'adjustAllowance',
          value: {
            store: from.store,
            entries: BigInt(from.entries),
            bytes: BigInt(from.bytes),
            settingsVersion: BigInt(from.settingsVersion),
          },
        },
      };
    case 'sweep': {
      const { limit, changesKeptBytes, countStore, forgetBeforeMs } = from;
      const forget = forgetBeforeMs === undefined ? {} : { forgetBeforeMs: BigInt(forgetBeforeMs) };
      return {
        body: { case: 'sweep', value: { limit, changesKeptBytes: BigInt(changesKeptBytes), countStore, ...forget } },
      };
    }
    case 'barrier':
      return { body: { case: 'barrier', value: {} } };
    default:
      return { body: reshapeMessage(from) };
  }
}

function givenMessage({ name, entries, bytes, hash }: GivenStore) {
  return { name, entries: BigInt(entries), bytes: BigInt(bytes), hash: bytesFromBinary(hash) };
}

function reshapeMessage(from: ReshapeCommand): BodyMessage['body'] {
  const reshape = bytesFromBinary(from.reshape);
  switch (from.kind) {
    case 'fence':
      return { case: 'fence', value: { ...from, slots: [...from.slots], ownedBefore: [...from.ownedBefore], reshape } };
    case 'unfence':
      return { case: 'unfence', value: { ...from, ownedBefore: [...from.ownedBefore], reshape } };
    case 'handOver':
      return { case: 'handOver', value: { ...from, reshape, stores: from.stores.map(givenMessage) } };
    case 'prepareAbsorb':
      return {
        case: 'prepareAbsorb',
        value: { stores: [...from.stores], ownedBefore: [...from.ownedBefore], reshape },
      };
    case 'remember': {
      const records = from.records.map((record) => ({
        id: bytesFromBinary(record.id),
        fingerprint: bytesFromBinary(record.fingerprint),
        expiresAtMs: BigInt(record.expiresAtMs),
        result: encodeCommandResult(record.result),
      }));
      return { case: 'remember', value: { reshape, records } };
    }
    case 'absorb': {
      const stores = from.stores.map((store) => ({
        store: givenMessage(store),
        ordinal: store.ordinal,
        expired: BigInt(store.expired),
        settings: configureMessage({ ...store, store: '' }),
      }));
      const { slots: taken, ownedBefore, expired, ...rest } = from;
      const value = { ...rest, reshape, slots: [...taken], ownedBefore: [...ownedBefore], expired: BigInt(expired) };
      return { case: 'absorb', value: { ...value, stores } };
    }
  }
}

function configureMessage(from: Omit<ConfigureStore, 'kind'>) {
  const { settings: set, settingsVersion, allowanceEntries, allowanceBytes, store } = from;
  const big = (n: number | undefined) => (n === undefined ? undefined : BigInt(n));
  return {
    store,
    defaultTtlMs: BigInt(set.defaultTtlMs),
    quotaEntries: big(set.quotaEntries)!,
    quotaBytes: big(set.quotaBytes)!,
    allowanceEntries: big(allowanceEntries)!,
    allowanceBytes: big(allowanceBytes)!,
    settingsVersion: BigInt(settingsVersion),
  };
}

function operationMessage(from: Operation) {
  const { condition: held } = from;
  const time: Ttl = 'ttl' in from ? from.ttl : { kind: 'default' };
  return {
    key: bytesFromBinary(from.key),
    kind: numberIn(['', 'put', 'delete', 'increment', 'append', 'mergePatch', 'touch'], from.kind),
    condition: numberIn(['none', 'absent', 'exists', 'revision'], held.kind),
    conditionRevision: held.kind === 'revision' ? held.revision : 0n,
    value: 'value' in from ? from.value : new Uint8Array(0),
    contentType: 'contentType' in from ? from.contentType : '',
    ttl: numberIn(['default', 'never', 'after', 'keep'], time.kind),
    ttlMs: time.kind === 'after' ? BigInt(time.ms) : 0n,
    ...(from.kind === 'increment' ? { delta: from.delta, min: from.min!, max: from.max! } : {}),
  };
}

export function batchMessage(from: Batch): Uint8Array {
  const sessions = [...new Set(from.commands.flatMap((one) => (one.stamp === undefined ? [] : [one.stamp.session])))];
  const commands = from.commands.map((one) => ({
    ...bodyMessage(one.body),
    ...(one.slotsEpoch === undefined ? {} : { slotsEpoch: one.slotsEpoch }),
    ...(one.stamp === undefined
      ? {}
      : {
          session: sessions.indexOf(one.stamp.session) + 1,
          counter: one.stamp.counter,
          firstUnanswered: one.stamp.firstUnanswered,
          opensSession: one.stamp.opens,
        }),
    ...(one.idempotency === undefined
      ? {}
      : {
          idempotency: {
            id: bytesFromBinary(one.idempotency.id),
            fingerprint: bytesFromBinary(one.idempotency.fingerprint),
          },
        }),
  }));
  const { partition, number, proposer } = from;
  const init = {
    format: batchFormat,
    partition,
    number,
    proposer: bytesFromBinary(proposer),
    sessions: sessions.map(bytesFromBinary),
    commands,
  };
  return toBinary(BatchSchema, create(BatchSchema, init as MessageInitShape<typeof BatchSchema>));
}
