// Commands for property tests: few keys, stores, sessions and numbers, so that they meet often; every
// kind, every refusal.
import type { Check, Command, CommandBody, Condition, Operation, Ttl } from '@statestore/core';
import { binaryFromText, bytesFromBinary, limits } from '@statestore/core';
import fc from 'fast-check';

export const stores = ['a', 'b', 'c'] as const;
export const keys = ['k', 'l', 'm', 'k\x00', 'k\xff', '{t}1', '{t}2', 'long'.repeat(20)] as const;

const store = fc.constantFrom(...stores);
const key = fc.constantFrom(...keys);
const revision = fc.bigInt({ min: 0n, max: 20n });
const condition: fc.Arbitrary<Condition> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Condition>({ kind: 'none' }) },
  { weight: 1, arbitrary: fc.constantFrom<Condition>({ kind: 'absent' }, { kind: 'exists' }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('revision' as const), revision }) },
);
const ttlMs = fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.constant(limits.ttlMsMax));
const ttl: fc.Arbitrary<Ttl> = fc.oneof(
  fc.constantFrom<Ttl>({ kind: 'default' }, { kind: 'never' }, { kind: 'keep' }),
  fc.record({ kind: fc.constant('after' as const), ms: ttlMs }),
);
const text = (...texts: readonly string[]): fc.Arbitrary<Uint8Array> =>
  fc.constantFrom(...texts).map((one) => bytesFromBinary(binaryFromText(one)));
const value = fc.oneof(
  text('', '0', '-5', '9223372036854775807', '007', 'no number', '{"a":1,"b":{"c":[2]}}', '[1]', '{"a":'),
  fc.uint8Array({ maxLength: 12 }),
  fc.nat({ max: 60 }).map((length) => new Uint8Array(length).fill(0x78)),
);
const patch = text('{"a":null,"n":3}', '{"b":{"c":null,"d":"x"}}', '[]', '"s"', '{', '{"z":{"y":{"x":null}}}');
const contentType = fc.constantFrom('', 'text/plain', 'application/json', 'image/png');
const delta = fc.oneof(fc.bigInt({ min: -5n, max: 5n }), fc.constantFrom(2n ** 62n, -(2n ** 62n)));
const on = { key, condition };
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ ...on, kind: fc.constant('put' as const), value, contentType, ttl }) },
  { weight: 2, arbitrary: fc.record({ ...on, kind: fc.constant('delete' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record(
      {
        ...on,
        kind: fc.constant('increment' as const),
        delta,
        ttl,
        min: fc.constantFrom(-10n, 0n),
        max: fc.constantFrom(3n, 10n),
      },
      { requiredKeys: ['key', 'condition', 'kind', 'delta', 'ttl'] },
    ),
  },
  { weight: 2, arbitrary: fc.record({ ...on, kind: fc.constant('append' as const), value, contentType, ttl }) },
  { weight: 2, arbitrary: fc.record({ ...on, kind: fc.constant('mergePatch' as const), value: patch, ttl }) },
  { weight: 1, arbitrary: fc.record({ ...on, kind: fc.constant('touch' as const), ttl }) },
);
const check: fc.Arbitrary<Check> = fc.record(on);
/** Few, so that they are often the same, or older. */
const settingsVersion = fc.nat(3);
const allowanceEntries = fc.option(fc.nat(6), { nil: undefined });
const allowanceBytes = fc.option(fc.nat(200), { nil: undefined });
const countStore = fc.constantFrom('', ...stores);
/** The log's time at the first step. */
export const startMs = 1_700_000_000_000;
/** About the times of the steps, some before and some after the clock; and nothing at all, as after a restart. */
const forgetBeforeMs = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 4, arbitrary: fc.nat({ max: 15_000 }).map((ms) => startMs + ms) },
  { weight: 1, arbitrary: fc.nat({ max: 15_000 }).map((ms) => startMs + limits.deduplicationWindowMs + ms) },
);

function body(changesKeptBytes: fc.Arbitrary<number>): fc.Arbitrary<CommandBody> {
  const mutate = {
    kind: fc.constant('mutate' as const),
    store,
    atomic: fc.boolean(),
    checks: fc.array(check, { maxLength: 2 }),
    operations: fc.array(operation, { minLength: 1, maxLength: 4 }),
  };
  return fc.oneof(
    { weight: 12, arbitrary: fc.record(mutate).map((one) => (one.atomic ? one : { ...one, checks: [] })) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), store }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('configure' as const),
        store,
        settings: fc.record({
          defaultTtlMs: fc.constantFrom(0, 500),
          quotaEntries: allowanceEntries,
          quotaBytes: allowanceBytes,
        }),
        settingsVersion,
        allowanceEntries,
        allowanceBytes,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('adjustAllowance' as const),
        store,
        settingsVersion,
        entries: fc.integer({ min: -4, max: 4 }),
        bytes: fc.integer({ min: -99, max: 99 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record(
        {
          kind: fc.constant('sweep' as const),
          limit: fc.oneof(fc.nat(5), fc.constant(1000)),
          changesKeptBytes,
          countStore,
          forgetBeforeMs,
        },
        { requiredKeys: ['kind', 'limit', 'changesKeptBytes', 'countStore'] },
      ),
    },
    { weight: 1, arbitrary: fc.constant<CommandBody>({ kind: 'barrier' }) },
  );
}

const session = fc.constantFrom('session-number-1', 'session-number-2');
const stamp = fc.record({
  session,
  counter: fc.integer({ min: 1, max: 8 }),
  firstUnanswered: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(6) }),
  opens: fc.boolean(),
});
const idempotency = fc.record({
  id: fc.constantFrom('idempotency-id-1', 'idempotency-id-2'),
  fingerprint: fc.constantFrom('fingerprint-of-1', 'fingerprint-of-2'),
});

export function command(changesKeptBytes: fc.Arbitrary<number> = fc.constantFrom(0, 150, 1e9)): fc.Arbitrary<Command> {
  const parts = { body: body(changesKeptBytes) };
  return fc.oneof(
    { weight: 4, arbitrary: fc.record(parts) },
    { weight: 2, arbitrary: fc.record({ ...parts, stamp }) },
    { weight: 1, arbitrary: fc.record({ ...parts, idempotency }) },
    { weight: 1, arbitrary: fc.record({ ...parts, stamp, idempotency }) },
  );
}

/** Commands that the log stamps with one time. */
export interface Step {
  /** Since the step before, ms; the log's clock may run backwards. */
  readonly elapsedMs: number;
  readonly commands: readonly Command[];
}

export function steps(one: fc.Arbitrary<Command> = command()): fc.Arbitrary<readonly Step[]> {
  const elapsedMs = fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 1500 }) },
    { weight: 2, arbitrary: fc.integer({ min: -2000, max: -1 }) },
    { weight: 1, arbitrary: fc.constantFrom(limits.deduplicationWindowMs - 1, limits.deduplicationWindowMs) },
  );
  return fc.array(fc.record({ elapsedMs, commands: fc.array(one, { minLength: 1, maxLength: 5 }) }), {
    maxLength: 25,
    size: 'max',
  });
}
