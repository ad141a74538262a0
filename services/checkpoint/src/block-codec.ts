// A block's content: Block of checkpoint.proto, written and read by hand, since a checkpoint is millions of
// records (docs/decisions/0002-wire-by-hand.md). Of the schema's encodings only the one that is written here
// is read: fields in order, no others. block-codec.test.ts holds it against protobuf-es.
import type { BinaryString } from '@statestore/core';
import type { LayerRecord } from './records.ts';

/** Methods of every Buffer that its types leave out. */
interface Latin1Buffer extends Buffer {
  latin1Write(text: string, offset: number): number;
  latin1Slice(start: number, end: number): string;
}

const recordTag = 0x0a;
const keyTag = 0x0a;
const valueTag = 0x12;

function varintBytes(n: number): number {
  return n < 0x80 ? 1 : n < 0x4000 ? 2 : n < 0x20_0000 ? 3 : n < 0x1000_0000 ? 4 : 5;
}

function writeVarint(bytes: Uint8Array, at: number, n: number): number {
  while (n >= 0x80) {
    bytes[at++] = (n & 0x7f) | 0x80;
    n >>>= 7;
  }
  bytes[at] = n;
  return at + 1;
}

/** Collects records into one buffer, which it grows as it must. */
export class BlockWriter {
  #buffer: Latin1Buffer;
  #at = 0;
  records = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer as Latin1Buffer;
  }

  get bytes(): number {
    return this.#at;
  }

  /** Returns how many bytes it took. */
  append(key: BinaryString, value: Uint8Array | undefined): number {
    const keyLength = key.length;
    const valueLength = value === undefined ? 0 : value.length;
    let inner = 1 + varintBytes(keyLength) + keyLength;
    if (value !== undefined) inner += 1 + varintBytes(valueLength) + valueLength;
    const taken = 1 + varintBytes(inner) + inner;
    if (this.#at + taken > this.#buffer.length) this.#grow(taken);
    const buffer = this.#buffer;
    let at = this.#at;
    buffer[at] = recordTag;
    at = writeVarint(buffer, at + 1, inner);
    buffer[at] = keyTag;
    at = writeVarint(buffer, at + 1, keyLength);
    if (keyLength > 48) buffer.latin1Write(key, at);
    else for (let i = 0; i < keyLength; i++) buffer[at + i] = key.charCodeAt(i);
    at += keyLength;
    if (value !== undefined) {
      buffer[at] = valueTag;
      at = writeVarint(buffer, at + 1, valueLength);
      buffer.set(value, at);
    }
    this.#at += taken;
    this.records++;
    return taken;
  }

  #grow(taken: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + taken)) as Latin1Buffer;
    grown.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = grown;
  }

  /** The whole buffer, of which the first `bytes` are the content: it is the caller's from now on. */
  take(): Buffer {
    return this.#buffer;
  }
}

/** Undefined where the content is not what BlockWriter writes, or its keys do not ascend. Values are views of `content`. */
export function decodeBlock(content: Uint8Array): LayerRecord[] | undefined {
  const { buffer, byteOffset, length } = content;
  const text = Buffer.from(buffer, byteOffset, length) as Latin1Buffer;
  const records: LayerRecord[] = [];
  const cursor = new Cursor(content);
  let last = '';
  while (cursor.at < length) {
    if (content[cursor.at++] !== recordTag) return undefined;
    const inner = cursor.length();
    const end = cursor.at + inner;
    if (inner < 0 || end > length || content[cursor.at++] !== keyTag) return undefined;
    const keyLength = cursor.length();
    const keyEnd = cursor.at + keyLength;
    if (keyLength <= 0 || keyEnd > end) return undefined;
    const key = text.latin1Slice(cursor.at, keyEnd);
    if (key <= last) return undefined;
    last = key;
    cursor.at = keyEnd;
    let value: Uint8Array | undefined;
    if (keyEnd < end) {
      if (content[cursor.at++] !== valueTag) return undefined;
      const valueLength = cursor.length();
      if (valueLength < 0 || cursor.at + valueLength !== end) return undefined;
      value = new Uint8Array(buffer as ArrayBuffer, byteOffset + cursor.at, valueLength);
      cursor.at = end;
    }
    records.push({ key, value });
  }
  return records;
}

class Cursor {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** A varint of at most 28 bits, as short as it can be; -1: none is here. */
  length(): number {
    let n = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) return -1;
      n |= (byte & 0x7f) << shift;
      if (byte < 0x80) return byte === 0 && shift > 0 ? -1 : n;
    }
    return -1;
  }
}
