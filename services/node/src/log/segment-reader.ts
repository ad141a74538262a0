// Reads the frames of one segment in order, a bounded chunk at a time, and says at the first place
// that is not a frame what was found there. What that means (clean end, torn tail, damage) is for
// the caller: recovery and subscriptions judge differently.
import type { FileHandle } from 'node:fs/promises';
import { limits } from '@statestore/core';
import type { Frame } from './log-frame.ts';
import { decodeFrame, fileWindow, frameBytes, frameKinds } from './log-frame.ts';

/** Where reading may start: this record's frame begins at this offset. */
export interface Waypoint {
  readonly position: bigint;
  readonly offset: number;
}

/** Why the frames ended. */
export interface FramesEnd {
  /** `through`: the wanted last record was read. `zeros`: zeros where a frame could begin, or the file's end. */
  readonly kind: 'through' | 'zeros' | 'bad';
  readonly offset: number;
  /** The position that belongs there. */
  readonly position: bigint;
  readonly found: string;
}

export interface Chunk {
  readonly frames: readonly Frame[];
  /** Undefined: there may be more. */
  readonly end?: FramesEnd;
}

export class SegmentReader {
  private readonly file: FileHandle;
  private readonly salt: number;
  private readonly capacityBytes: number;
  private offset: number;
  private position: bigint;

  constructor(file: FileHandle, segment: { salt: number; capacityBytes: number }, start: Waypoint) {
    this.file = file;
    this.salt = segment.salt;
    this.capacityBytes = segment.capacityBytes;
    this.offset = start.offset;
    this.position = start.position;
  }

  /** Position of the next record. */
  get next(): bigint {
    return this.position;
  }

  /** The next frames, up to the record `through`. Views into a buffer of their own: the caller's to keep. */
  async read(through: bigint): Promise<Chunk> {
    let wantBytes = limits.logReadChunkBytes;
    for (;;) {
      const bytes = await this.bytesAt(this.offset, Math.min(wantBytes, this.capacityBytes - this.offset));
      const atFileEnd = this.offset + bytes.length >= this.capacityBytes || bytes.length < wantBytes;
      const chunk = this.parse(bytes, through, atFileEnd);
      if (typeof chunk !== 'number') return chunk;
      wantBytes = chunk;
    }
  }

  /** Returns the number of bytes that the first frame needs, where the chunk is too small for it. */
  private parse(bytes: Uint8Array, through: bigint, atFileEnd: boolean): Chunk | number {
    const window = fileWindow(bytes, this.offset, this.salt);
    const frames: Frame[] = [];
    for (let at = 0; ; at = this.offset - window.offset) {
      if (this.position > through) return { frames, end: this.end('through', 'the last record wanted') };
      const read = decodeFrame(window, at);
      switch (read.kind) {
        case 'zeros':
          return { frames, end: this.end('zeros', 'zeros') };
        case 'bad':
          return { frames, end: this.end('bad', read.found) };
        case 'partial':
          if (atFileEnd) return { frames, end: this.endOfFile(bytes.subarray(at), read.needBytes) };
          return frames.length > 0 ? { frames } : read.needBytes;
        case 'frame': {
          const { frame } = read;
          if (frame.position !== this.position) {
            return { frames, end: this.end('bad', `the frame of position ${frame.position}`) };
          }
          frames.push(frame);
          this.offset += frameBytes(frame.payload.length);
          if (frame.kind === frameKinds.record) this.position++;
        }
      }
    }
  }

  private end(kind: FramesEnd['kind'], found: string): FramesEnd {
    return { kind, offset: this.offset, position: this.position, found };
  }

  private endOfFile(rest: Uint8Array, needBytes: number): FramesEnd {
    return rest.every((byte) => byte === 0)
      ? this.end('zeros', 'the end of the file')
      : this.end('bad', `the end of the file after ${rest.length} of ${needBytes} bytes`);
  }

  private async bytesAt(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.file.read(bytes, filled, length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  }
}
