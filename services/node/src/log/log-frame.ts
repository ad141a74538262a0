// The bytes of the embedded log's files: the header of a segment and the frame around each record.
// docs/formats.md describes them for people; this file is the only code that knows the offsets.
//
// Checksums of frames start from a salt (the segment header's own checksum) and the frame's file
// offset. A frame copied from another log, or to another place of this one, is therefore not valid:
// a value that contains a piece of a log cannot be taken for a piece of this log.
import { crc32 } from 'node:zlib';

export const formatVersion = 1;
/** The header has a block of its own, so that no append ever rewrites the page it lies in. */
export const segmentHeaderBytes = 4096;
const headerFieldsBytes = 64;
const segmentMagic = Buffer.from('SSLOGSEG', 'latin1');

export const frameHeaderBytes = 40;
/** Frames begin at multiples of this in the file. */
export const frameAlignmentBytes = 8;
/** 'SSLF' in the file. */
export const frameMagic = Buffer.from('SSLF', 'latin1');
const frameMagicNumber = frameMagic.readUInt32LE(0);

export interface SegmentHeader {
  readonly partition: number;
  readonly incarnation: string;
  /** Position of the segment's first record; also the file's name. */
  readonly first: bigint;
  /** `first` of the segment before; 0n: this one began the log. */
  readonly previous: bigint;
  /** Size of the file: all of it is preallocated. */
  readonly capacityBytes: number;
}

export type SegmentHeaderRead =
  | { readonly kind: 'header'; readonly header: SegmentHeader; readonly salt: number }
  | { readonly kind: 'version'; readonly version: number }
  | { readonly kind: 'bad'; readonly found: string };

export function encodeSegmentHeader(header: SegmentHeader): { readonly bytes: Buffer; readonly salt: number } {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  segmentMagic.copy(bytes, 0);
  bytes.writeUInt32LE(formatVersion, 8);
  bytes.writeUInt32LE(header.partition, 12);
  Buffer.from(header.incarnation.replaceAll('-', ''), 'hex').copy(bytes, 16);
  bytes.writeBigUInt64LE(header.first, 32);
  bytes.writeBigUInt64LE(header.previous, 40);
  bytes.writeBigUInt64LE(BigInt(header.capacityBytes), 48);
  const salt = crc32(bytes.subarray(0, 60));
  bytes.writeUInt32LE(salt, 60);
  return { bytes, salt };
}

export function decodeSegmentHeader(bytes: Buffer): SegmentHeaderRead {
  if (bytes.length < segmentHeaderBytes) {
    return { kind: 'bad', found: `${bytes.length} bytes where a header of ${segmentHeaderBytes} belongs` };
  }
  if (!bytes.subarray(0, 8).equals(segmentMagic)) {
    return { kind: 'bad', found: `magic ${bytes.toString('hex', 0, 8)} instead of ${segmentMagic.toString('hex')}` };
  }
  // The checksum comes first: that place and this coverage are fixed for every version to come.
  const salt = crc32(bytes.subarray(0, 60));
  if (salt !== bytes.readUInt32LE(60)) return { kind: 'bad', found: 'a header that its checksum does not match' };
  const version = bytes.readUInt32LE(8);
  if (version !== formatVersion) return { kind: 'version', version };
  const id = bytes.toString('hex', 16, 32);
  const header = {
    partition: bytes.readUInt32LE(12),
    incarnation: [id.slice(0, 8), id.slice(8, 12), id.slice(12, 16), id.slice(16, 20), id.slice(20)].join('-'),
    first: bytes.readBigUInt64LE(32),
    previous: bytes.readBigUInt64LE(40),
    capacityBytes: Number(bytes.readBigUInt64LE(48)),
  };
  if (bytes.subarray(headerFieldsBytes).some((byte) => byte !== 0)) {
    return { kind: 'bad', found: 'bytes other than zero after the header' };
  }
  return { kind: 'header', header, salt };
}

/** Persisted, so stable. */
export const frameKinds = {
  record: 1,
  /** No record: proves what is before it. */ mark: 2,
  /** The log goes on in another file. */ continued: 3,
} as const;
export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds];

export interface Frame {
  readonly kind: FrameKind;
  /** File offset of the frame. */
  readonly offset: number;
  /** Of the record; of a mark: of the record that comes next. */
  readonly position: bigint;
  readonly timestampNanos: bigint;
  /** Everything in the file before this offset was durable when this frame was written. */
  readonly durableBefore: number;
  readonly payload: Uint8Array;
}

