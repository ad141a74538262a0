// Splits a stream of bytes into lines without decoding them: values must stay byte for byte what the
// input holds, which node:readline (strings only) cannot promise.
import { StateStoreError, limits } from '@statestore/core';

const newline = 0x0a;

export class LineSplitter {
  /** Parts of a line whose end has not come yet. */
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #line = 0;

  /** Calls back with each whole line, without its newline, and its number from 1. */
  push(chunk: Uint8Array, onLine: (line: Uint8Array, number: number) => void): void {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      onLine(this.#finish(chunk.subarray(start, end)), ++this.#line);
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
  }

  /** The last line, where the input does not end with a newline. */
  end(onLine: (line: Uint8Array, number: number) => void): void {
    if (this.#partBytes > 0) onLine(this.#finish(new Uint8Array()), ++this.#line);
  }

  #finish(last: Uint8Array): Uint8Array {
    if (this.#partBytes === 0) return last;
    this.#keep(last);
    const whole = Buffer.concat(this.#parts, this.#partBytes);
    this.#parts = [];
    this.#partBytes = 0;
    return whole;
  }

  #keep(part: Uint8Array): void {
    this.#parts.push(part);
    this.#partBytes += part.length;
    if (this.#partBytes <= limits.loadRecordBytesMax) return;
    throw new StateStoreError(
      'invalid_body',
      `line ${this.#line + 1} of the input is over ${limits.loadRecordBytesMax} bytes long`,
      { hint: 'Is --format right?' },
    );
  }
}
