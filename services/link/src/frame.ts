// Frames: what travels between gateway and node. A frame is
//
//   u32 length of what follows · u8 kind · u32 request id · payload       (big endian)
//
// and the stream of either side begins with the preamble (handshake.ts), which is no frame. The payload
// is a message of proto/statestore/v1/node.proto, named beside each kind.
import { limits, StateStoreError } from '@statestore/core';

/** Numbers on the wire: gateways and nodes of two versions speak them during an upgrade, so stable. */
export const frameKind = {
  /** Hello: first frame of either side. */
  hello: 1,
  /** LinkError, then the connection is closed: the peer will not talk to us. */
  refused: 2,
  ping: 3,
  pong: 4,
  /** The node takes no new requests on this connection, finishes those it has and closes it. */
  goodbye: 5,

  /** GetRequest → GetResponse */
  get: 16,
  /** ProposeRequest → CommandResult */
  propose: 17,
  /** GetManyRequest → GetManyResponse */
  getMany: 18,
  /** ScanRequest → ScanResponse */
  scan: 19,
  /** StoreRequest → StoreResponse */
  store: 20,
  /** PartitionRequest → StoresResponse */
  stores: 21,
  /** WatchRequest → items, then end or failure */
  watch: 22,
  /** PartitionRequest → empty */
  sync: 23,
  /** PartitionRequest → CompactResponse */
  compact: 24,
  /** Empty → NodeStatus */
  status: 25,
  /** CopyRequest → items, then end or failure */
  copyState: 26,
  /** CheckpointRequest → items, then end or failure */
  writeCheckpoint: 27,
  /** Ends a stream. */
  cancel: 32,
  /** StreamCredit */
  credit: 33,

  /** The response message, or its last part. */
  answer: 48,
  /** A part of the response message or of an item: too large for one frame. */
  part: 49,
  /** LinkError in place of an answer. */
  failure: 50,
  /** WatchItem, StatePart or CheckpointItem, or its last part. */
  item: 51,
  /** The stream is over. */
  end: 52,
} as const;

export const frameHeaderBytes = 9;
const kindAndIdBytes = 5;

export interface Frame {
  readonly kind: number;
  readonly id: number;
  /** A view of what was received: the memory is not used again, but as long as it is held so is its chunk. */
  readonly payload: Uint8Array;
}

const nothing = new Uint8Array(0);

/** Finds frames in a stream of bytes, however it was cut into chunks. */
export class FrameDecoder {
  readonly #frameBytesMax: number;
  #chunk: Uint8Array = nothing;
  #at = 0;
  /** What arrived after #chunk while a frame was incomplete; joined once it is complete, not before. */
  #later: Uint8Array[] = [];
  #laterBytes = 0;

  constructor(frameBytesMax: number = limits.linkFrameBytesMax) {
    this.#frameBytesMax = frameBytesMax;
  }

  push(chunk: Uint8Array): void {
    if (this.#later.length === 0 && this.#at === this.#chunk.length) {
      this.#chunk = chunk;
      this.#at = 0;
      return;
    }
    this.#later.push(chunk);
    this.#laterBytes += chunk.length;
  }

  /** Bytes received and not taken yet. */
  get waitingBytes(): number {
    return this.#chunk.length - this.#at + this.#laterBytes;
  }

  /** The next `length` bytes outside of any frame, if they have arrived. */
  take(length: number): Uint8Array | undefined {
    if (!this.#gather(length)) return undefined;
    this.#at += length;
    return this.#chunk.subarray(this.#at - length, this.#at);
  }

  /** The next frame, if it has arrived whole. Throws `invalid_body` where a length is impossible. */
  next(): Frame | undefined {
    if (!this.#gather(frameHeaderBytes)) return undefined;
    const length = readU32(this.#chunk, this.#at);
    if (length < kindAndIdBytes || length + 4 > this.#frameBytesMax) {
      throw new StateStoreError(
        'invalid_body',
        `a frame's length is ${length}; it may be ${kindAndIdBytes} to ${this.#frameBytesMax - 4}`,
      );
    }
    if (!this.#gather(4 + length)) return undefined;
    const at = this.#at;
    this.#at = at + 4 + length;
    return {
      kind: this.#chunk[at + 4]!,
      id: readU32(this.#chunk, at + 5),
      payload: this.#chunk.subarray(at + frameHeaderBytes, this.#at),
    };
  }

  /** Makes `length` bytes contiguous, if they have arrived. */
  #gather(length: number): boolean {
    const have = this.#chunk.length - this.#at;
    if (have >= length) return true;
    if (have + this.#laterBytes < length) return false;
    const joined = new Uint8Array(have + this.#laterBytes);
    joined.set(this.#chunk.subarray(this.#at), 0);
    let at = have;
    for (const chunk of this.#later) {
      joined.set(chunk, at);
      at += chunk.length;
    }
    this.#chunk = joined;
    this.#at = 0;
    this.#later = [];
    this.#laterBytes = 0;
    return true;
  }
}

/** Writes a frame's header; 0 ≤ at. */
export function writeFrameHeader(target: Uint8Array, at: number, kind: number, id: number, payloadBytes: number): void {
  writeU32(target, at, kindAndIdBytes + payloadBytes);
  target[at + 4] = kind;
  writeU32(target, at + 5, id);
}

function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
