// The layout is persisted: every golden value here is what some disk holds. Where one of these tests
// fails, either the change is a mistake or it needs another stateFormat and a migration.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BinaryString } from '../binary-string.ts';
import { binaryFromBytes, bytesFromBinary } from '../binary-string.ts';
import { StateStoreError } from '../errors.ts';
import { commandResult, operationResult } from '../result.ts';
import { changeKey, decodeChanges, encodeChanges, parseChangeKey } from './change.ts';
import { decodeEntry, encodeEntry, entryExpiry, entryKeyPrefix, entryRevision, entryValueOffset } from './entry.ts';
import { expiryEnd, expiryKey, parseExpiryKey } from './expiry.ts';
import { decodeHead, encodeHead } from './head.ts';
import {
  decodeIdempotency,
  encodeIdempotency,
  idempotencyExpiryEnd,
  idempotencyExpiryKey,
  idempotencyKey,
  parseIdempotencyExpiryKey,
} from './idempotency.ts';
import { timeAt, timeKey, uint32At, uint32Key, uint64At, uint64Key } from './numbers.ts';
import { decodeRetired, encodeRetired, parseRetiredKey, retiredKey } from './retired.ts';
import { decodeSession, encodeSession, parseSessionKey, rememberedResult, sessionKey } from './session.ts';
import { decodeStore, encodeStore, newStore, storeKey } from './store.ts';

const hexOf = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
const hexOfKey = (key: BinaryString): string => hexOf(bytesFromBinary(key));
const text = new TextEncoder();
const id = '0123456789abcdef';
const idHex = '30313233343536373839616263646566';
const timeMs = 1_700_000_000_123;
const entry = {
  revision: 0x0102030405060708n,
  expiresAtMs: timeMs,
  contentType: 'image/png',
  value: text.encode('hi'),
};
const head = {
  position: 7n,
  clockNanos: 1_700_000_000_123_456_789n,
  revision: 300n,
  chain: new Uint8Array(16).fill(0xaa),
  stateHash: new Uint8Array(16).fill(0xbb),
  nextOrdinal: 3,
  entries: 2n,
  bytes: 1000n,
  expired: 1n,
  changesFrom: 5n,
  changesBytes: 99n,
};
const fenced = {
  reshape: id,
  slots: [{ start: 0, end: 5 }],
  position: 6n,
  revision: 299n,
  clockNanos: 1_700_000_000_000_000_000n,
  chain: new Uint8Array(16).fill(0xcc),
  nextOrdinal: 3,
};
const owned = {
  slots: [
    { start: 0, end: 9 },
    { start: 300, end: 4096 },
  ],
  slotsEpoch: 12n,
  fenced,
  ended: { reshape: id, position: 4n, slotsEpoch: 12n, fenced },
};
const result = commandResult('done', {
  operations: [
    operationResult('done', { revision: 5n, existed: true, number: -1n, sizeBytes: 2, expiresAtMs: timeMs }),
  ],
});
const session = { firstUnanswered: 3, lastUsedMs: timeMs, results: new Map([[4, rememberedResult(result)]]) };
const idempotency = { fingerprint: id, expiresAtMs: timeMs, result };
const changes = {
  changes: [
    { kind: 'put', revision: 1n, store: 'a', key: 'k' },
    { kind: 'delete', revision: 2n, store: 'b', key: '\xff' },
    { kind: 'expire', revision: 3n, store: 'a', key: 'l' },
    { kind: 'clear', revision: 4n, store: 'b', key: '' },
  ],
  clockNanos: 1n,
} as const;

function store() {
  const made = newStore('orders');
  Object.assign(made, { ordinal: 9, keyPrefix: entryKeyPrefix(9), entries: 2, bytes: 1000, expired: 1 });
  made.hash.set([1, 2, 3, 0xffffffff]);
  made.settings = { defaultTtlMs: 60_000, quotaEntries: 0, quotaBytes: 5 };
  made.allowanceEntries = 0;
  return made;
}

