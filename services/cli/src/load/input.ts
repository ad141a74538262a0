// Reads an input of any size as arrays of records, one array a chunk, so that memory holds a chunk
// and not the file.
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { StateStoreError } from '@statestore/core';
import type { FormatName } from './formats.ts';
import { formatParser } from './formats.ts';
import { LineSplitter } from './lines.ts';
import type { Parsed } from './record.ts';

/** `-` is standard input. */
export const standardInput = '-';

export interface Input {
  readonly path: string;
  /** Undefined where it is not known beforehand. */
  readonly sizeBytes: number | undefined;
  /** Bytes handed out by `records` so far. */
  readBytes: number;
  close(): Promise<void>;
}

/**
 * `twice`: the input will be read again (to verify), so standard input, which can be read only once,
 * is kept in a temporary file.
 */
export async function openInput(path: string, twice: boolean): Promise<Input> {
  if (path !== standardInput) {
    const info = await stat(path).catch((cause: unknown) => {
      throw new StateStoreError('invalid_settings', `--file is ${path}, which cannot be read`, { cause });
    });
    if (info.isDirectory()) throw new StateStoreError('invalid_settings', `--file is ${path}, which is a folder`);
    return { path, sizeBytes: info.isFile() ? info.size : undefined, readBytes: 0, close: async () => {} };
  }
  if (!twice) return { path, sizeBytes: undefined, readBytes: 0, close: async () => {} };
  const folder = await mkdtemp(join(tmpdir(), 'statestore-load-'));
  const copy = join(folder, 'input');
  await pipeline(process.stdin, createWriteStream(copy));
  return {
    path: copy,
    sizeBytes: (await stat(copy)).size,
    readBytes: 0,
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

export async function* records(
  input: Input,
  format: FormatName,
  field: string | undefined,
): AsyncGenerator<readonly Parsed[]> {
  const parser = formatParser(format, field);
  const splitter = new LineSplitter();
  let parsed: Parsed[] = [];
  const onLine = (line: Uint8Array, number: number): void => {
    const one = parser.line(line, number);
    if (one !== undefined) parsed.push(one);
  };
  const stream = input.path === standardInput ? process.stdin : createReadStream(input.path);
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    splitter.push(chunk, onLine);
    input.readBytes += chunk.length;
    if (parsed.length > 0) yield parsed;
    parsed = [];
  }
  splitter.end(onLine);
  const last = parser.end();
  if (last !== undefined) parsed.push(last);
  if (parsed.length > 0) yield parsed;
}
