// What waits to be written to a socket. Frames of one turn of the event loop are put behind each other in
// one chunk and written by one call: system calls, not bytes, are what a link of small messages costs.
// While the socket is full nothing is handed to it, so that what comes meanwhile is coalesced as well.
import type { Socket } from 'node:net';
import { limits, StateStoreError } from '@statestore/core';
import { frameHeaderBytes, writeFrameHeader } from './frame.ts';

const chunkBytes = 64 * 1024;
const spareChunksMax = 4;
const noPayload = new Uint8Array(0);

export class Outbox {
  readonly #socket: Socket;
  readonly #onDrain: () => void;
  #chunk: Uint8Array;
  #used = 0;
  /** Full ones, before #chunk. */
  #full: Uint8Array[] = [];
  readonly #spare: Uint8Array[] = [];
  #flushDue = false;
  #frames = 0;
  #framesHandedOver = 0;
  #waitingBytes = 0;
  #congested = false;
  #ended = false;

  /** `onDrain`: called when the outbox, having been congested, is so no more. */
  constructor(socket: Socket, onDrain: () => void) {
    this.#socket = socket;
    this.#onDrain = onDrain;
    this.#chunk = Buffer.allocUnsafeSlow(chunkBytes);
    socket.on('drain', () => this.#flush());
  }

  /** Running number of the last frame. */
  get frames(): number {
    return this.#frames;
  }

  /** Frames up to this number were given to the operating system: the peer may see them. */
  get framesHandedOver(): number {
    return this.#framesHandedOver;
  }

  /** Bytes of frames that the socket has not written. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Whether to put nothing further in that can wait. */
  get congested(): boolean {
    return this.#congested;
  }

  /** Nothing happens after `end` or when the socket is gone. Throws `body_too_large` where the payload does not fit a frame. */
  frame(kind: number, id: number, payload: Uint8Array = noPayload): void {
    if (this.#ended || this.#socket.destroyed) return;
    const size = frameHeaderBytes + payload.length;
    if (size > limits.linkFrameBytesMax) {
      throw new StateStoreError(
        'body_too_large',
        `a message has ${size} bytes; it may have ${limits.linkFrameBytesMax}`,
      );
    }
    const at = this.#reserve(size);
    writeFrameHeader(this.#chunk, at, kind, id, payload.length);
    this.#chunk.set(payload, at + frameHeaderBytes);
    this.#frames++;
  }

  /** Bytes outside of any frame. */
  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#chunk.set(bytes, at);
  }

  /** Writes everything, then ends the socket's writing side. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#handOver();
    this.#socket.end();
  }

  #reserve(size: number): number {
    if (this.#used + size > this.#chunk.length) {
      if (this.#used > 0) this.#full.push(this.#chunk.subarray(0, this.#used));
      this.#chunk =
        size > chunkBytes ? Buffer.allocUnsafeSlow(size) : (this.#spare.pop() ?? Buffer.allocUnsafeSlow(chunkBytes));
      this.#used = 0;
    }
    const at = this.#used;
    this.#used += size;
    this.#waitingBytes += size;
    if (this.#waitingBytes > limits.linkOutboxPauseBytes) this.#congested = true;
    if (this.#waitingBytes > limits.linkOutboxBytesMax) {
      this.#socket.destroy(new StateStoreError('overloaded', `the peer let ${this.#waitingBytes} bytes wait`));
    }
    if (!this.#flushDue) {
      this.#flushDue = true;
      setImmediate(this.#flushNow);
    }
    return at;
  }

  readonly #flushNow = (): void => {
    this.#flushDue = false;
    this.#flush();
  };

  #flush(): void {
    if (!this.#ended && !this.#socket.destroyed && !this.#socket.writableNeedDrain) this.#handOver();
  }

  #handOver(): void {
    if (this.#used === 0 && this.#full.length === 0) return;
    this.#framesHandedOver = this.#frames;
    if (this.#full.length === 0) {
      this.#write(this.#chunk, this.#used);
    } else {
      this.#socket.cork();
      for (const chunk of this.#full) this.#write(chunk, chunk.length);
      this.#write(this.#chunk, this.#used);
      this.#socket.uncork();
      this.#full = [];
    }
    this.#chunk = this.#spare.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
    this.#used = 0;
  }

  #write(chunk: Uint8Array, used: number): void {
    if (used === 0) return;
    this.#socket.write(chunk.subarray(0, used), (error) => {
      if (error !== undefined && error !== null) return;
      this.#waitingBytes -= used;
      if (chunk.length === chunkBytes && this.#spare.length < spareChunksMax) this.#spare.push(chunk);
      if (this.#congested && this.#waitingBytes <= limits.linkOutboxPauseBytes / 2) {
        this.#congested = false;
        this.#onDrain();
      }
    });
  }
}