/** Bytes that a frame with such a payload takes in the file. */
export function frameBytes(payloadBytes: number): number {
  return (frameHeaderBytes + payloadBytes + (frameAlignmentBytes - 1)) & -frameAlignmentBytes;
}

/** Where bytes of a file lie in memory. */
export interface FileWindow {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** File offset of the first byte. */
  readonly offset: number;
  /** Salt of the segment. */
  readonly salt: number;
}

export function fileWindow(bytes: Uint8Array, offset: number, salt: number): FileWindow {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset, salt };
}

/** Writes a frame at `at` of the window. */
export function encodeFrame(window: FileWindow, at: number, frame: Omit<Frame, 'offset'>): void {
  const { bytes, view } = window;
  const { payload } = frame;
  const start = at + frameHeaderBytes;
  const end = at + frameBytes(payload.length);
  bytes.set(payload, start);
  bytes.fill(0, start + payload.length, end);
  const seed = (window.salt ^ (window.offset + at)) >>> 0;
  view.setUint32(at, frameMagicNumber, true);
  view.setUint32(at + 8, crc32(bytes.subarray(start, end), seed), true);
  view.setUint32(at + 12, payload.length, true);
  view.setUint32(at + 16, frame.kind, true);
  view.setUint32(at + 20, frame.durableBefore, true);
  view.setBigUint64(at + 24, frame.position, true);
  view.setBigUint64(at + 32, frame.timestampNanos, true);
  view.setUint32(at + 4, crc32(bytes.subarray(at + 8, start), seed), true);
}

export type FrameRead =
  | { readonly kind: 'frame'; readonly frame: Frame }
  /** Zeros where a frame's header would be. */
  | { readonly kind: 'zeros' }
  /** The window ends before the frame does: read again, at least this many bytes. */
  | { readonly kind: 'partial'; readonly needBytes: number }
  | { readonly kind: 'bad'; readonly found: string };

const zeros: FrameRead = { kind: 'zeros' };

/** Whether a frame header that is whole and was written at this place is at `at` of the window. */
export function isFrameHeader(window: FileWindow, at: number): boolean {
  const { bytes, view } = window;
  if (at + frameHeaderBytes > bytes.length || view.getUint32(at, true) !== frameMagicNumber) return false;
  const seed = (window.salt ^ (window.offset + at)) >>> 0;
  return crc32(bytes.subarray(at + 8, at + frameHeaderBytes), seed) === view.getUint32(at + 4, true);
}

/** `durableBefore` and position of a frame whose header is whole (`isFrameHeader`). */
export function frameEvidence(window: FileWindow, at: number): { durableBefore: number; position: bigint } {
  return { durableBefore: window.view.getUint32(at + 20, true), position: window.view.getBigUint64(at + 24, true) };
}

export function decodeFrame(window: FileWindow, at: number): FrameRead {
  const { bytes, view } = window;
  if (at + frameHeaderBytes > bytes.length) return { kind: 'partial', needBytes: frameHeaderBytes };
  if (!isFrameHeader(window, at)) {
    const header = Buffer.from(bytes.buffer, bytes.byteOffset + at, frameHeaderBytes);
    if (header.every((byte) => byte === 0)) return zeros;
    const magic = header.subarray(0, 4);
    if (!magic.equals(frameMagic)) return { kind: 'bad', found: `${magic.toString('hex')} instead of a frame's magic` };
    return { kind: 'bad', found: 'a frame header that its checksum does not match' };
  }
  const length = view.getUint32(at + 12, true);
  const end = at + frameBytes(length);
  if (end > bytes.length) return { kind: 'partial', needBytes: frameBytes(length) };
  const start = at + frameHeaderBytes;
  const seed = (window.salt ^ (window.offset + at)) >>> 0;
  if (crc32(bytes.subarray(start, end), seed) !== view.getUint32(at + 8, true)) {
    return { kind: 'bad', found: `a record of ${length} bytes that its checksum does not match` };
  }
  const kind = view.getUint32(at + 16, true);
  if (kind !== frameKinds.record && kind !== frameKinds.mark && kind !== frameKinds.continued) {
    return { kind: 'bad', found: `a frame of unknown kind ${kind}` };
  }
  return {
    kind: 'frame',
    frame: {
      kind,
      offset: window.offset + at,
      position: view.getBigUint64(at + 24, true),
      timestampNanos: view.getBigUint64(at + 32, true),
      durableBefore: view.getUint32(at + 20, true),
      payload: bytes.subarray(start, start + length),
    },
  };
}