describe('golden keys', () => {
  test.each<[what: string, key: BinaryString, hex: string]>([
    ['store', storeKey('orders'), '026f7264657273'],
    ['retired keyspace', retiredKey(0x01020304), '0301020304'],
    ['entry', `${entryKeyPrefix(0x01020304)}k\xff`, '10010203046bff'],
    ['expiry', expiryKey(timeMs, 0x01020304, 'k'), '20018bcfe5687b010203046b'],
    ['end of what expired', expiryEnd(timeMs), '20018bcfe5687c'],
    ['change', changeKey(0x0102030405060708n), '300102030405060708'],
    ['session', sessionKey(id), `40${idHex}`],
    ['idempotency', idempotencyKey(id), `41${idHex}`],
    ['idempotency by expiry', idempotencyExpiryKey(timeMs, id), `42018bcfe5687b${idHex}`],
    ['end of expired idempotency', idempotencyExpiryEnd(timeMs), '42018bcfe5687c'],
  ])('of a record of kind %s', (_, key, hex) => expect(hexOfKey(key)).toBe(hex));

  test('are read back', () => {
    expect(parseRetiredKey(retiredKey(0xfffffffe))).toBe(0xfffffffe);
    expect(parseExpiryKey(expiryKey(timeMs, 7, 'key'))).toEqual({ expiresAtMs: timeMs, ordinal: 7, key: 'key' });
    expect(parseChangeKey(changeKey(2n ** 63n + 1n))).toBe(2n ** 63n + 1n);
    expect(parseSessionKey(sessionKey(id))).toBe(id);
    expect(parseIdempotencyExpiryKey(idempotencyExpiryKey(timeMs, id))).toBe(id);
  });
});

const golden: readonly (readonly [what: string, bytes: Uint8Array, hex: string])[] = [
  [
    'entry that expires, content type spelled out',
    encodeEntry(entry),
    '0f0102030405060708018bcfe5687b09696d6167652f706e676869',
  ],
  [
    'entry for ever, common content type',
    encodeEntry({ ...entry, expiresAtMs: 0, contentType: 'application/json' }),
    '0401020304050607086869',
  ],
  [
    'entry with nothing',
    encodeEntry({ revision: 1n, expiresAtMs: 0, contentType: '', value: new Uint8Array(0) }),
    '000000000000000001',
  ],
  [
    'head',
    encodeHead(head),
    '0801100718959a97ece39fe7cb1720ac022a10aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa3210bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb3803400248e807500158056063',
  ],
  [
    'head of a partition that was reshaped',
    encodeHead({ ...head, owned }),
    '0802100718959a97ece39fe7cb1720ac022a10aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa3210bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb3803400248e8075001580560636a9c010a0210090a0608ac02108020100c1a390a103031323334353637383961626364656612021005180620ab02288080a8b1e39fe7cb173210cccccccccccccccccccccccccccccccc380322510a10303132333435363738396162636465661004180c22390a103031323334353637383961626364656612021005180620ab02288080a8b1e39fe7cb173210cccccccccccccccccccccccccccccccc3803',
  ],
  ['retired keyspace', encodeRetired({ store: 'order', slots: owned.slots }), '0a056f7264657212021009120608ac02108020'],
  ['retired keyspace of a partition that was never reshaped', encodeRetired(undefined), ''],
  [
    'store',
    encodeStore(store()),
    '0a066f72646572731009180220e8072a10010000000200000003000000ffffffff30e0d4033800400548005801',
  ],
  ['session', encodeSession(session), '080310fbd095ffbc311a1508041211120f100518012001280230fbd095ffbc31'],
  [
    'idempotency',
    encodeIdempotency(idempotency),
    '0a103031323334353637383961626364656610fbd095ffbc311a11120f100518012001280230fbd095ffbc31',
  ],
  [
    'changes',
    encodeChanges(changes),
    '0a01610a016212070801100122016b12090802100218012201ff12070803100322016c12060804100418011801',
  ],
];

describe('golden values', () => {
  test.each(golden)('of a record: %s', (_, bytes, hex) => expect(hexOf(bytes)).toBe(hex));

  test('are read back', () => {
    expect(decodeHead(encodeHead(head))).toMatchObject(head);
    for (const part of [owned, { ...owned, slots: [], fenced: undefined, ended: undefined }])
      expect(decodeHead(encodeHead({ ...head, owned: part })).owned).toEqual(part);
    expect(decodeRetired(encodeRetired({ store: 'order', slots: owned.slots }))).toEqual({
      store: 'order',
      slots: owned.slots,
    });
    expect(decodeRetired(encodeRetired(undefined))).toBeUndefined();
    expect(decodeStore(encodeStore(store()))).toEqual(store());
    expect(decodeSession(encodeSession(session))).toEqual(session);
    expect(decodeIdempotency(encodeIdempotency(idempotency))).toEqual(idempotency);
    expect(decodeChanges(encodeChanges(changes))).toEqual(changes);
  });

  test('the content types by number', () => {
    const common = [
      '',
      'application/octet-stream',
      'application/json',
      'text/plain',
      'application/x-www-form-urlencoded',
      'text/plain; charset=utf-8',
      'application/json; charset=utf-8',
    ];
    const flags = common.map((contentType) => encodeEntry({ ...entry, contentType, expiresAtMs: 0 })[0]);
    expect(flags).toEqual([0, 2, 4, 6, 8, 10, 12]);
  });
});

