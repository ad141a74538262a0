// Protobuf's wire format (protobuf.dev/programming-guides/encoding), written and read by hand for the
// messages of the hot path. Measured: protobuf-es encodes 2.1M small operations/s by reflection, this
// several times that (bench engine, "codec"). codec/codec.test.ts holds every message against protobuf-es.
import type { BinaryString } from './binary-string.ts';
import { textFromBinary } from './binary-string.ts';
import { StateStoreError } from './errors.ts';

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const slabBytes = 64 * 1024;
const passingBytesMax = slabBytes / 16;
/** Of messages that pass; never written twice. */
let slab = new Uint8Array(slabBytes);
let slabUsed = 0;

/**
 * Fills its buffer from the end to the start, so that a nested message's length is known when its
 * prefix is written. Therefore: the last field first, and of a repeated field the last element first.
 */
export class WireWriter {
  #buffer: Uint8Array;
  #at: number;

  constructor(capacity: number) {
    this.#buffer = new Uint8Array(capacity);
    this.#at = capacity;
  }

  /** Forgets what a message that failed half-way left behind. Every message starts with it. */
  reset(): void {
    this.#at = this.#buffer.length;
  }

  /** What was written since `reset`, copied; the writer is empty again. */
  finish(): Uint8Array {
    const bytes = this.#buffer.slice(this.#at);
    this.#at = this.#buffer.length;
    return bytes;
  }

  /**
   * As `finish`, for what is sent and then forgotten: small messages share an allocation, and one that was kept
   * would keep all of them. An allocation each costs more than writing such a message (bench profile).
   */
  finishPassing(): Uint8Array {
    const { size } = this;
    if (size > passingBytesMax) return this.finish();
    if (slabUsed + size > slab.length) {
      slab = new Uint8Array(slabBytes);
      slabUsed = 0;
    }
    const bytes = slab.subarray(slabUsed, slabUsed + size);
    bytes.set(this.#buffer.subarray(this.#at));
    slabUsed += size;
    this.#at = this.#buffer.length;
    return bytes;
  }

  /** Distance from the end: what a nested message's length is measured by. */
  get size(): number {
    return this.#buffer.length - this.#at;
  }

  #reserve(bytes: number): number {
    if (this.#at < bytes) {
      const used = this.size;
      const grown = new Uint8Array(Math.max(this.#buffer.length * 2, used + bytes));
      grown.set(this.#buffer.subarray(this.#at), grown.length - used);
      this.#buffer = grown;
      this.#at = grown.length - used;
    }
    this.#at -= bytes;
    return this.#at;
  }

  /** 0 ≤ n ≤ 2^53. */
  #varint(n: number): void {
    if (n < 0x80) {
      const only = this.#reserve(1);
      this.#buffer[only] = n;
      return;
    }
    let length = 2;
    for (let rest = n / 0x4000; rest >= 1; rest /= 0x80) length++;
    let at = this.#reserve(length);
    const buffer = this.#buffer;
    while (n > 0x7fffffff) {
      buffer[at++] = (n % 0x80) | 0x80;
      n = Math.floor(n / 0x80);
    }
    while (n >= 0x80) {
      buffer[at++] = (n & 0x7f) | 0x80;
      n >>>= 7;
    }
    buffer[at] = n;
  }

  #bigVarint(n: bigint): void {
    if (n <= 0x1fffffffffffffn) {
      this.#varint(Number(n));
      return;
    }
    let length = 1;
    for (let rest = n >> 7n; rest > 0n; rest >>= 7n) length++;
    let at = this.#reserve(length);
    for (; length > 1; length--) {
      this.#buffer[at++] = Number(n & 0x7fn) | 0x80;
      n >>= 7n;
    }
    this.#buffer[at] = Number(n);
  }

  /** An unsigned number that is left out where it is 0. */
  uint(field: number, value: number): void {
    if (value !== 0) this.presentUint(field, value);
  }

  presentUint(field: number, value: number): void {
    this.#varint(value);
    this.#varint((field << 3) | VARINT);
  }

  flag(field: number, value: boolean): void {
    if (value) this.presentUint(field, 1);
  }

  bigUint(field: number, value: bigint): void {
    if (value !== 0n) this.presentBigUint(field, value);
  }

  presentBigUint(field: number, value: bigint): void {
    this.#bigVarint(value);
    this.#varint((field << 3) | VARINT);
  }

  /** sint64, left out where it is 0. */
  bigSint(field: number, value: bigint): void {
    if (value !== 0n) this.presentBigSint(field, value);
  }

  presentBigSint(field: number, value: bigint): void {
    this.#bigVarint(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)));
    this.#varint((field << 3) | VARINT);
  }

  /** sint64 from a safe integer. */
  sint(field: number, value: number): void {
    if (value !== 0) this.presentBigSint(field, BigInt(value));
  }

  bytes(field: number, value: Uint8Array): void {
    if (value.length === 0) return;
    const at = this.#reserve(value.length);
    this.#buffer.set(value, at);
    this.lengthPrefix(field, value.length);
  }

  binary(field: number, value: BinaryString): void {
    if (value.length !== 0) this.presentBinary(field, value);
  }

  /** Also where it is empty: an element of a repeated field. */
  presentBinary(field: number, value: BinaryString): void {
    const { length } = value;
    const at = this.#reserve(length);
    for (let i = 0; i < length; i++) this.#buffer[at + i] = value.charCodeAt(i);
    this.lengthPrefix(field, length);
  }

  /** Closes a nested message whose fields were written just before: `length` is what they took. */
  lengthPrefix(field: number, length: number): void {
    this.#varint(length);
    this.#varint((field << 3) | BYTES);
  }
}

export function malformed(what: string): StateStoreError {
  return new StateStoreError('data_corrupt', `malformed message: ${what}`);
}

/** Reads fields one after the other; throws `data_corrupt` where the bytes end too soon. */
export class WireReader {
  readonly #bytes: Uint8Array;
  #at: number;
  #end: number;
  #wireType = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#at = 0;
    this.#end = bytes.length;
  }

