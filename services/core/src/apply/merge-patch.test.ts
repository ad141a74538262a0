import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { jsonDepthMax } from '../limits.ts';
import { applyMergePatch, parseJson } from './merge-patch.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The patched text, or why there is none. */
function patched(target: string | undefined, patch: string): string {
  const result = applyMergePatch(target === undefined ? undefined : bytes(target), bytes(patch));
  return result.kind === 'patched' ? new TextDecoder().decode(result.value) : result.kind;
}

describe('RFC 7396, appendix A', () => {
  test.each([
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', '{}'],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['["a","b"]', '["c","d"]', '["c","d"]'],
    ['{"a":"b"}', '["c"]', '["c"]'],
    ['{"a":"foo"}', 'null', 'null'],
    ['{"a":"foo"}', '"bar"', '"bar"'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
    ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ])('%s patched with %s is %s', (target, patch, expected) => expect(patched(target, patch)).toBe(expected));
});

describe('a merge patch', () => {
  test('of what is absent starts from an empty object', () => {
    expect(patched(undefined, '{"a":{"b":null,"c":1}}')).toBe('{"a":{"c":1}}');
  });

  test.each(['12345678901234567890123', '1e400', '0.1000000000000000055511151231257827', '-0', '1.0', '1E+2'])(
    'keeps the number %s as it is written',
    (number) => {
      expect(patched(`{"kept":${number}}`, '{"a":1}')).toBe(`{"kept":${number},"a":1}`);
      expect(patched('{}', `{"new":[${number}]}`)).toBe(`{"new":[${number}]}`);
      expect(patched('{}', number)).toBe(number);
    },
  );

  test('keeps objects that look like a number of the library', () => {
    for (const fake of [
      '{"isLosslessNumber":true,"value":"1"}',
      '{"isLosslessNumber":true}',
      '{"toJSON":1,"toString":2,"valueOf":3}',
    ]) {
      expect(patched(`{"a":${fake}}`, '{"b":1}')).toBe(`{"a":${fake},"b":1}`);
      expect(patched('{}', fake)).toBe(fake);
    }
  });

  test('members named as what every object inherits are members like others', () => {
    expect(patched('{}', '{"constructor":{"a":1},"toString":{"b":2},"hasOwnProperty":null}')).toBe(
      '{"constructor":{"a":1},"toString":{"b":2}}',
    );
    expect(patched('{"constructor":1}', '{"constructor":null}')).toBe('{}');
  });

  test.each([
    '{"__proto__":{"a":1}}',
    '{"x":{"__proto__":null}}',
    String.raw`{"\u005f_proto__":1}`,
    String.raw`[{"\u005f\u005f\u0070roto__":1}]`,
  ])('%s is refused, as patch and as target', (text) => {
    expect(patched('{}', text)).toBe('invalid_patch');
    expect(patched(text, '{}')).toBe('not_json');
    expect(({} as Record<string, unknown>)['a']).toBeUndefined();
  });

  test('the name may stand inside a string', () =>
    expect(patched('{}', '{"a":"__proto__"}')).toBe('{"a":"__proto__"}'));

  test.each([
    '',
    ' ',
    '{',
    '{"a"}',
    '[1,]',
    'nul',
    '01',
    '+1',
    "{'a':1}",
    '{"a":1} x',
    '{"a":1,"a":2}',
    '\u{1f642}',
    'undefined',
    'NaN',
  ])('%j is not JSON', (text) => {
    expect(patched('{}', text)).toBe('invalid_patch');
    expect(patched(text, '{}')).toBe('not_json');
  });

  test('bytes that are not UTF-8 are not JSON', () => {
    const broken = Uint8Array.of(0x22, 0xff, 0x22);
    expect(applyMergePatch(broken, bytes('{}')).kind).toBe('not_json');
    expect(applyMergePatch(undefined, broken).kind).toBe('invalid_patch');
  });

  test('nests as deep as the limit, not deeper; brackets inside strings do not count', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    expect(patched('{}', nested(jsonDepthMax))).toBe(nested(jsonDepthMax));
    expect(patched('{}', nested(jsonDepthMax + 1))).toBe('invalid_patch');
    expect(patched(nested(jsonDepthMax + 1), '{}')).toBe('not_json');
    expect(patched('{}', nested(100_000))).toBe('invalid_patch');
    expect(patched('{}', '['.repeat(100_000))).toBe('invalid_patch');
    const quoted = JSON.stringify(`\\"${'['.repeat(200)}`);
    expect(patched('{}', quoted)).toBe(quoted);
  });

  test('agrees with a plain one on any document without odd numbers or names', () => {
    const json = fc.jsonValue({ maxDepth: 4 }).filter((value) => !JSON.stringify(value).includes('__proto__'));
    const plain = (target: unknown, patch: unknown): unknown => {
      if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
      const base = typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {};
      const merged = new Map<string, unknown>(Object.entries(base));
      for (const [name, value] of Object.entries(patch)) {
        if (value === null) merged.delete(name);
        else merged.set(name, plain(merged.get(name), value));
      }
      return Object.fromEntries(merged);
    };
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const result = patched(JSON.stringify(target), JSON.stringify(patch));
        expect(JSON.parse(result)).toEqual(JSON.parse(JSON.stringify(plain(target, patch))));
        expect(parseJson(bytes(result))).toBeDefined();
      }),
    );
  });
});