describe('orders', () => {
  const ordered = <T>(value: fc.Arbitrary<T>, key: (value: T) => BinaryString, less: (a: T, b: T) => boolean) =>
    fc.assert(
      fc.property(value, value, (a, b) => {
        expect(key(a) < key(b)).toBe(less(a, b));
      }),
    );

  test('of numbers inside keys is that of the numbers', () => {
    ordered(fc.integer({ min: 0, max: 0xffff_ffff }), uint32Key, (a, b) => a < b);
    ordered(fc.integer({ min: 0, max: 2 ** 48 - 1 }), timeKey, (a, b) => a < b);
    ordered(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), uint64Key, (a, b) => a < b);
  });

  test('numbers inside keys are read back', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 48 - 1 }),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        (time, big) => {
          expect(timeAt(`x${timeKey(time)}`, 1)).toBe(time);
          expect(uint64At(`x${uint64Key(big)}`, 1)).toBe(big);
          expect(uint32At(uint32Key(time >>> 0), 0)).toBe(time >>> 0);
        },
      ),
    );
  });

  test('what expired at a time lies before its end, what did not, after', () => {
    const time = fc.integer({ min: 1, max: 10 });
    fc.assert(
      fc.property(time, time, (expiresAtMs, clockMs) => {
        expect(expiryKey(expiresAtMs, 0xffff_ffff, '\xff') < expiryEnd(clockMs)).toBe(expiresAtMs <= clockMs);
      }),
    );
  });
});

const anyEntry = fc.record({
  revision: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  expiresAtMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2 ** 48 - 1 })),
  contentType: fc.oneof(
    fc.constantFrom('', 'text/plain', 'text/plain; charset=utf-8', 'é'),
    fc.string({ maxLength: 60 }),
  ),
  value: fc.uint8Array({ maxLength: 50 }),
});

describe('entries', () => {
  test('any one is read back, whole and in parts', () => {
    fc.assert(
      fc.property(anyEntry, (some) => {
        const bytes = encodeEntry(some);
        expect(decodeEntry(bytes)).toEqual(some);
        expect(entryExpiry(bytes)).toBe(some.expiresAtMs);
        expect(entryRevision(bytes)).toBe(some.revision);
        expect(bytes.length - entryValueOffset(bytes)).toBe(some.value.length);
      }),
    );
  });

  test('cut inside the header is damage, never something else', () => {
    fc.assert(
      fc.property(anyEntry, (some) => {
        const bytes = encodeEntry(some);
        for (let length = 0; length < entryValueOffset(bytes); length++) {
          expect(() => decodeEntry(bytes.subarray(0, length))).toThrow(
            expect.objectContaining({ code: 'data_corrupt' }),
          );
        }
      }),
    );
  });

  test('a content type that is not UTF-8 is damage', () => {
    const bytes = encodeEntry({ ...entry, contentType: 'image/é' });
    bytes[bytes.length - 3] = 0xff;
    expect(() => decodeEntry(bytes)).toThrow(expect.objectContaining({ code: 'data_corrupt' }));
  });
});

describe('damaged records', () => {
  const decoders = {
    head: [encodeHead(head), decodeHead],
    'head with slots': [encodeHead({ ...head, owned }), decodeHead],
    retired: [encodeRetired({ store: 'order', slots: owned.slots }), decodeRetired],
    store: [encodeStore(store()), decodeStore],
    session: [encodeSession(session), decodeSession],
    idempotency: [encodeIdempotency(idempotency), decodeIdempotency],
    changes: [encodeChanges(changes), decodeChanges],
  } as const satisfies Record<string, readonly [Uint8Array, (bytes: Uint8Array) => unknown]>;

  test.each(Object.entries(decoders))(
    '%s: random bytes and cuts give a typed error or a record',
    (_, [whole, decode]) => {
      const tryOne = (bytes: Uint8Array) => {
        try {
          decode(bytes);
        } catch (error) {
          if (!(error instanceof StateStoreError) || !error.code.startsWith('data_')) throw error;
        }
      };
      for (let length = 0; length < whole.length; length++) tryOne(whole.subarray(0, length));
      fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), tryOne), { numRuns: 2000 });
      fc.assert(
        fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
          const changed = whole.slice();
          changed[at] = byte;
          tryOne(changed);
        }),
        { numRuns: 2000 },
      );
    },
  );

  test('a head of another layout is refused as such', () => {
    const newer = encodeHead(head);
    expect(binaryFromBytes(newer.subarray(0, 2))).toBe('\x08\x01');
    newer[1] = 3;
    expect(() => decodeHead(newer)).toThrow(expect.objectContaining({ code: 'data_format' }));
    // A version of before must not take records for the state's that are none.
    expect(binaryFromBytes(encodeHead({ ...head, owned }).subarray(0, 2))).toBe('\x08\x02');
    newer[1] = 2;
    expect(() => decodeHead(newer)).toThrow(expect.objectContaining({ code: 'data_corrupt' }));
  });
});
