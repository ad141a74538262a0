// When the write buffer goes to the engine: some time after its first write, or when it is full. One
// flush at a time, off the path that answers; apply waits only where the buffer is at its bound.
import { limits } from '@statestore/core';
import type { WriteBuffer } from './engine/write-buffer.ts';
import type { Time, Timer } from './time.ts';

export interface FlusherOptions {
  readonly buffer: WriteBuffer;
  readonly time: Time;
  readonly intervalMs: number;
  /** After each flush, with the position that is stored now. */
  readonly onStored: (position: bigint) => void;
  /** The engine failed: final. */
  readonly onFailed: (error: unknown) => void;
}

export class Flusher {
  readonly #options: FlusherOptions;
  #timer: Timer | undefined;
  #flushing: Promise<void> | undefined;
  #failed = false;
  #closed = false;

  constructor(options: FlusherOptions) {
    this.#options = options;
  }

  /** To be called after writes went into the buffer. A promise means: apply nothing until it resolves. */
  written(): void | Promise<void> {
    const { buffer, time, intervalMs } = this.#options;
    if (buffer.bytes >= limits.writeBufferFlushBytes) {
      const flushing = this.flush();
      if (buffer.bytes >= limits.writeBufferBytesMax) return flushing;
    } else if (this.#timer === undefined && this.#flushing === undefined && !this.#closed) {
      this.#timer = time.after(intervalMs, () => void this.flush());
    }
  }

  /** Everything written before this call is stored when it resolves. Never rejects: see onFailed. */
  async flush(): Promise<void> {
    const { buffer } = this.#options;
    const until = buffer.written;
    this.#timer?.cancel();
    this.#timer = undefined;
    while (buffer.stored < until && !this.#failed) {
      this.#flushing ??= this.#flushOnce();
      await this.#flushing;
    }
  }

  async #flushOnce(): Promise<void> {
    const { buffer, onStored, onFailed } = this.#options;
    try {
      await buffer.flush();
      onStored(buffer.storedPosition);
    } catch (error) {
      this.#failed = true;
      onFailed(error);
    } finally {
      this.#flushing = undefined;
      if (!this.#failed && buffer.written > buffer.stored) void this.written();
    }
  }

  /** No timer is left, and none is set any more. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
