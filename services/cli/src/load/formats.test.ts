import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FormatName } from './formats.ts';
import { formatParser } from './formats.ts';
import { LineSplitter } from './lines.ts';
import type { Parsed } from './record.ts';

/** Parses text cut into chunks of `size` bytes. */
function parse(format: FormatName, bytes: Uint8Array, size: number, field?: string): Parsed[] {
  const parser = formatParser(format, field);
  const splitter = new LineSplitter();
  const parsed: Parsed[] = [];
  const onLine = (line: Uint8Array, number: number): void => {
    const one = parser.line(line, number);
    if (one !== undefined) parsed.push(one);
  };
  for (let at = 0; at < bytes.length; at += size) splitter.push(bytes.subarray(at, at + size), onLine);
  splitter.end(onLine);
  const last = parser.end();
  if (last !== undefined) parsed.push(last);
  return parsed;
}

function shown(parsed: readonly Parsed[]): string[] {
  return parsed.map((one) =>
    one.kind === 'bad'
      ? `${one.line} bad`
      : `${one.record.line} ${one.record.key} = ${Buffer.from(one.record.value).toString('latin1')}`,
  );
}

const utf8 = (text: string): Uint8Array => Buffer.from(text);

describe('formats', () => {
  test('ndjson: the value is the line as it is, the key a dotted path', () => {
    const text =
      '{"user": {"id": "a"} }\n\n{"user":{"id":7}}\r\n{"user":{}}\nnot json\n{"user":{"id":1e300}}\n{"user":{"id":"é"}}';
    expect(shown(parse('ndjson', utf8(text), 7, 'user.id'))).toEqual([
      '1 a = {"user": {"id": "a"} }',
      '3 7 = {"user":{"id":7}}\r',
      '4 bad',
      '5 bad',
      '6 bad',
      `7 é = ${Buffer.from('{"user":{"id":"é"}}').toString('latin1')}`,
    ]);
  });

  test('ndjson: inherited names are no fields', () => {
    expect(shown(parse('ndjson', utf8('{"a":1}\n"text"\nnull\n'), 100, 'constructor.name'))).toEqual([
      '1 bad',
      '2 bad',
      '3 bad',
    ]);
  });

  test('tsv: the header names the columns', () => {
    const text = 'id\tname\r\n1\tone\r\n2\ttwo\r\n\tnone\n3\n';
    expect(shown(parse('tsv', utf8(text), 3))).toEqual(['2 1 = 1\tone\r', '3 2 = 2\ttwo\r', '4 bad', '5 3 = 3']);
    expect(shown(parse('tsv', utf8(text), 3, 'name'))).toEqual([
      '2 one = 1\tone\r',
      '3 two = 2\ttwo\r',
      '4 none = \tnone',
      '5 bad',
    ]);
    expect(() => parse('tsv', utf8(text), 3, 'size')).toThrow('--key is size; the columns of the input are id, name');
  });

  test('deb822: a stanza is an entry', () => {
    const text =
      'Package: a\nVersion: 1\n\n\nVersion: 2\npackage:  b\nDescription: x\n .\n y\n\nVersion: 3\n \nPackage: c';
    expect(shown(parse('deb822', utf8(text), 5))).toEqual([
      '1 a = Package: a\nVersion: 1',
      '5 b = Version: 2\npackage:  b\nDescription: x\n .\n y',
      '11 bad',
      '13 c = Package: c',
    ]);
  });

  test('bytes that are not UTF-8 stay in values and are refused in keys', () => {
    const bytes = Buffer.from('Package: a\nDescription: \xff\xfe\n\nPackage: \xff\n', 'latin1');
    expect(shown(parse('deb822', bytes, 4))).toEqual(['1 a = Package: a\nDescription: \xff\xfe', '4 bad']);
  });

  test('how the input is cut into chunks makes no difference', () => {
    const line = fc.stringMatching(/^(Package: [a-c]|[ -~]{0,9}|)$/);
    fc.assert(
      fc.property(fc.array(line), fc.integer({ min: 1, max: 40 }), fc.boolean(), (lines, size, ends) => {
        const bytes = utf8(lines.join('\n') + (ends ? '\n' : ''));
        for (const format of ['ndjson', 'tsv', 'deb822'] as const) {
          expect(shown(parse(format, bytes, size))).toEqual(shown(parse(format, bytes, 1 << 20)));
        }
      }),
    );
  });
});