  /** Number of the next field, 0 at the end of the message. */
  field(): number {
    if (this.#at >= this.#end) return 0;
    const tag = this.#varint();
    const field = Math.floor(tag / 8);
    if (field === 0 || field > 0x1fff_ffff) throw malformed(`field number ${field}`);
    this.#wireType = tag % 8;
    return field;
  }

  /** Past 2^53 it is rounded: `bigUint` is exact. */
  uint(): number {
    if (this.#wireType !== VARINT) throw malformed(`wire type ${this.#wireType} where a number was due`);
    return this.#varint();
  }

  #varint(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.#at++]!;
    if (byte < 0x80) {
      if (this.#at > this.#end) throw malformed('it ends inside a number');
      return byte;
    }
    let value = byte & 0x7f;
    let scale = 0x80;
    for (let i = 0; i < 9; i++) {
      if (this.#at >= this.#end) throw malformed('it ends inside a number');
      byte = bytes[this.#at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw malformed('a number of more than 64 bits');
  }

  bigUint(): bigint {
    const start = this.#at;
    const value = this.uint();
    if (value <= Number.MAX_SAFE_INTEGER) return BigInt(value);
    let big = 0n;
    for (let i = this.#at - 1; i >= start; i--) big = (big << 7n) | BigInt(this.#bytes[i]! & 0x7f);
    return BigInt.asUintN(64, big);
  }

  bigSint(): bigint {
    const raw = this.bigUint();
    return (raw >> 1n) ^ -(raw & 1n);
  }

  sint(): number {
    return Number(this.bigSint());
  }

  #length(): number {
    if (this.#wireType !== BYTES) throw malformed(`wire type ${this.#wireType} where bytes were due`);
    const length = this.#varint();
    if (length > this.#end - this.#at) throw malformed('it ends inside a field');
    return length;
  }

  /** A view of the message: valid as long as its bytes are. */
  bytes(): Uint8Array {
    const length = this.#length();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** Text in UTF-8. */
  text(): string {
    try {
      return textFromBinary(this.binary());
    } catch (cause) {
      if (cause instanceof StateStoreError) throw cause;
      throw malformed('text that is not UTF-8');
    }
  }

  binary(): BinaryString {
    const length = this.#length();
    const bytes = this.#bytes;
    let at = this.#at;
    this.#at += length;
    const end = at + length;
    let text = '';
    // Eight at a time: every `+=` makes a string of its own.
    for (; at + 8 <= end; at += 8) {
      text += String.fromCharCode(
        bytes[at]!,
        bytes[at + 1]!,
        bytes[at + 2]!,
        bytes[at + 3]!,
        bytes[at + 4]!,
        bytes[at + 5]!,
        bytes[at + 6]!,
        bytes[at + 7]!,
      );
    }
    for (; at < end; at++) text += String.fromCharCode(bytes[at]!);
    return text;
  }

  /** Enters a nested message; give the returned mark to `leave` after its fields. */
  enter(): number {
    const length = this.#length();
    const outer = this.#end;
    this.#end = this.#at + length;
    return outer;
  }

  leave(outer: number): void {
    this.#at = this.#end;
    this.#end = outer;
  }

  /** Passes over the field whose number was read last. */
  skip(): void {
    if (this.#wireType === VARINT) this.uint();
    else if (this.#wireType === BYTES) this.bytes();
    else if (this.#wireType === FIXED64) this.#at += 8;
    else if (this.#wireType === FIXED32) this.#at += 4;
    else throw malformed(`wire type ${this.#wireType}`);
    if (this.#at > this.#end) throw malformed('it ends inside a field');
  }
}
