// The input formats: which bytes of the input are an entry's value, and which part of it is the key.
import { isUtf8 } from 'node:buffer';
import { StateStoreError, limits } from '@statestore/core';
import type { Parsed } from './record.ts';
import { bad, record } from './record.ts';

export const formatNames = ['ndjson', 'tsv', 'deb822'] as const;
export type FormatName = (typeof formatNames)[number];

/** Takes lines without their newline; gives a record where one is complete. */
export interface FormatParser {
  line(line: Uint8Array, number: number): Parsed | undefined;
  end(): Parsed | undefined;
}

/** Of the values, as the store will keep it. */
export const contentTypes: Readonly<Record<FormatName, string>> = {
  ndjson: 'application/json',
  tsv: 'text/tab-separated-values',
  deb822: 'text/plain',
};

/** `field`: where the key is; undefined: the format's default. */
export function formatParser(format: FormatName, field: string | undefined): FormatParser {
  switch (format) {
    case 'ndjson':
      return ndjson(field ?? 'key');
    case 'tsv':
      return tsv(field);
    case 'deb822':
      return deb822(field ?? 'Package');
  }
}

function textOf(bytes: Uint8Array): string | undefined {
  return isUtf8(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8') : undefined;
}

/** A JSON value a line; the value is the whole line. The key's path is dotted: `user.id`. */
function ndjson(field: string): FormatParser {
  const path = field.split('.');
  return {
    line(bytes, number) {
      const text = textOf(bytes);
      if (text === undefined) return bad(number, 'the line is not UTF-8');
      if (text.trim() === '') return undefined;
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch (cause) {
        return bad(number, `the line is not JSON: ${(cause as SyntaxError).message}`);
      }
      for (const name of path) {
        value = member(value, name);
      }
      if (typeof value === 'string') return record(value, bytes, number);
      // Other numbers would be loaded under a rounded name.
      if (Number.isSafeInteger(value)) return record(String(value), bytes, number);
      const was = value === undefined ? 'absent' : JSON.stringify(value).slice(0, 60);
      return bad(number, `field ${field} is ${was}; a key may be a string or an integer below 2^53`);
    },
    end: () => undefined,
  };
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Record<string, unknown>)[name];
}

/** Columns by tabs, the first line names them; the value is the whole line. */
function tsv(field: string | undefined): FormatParser {
  let column: number | undefined;
  const columnsOf = (text: string): string[] => (text.endsWith('\r') ? text.slice(0, -1) : text).split('\t');
  return {
    line(bytes, number) {
      const text = textOf(bytes);
      if (column === undefined) {
        const names = columnsOf(text ?? '');
        column = field === undefined ? 0 : names.indexOf(field);
        if (column !== -1) return undefined;
        const known = names.slice(0, 20).join(', ');
        throw new StateStoreError('invalid_settings', `--key is ${field}; the columns of the input are ${known}`);
      }
      if (text === undefined) return bad(number, 'the line is not UTF-8');
      if (text === '') return undefined;
      const key = columnsOf(text)[column];
      return key === undefined ? bad(number, `the line has no column ${column + 1}`) : record(key, bytes, number);
    },
    end: () => undefined,
  };
}

/**
 * Stanzas of `Field: value` lines with an empty line between them, as Debian's package index has them
 * (deb-control(5)); the value is the stanza without its last newline.
 */
function deb822(field: string): FormatParser {
  const wanted = `${field.toLowerCase()}:`;
  let lines: Uint8Array[] = [];
  let bytesTotal = 0;
  let key: string | undefined;
  let began = 0;
  const finish = (): Parsed | undefined => {
    if (lines.length === 0) return undefined;
    const value = Buffer.concat(lines, bytesTotal).subarray(0, -1);
    const stanza = key === undefined ? bad(began, `the stanza has no field ${field}`) : record(key, value, began);
    lines = [];
    bytesTotal = 0;
    key = undefined;
    return stanza;
  };
  const feed = Buffer.from('\n');
  return {
    line(bytes, number) {
      if (isBlank(bytes)) return finish();
      if (lines.length === 0) began = number;
      lines.push(bytes, feed);
      bytesTotal += bytes.length + 1;
      if (bytesTotal > limits.loadRecordBytesMax) {
        throw new StateStoreError(
          'invalid_body',
          `the stanza at line ${began} of the input is over ${limits.loadRecordBytesMax} bytes long`,
          { hint: 'Is --format right?' },
        );
      }
      if (key === undefined && bytes.length >= wanted.length) {
        const head = Buffer.from(bytes.buffer, bytes.byteOffset, wanted.length).toString('latin1');
        if (head.toLowerCase() === wanted) key = textOf(bytes.subarray(wanted.length))?.trim();
      }
      return undefined;
    },
    end: finish,
  };
}

function isBlank(line: Uint8Array): boolean {
  for (const byte of line) if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d) return false;
  return true;
}
